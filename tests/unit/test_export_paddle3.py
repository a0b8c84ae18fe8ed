"""A person's own Paddle 3 model (.json): what is taken and what is refused, and the export that makes it ready."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.paddle3_made import ROOT, paddle3, save_with_paddle3
from segbench.errors import Unsupported
from segbench.files import read_json
from segbench.models import onnx_twin
from segbench.models.exported import ExportedModel, paddle_files

ENTRY = {
    "kind": "paddle_inference",
    "weights": {"url": None, "path": "net.json", "sha256": None},
    "input": {"height": 32, "width": 64},
    "class_count": 4,
    "class_map": None,
    "preprocessing": {},
}
MODELS = """
save("logits", lambda logits: logits)
save("map", lambda logits: logits.argmax(1, keepdim=True))
save("two", lambda logits: [logits, logits.mean()])
save("small", lambda logits: logits, size=(32, 48))
save("halved", lambda logits: paddle.nn.functional.avg_pool2d(logits, 2))
"""
# What the session of the engine makes of an image, with Paddle 3's own interpreter.
RUN = """
import sys
from pathlib import Path
import numpy as np
scripts, engine, image, out = sys.argv[1:]
sys.path.insert(0, scripts)
from segbench.config.options import Variant
from segbench.engines.base import load
found = {}
for name in ("paddle3", "paddle3_onednn"):
    session = load(name).open(Path(engine), Variant(name, name, "fp32"), load(name).run_options(), 2)
    session.upload(np.load(image))
    session.execute()
    found[name] = session.download()
np.savez(out, **found)
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paddle 3")
    save_with_paddle3(folder, MODELS)
    return folder


def export(folder: Path, source: Path, python: str, **other: Any) -> tuple[str, str]:
    """The model's status and what is said by the script in `python`; it leaves its files in `folder`."""
    files = {"program": "program.json", "pdiparams": "program.pdiparams", "json": "model.json"}
    outputs = [f"--{key}={folder / name}" for key, name in files.items()]
    script = str(ROOT / "workflow_scripts" / "export_paddle3.py")
    command = [python, script, "--model=mine", f"--entry={json.dumps({**ENTRY, **other})}", f"--checkpoint={source}"]
    done = subprocess.run([*command, *outputs], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return read_json(folder / "model.json")["status"], done.stderr


def test_other_paddle_says_what_to_make(tmp_path: Path) -> None:
    (tmp_path / "net.json").touch()
    (tmp_path / "net.pdiparams").touch()
    status, said = export(tmp_path, tmp_path / "net.json", sys.executable)
    assert status == "refused"
    assert "a Paddle 3 model, but paddlepaddle is 2.6.2 here; run `make env-paddle3`" in said


@pytest.mark.parametrize("name", ["logits", "map"])
def test_class_map_comes_out_on_both_engines(tmp_path: Path, models: Path, name: str) -> None:
    status, said = export(tmp_path, models / f"{name}.json", paddle3())
    assert status == "ok", said
    record = json.loads((tmp_path / "model.json").read_text())
    assert record["parameter_count"] == 4 * 3 * 9 + 4 and record["versions"] == {"paddlepaddle": "3.3.1"}
    image = np.random.default_rng(0).normal(size=(1, 3, 32, 64)).astype(np.float32)
    np.save(tmp_path / "image.npy", image)
    arguments = [ROOT / "workflow_scripts", tmp_path, tmp_path / "image.npy", tmp_path / "maps.npz"]
    subprocess.run([paddle3(), "-c", RUN, *map(str, arguments)], check=True, timeout=300)
    maps = np.load(tmp_path / "maps.npz")
    assert maps["paddle3"].dtype == np.uint8 and maps["paddle3"].shape == (32, 64)
    assert len(np.unique(maps["paddle3"])) == 4
    assert (maps["paddle3"] == maps["paddle3_onednn"]).mean() >= 0.9995


@pytest.mark.parametrize(
    ("name", "other", "wanted"),
    [
        (
            "two",
            {"output": 2},
            "mine.output: 2 is none of them: the model has 2 outputs: 0 fetch_name_0, 1 fetch_name_1",
        ),
        ("small", {}, "mine.input: 32×64, but the model's input image is float32 [1, 3, 32, 48]; wanted: float32"),
        ("logits", {"class_count": 5}, "mine.class_count: 5, but the model's output fetch_name_0 is float32 [1, 4, "),
        ("logits", {"class_map": [0, 1]}, "mine.class_map: has 2 entries, but class_count is 4"),
        ("halved", {}, "makes a class map of [1, 16, 32] from an image of [1, 3, 32, 64]; wanted: [1, 32, 64]"),
    ],
)
def test_model_that_does_not_fit_is_refused(tmp_path: Path, models: Path, name: str, other: Any, wanted: str) -> None:
    status, said = export(tmp_path, models / f"{name}.json", paddle3(), **other)
    assert status == "refused" and wanted in said, said
    assert not (tmp_path / "program.json").read_bytes()


@pytest.mark.parametrize(
    ("suffix", "wanted"),
    [
        (".json", "logits.json or its .pdiparams is damaged, or they do not belong together ("),
        (".pdiparams", "logits.pdiparams: truncated"),
    ],
)
def test_truncated_file_is_named(tmp_path: Path, models: Path, suffix: str, wanted: str) -> None:
    for path in models.glob("logits.*"):
        shutil.copy(path, tmp_path / path.name)
    damaged = tmp_path / f"logits{suffix}"
    damaged.write_bytes(damaged.read_bytes()[:-4])
    status, said = export(tmp_path, tmp_path / "logits.json", paddle3())
    assert status == "refused" and wanted in said, said


def test_engines_that_cannot_read_it_say_why(tmp_path: Path) -> None:
    (tmp_path / "program.json").write_text("{}")
    with pytest.raises(Unsupported, match=r"a Paddle 3 model \(\.json\), which paddle3 and paddle3_onednn alone read"):
        paddle_files(ExportedModel(tmp_path, {}))
    with pytest.raises(Unsupported, match=r"paddle2onnx 1\.3\.1 cannot read a Paddle 3 model \(\.json\)"):
        onnx_twin.make_twin(tmp_path / "program.json", tmp_path / "program.pdiparams")
