"""Networks of transformers from their folders, with PyTorch: make env-torch, make test-huggingface."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from helpers.huggingface_made import entry
from segbench.arrays import SAME_NETWORK, agreement
from segbench.files import read_json, record_beside
from segbench.images.drawn import drawn_image
from segbench.images.normalize import Normalizer, class_map_of_logits
from segbench.models.onnx_run import outputs_of
from segbench.models.settings import complete

from validation.exports.folders import HEIGHT, SQUARE, WIDTH

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-torch/bin/python"
NAMES = ("segformer", "dpt", "mobilevit")
SIZES = [(HEIGHT, WIDTH), (150, 310), (61, 83)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of networks, transformers' class maps beside them, and the images."""
    if not PYTHON.exists():
        pytest.skip("there is no .venv-torch: make env-torch")
    folder = tmp_path_factory.mktemp("saved")
    (folder / "images").mkdir()
    for number, size in enumerate(SIZES):
        cv2.imwrite(str(folder / "images" / f"{number}.png"), drawn_image(*size, number))
    script = str(ROOT / "validation" / "exports" / "folders.py")
    told = ["--images", str(folder / "images"), "--out", str(folder)]
    subprocess.run([str(PYTHON), script, *NAMES, *told], check=True, capture_output=True, timeout=500)
    return folder


def export(folder: Path, out: Path, **other: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the script in PyTorch's interpreter. Return the complete entry, and the record of the export."""
    whole = complete("mine", entry(**other), folder)[0]
    command = [str(PYTHON), str(ROOT / "workflow_scripts" / "export_huggingface.py"), "--model=mine"]
    command += [f"--entry={json.dumps(whole)}", f"--folder={folder}", f"--out={out}"]
    subprocess.run(command, check=True, capture_output=True, timeout=500)
    return whole, read_json(record_beside(out))


def size_of(name: str) -> dict[str, int]:
    return {"height": HEIGHT, "width": HEIGHT if name in SQUARE else WIDTH}


@pytest.mark.parametrize("name", NAMES)
def test_class_maps_are_those_of_transformers_own_processing(made, tmp_path, name):
    whole, record = export(made / name, tmp_path / "net.onnx", input=size_of(name))
    assert (record["status"], record["notes"]) == ("ok", [])
    model, size = onnx.load(str(tmp_path / "net.onnx")), whole["input"]
    normalize = Normalizer(whole["preprocessing"], size["height"], size["width"])
    wanted = np.load(made / f"{name}.npz")
    for number, shape in enumerate(SIZES):
        image = cv2.imread(str(made / "images" / f"{number}.png"))
        (logits,) = outputs_of(model, normalize(image)).values()
        found = class_map_of_logits([logits[0]], normalize.place(shape), *shape)
        assert len(np.unique(found)) > 2
        assert agreement(found, wanted[str(number)]) >= SAME_NETWORK


def test_weights_of_another_network_are_refused(made, tmp_path):
    folder = shutil.copytree(made / "segformer", tmp_path / "net")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "decoder_hidden_size": 32}))
    _, record = export(folder, tmp_path / "net.onnx", input=size_of("segformer"))
    assert record["status"] == "refused"
    assert "the weights are not those of its config.json" in record["reason"]
    assert (tmp_path / "net.onnx").read_bytes() == b""


def test_size_that_the_network_does_not_take_is_refused(made, tmp_path):
    given = {"mean": [0.5] * 3, "std": [0.5] * 3, "resize": "stretch"}
    _, record = export(made / "dpt", tmp_path / "net.onnx", preprocessing=given)  # not square
    assert record["status"] == "refused"
    assert record["reason"].startswith("model_catalogue.mine.input: 64×96: the network cannot run it: RuntimeError: ")
