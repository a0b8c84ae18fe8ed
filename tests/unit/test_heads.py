"""Heads of a model: the class map by the host from logits, and an argmax before the last resize."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from export_paddle import export
from helpers.paddle_made import run_onnxruntime, run_openvino, run_paddle, save_network, street_images
from segbench.errors import InputError
from segbench.files import sha256_of, write_record
from segbench.models import inference_model, onnx_twin
from segbench.models.record import model_record
from segbench.planning.check import read_config
from segbench.timing.job import ClassMapOnHost
from test_config import CATALOGUES, MODEL, fault, merged
from test_logits import CPU_ENGINES, ENTRY, HEIGHT, ROOT, WIDTH, build, run

SMALLER = 8  # times the logits of the demo's GCNet are smaller than its input


def exported(folder: Path, **head: str) -> Path:
    """The program of the demo's trained GCNet with this head. Its ONNX twin and model.json stand beside it."""
    folder.mkdir(parents=True)
    entry = {**ENTRY, "architecture": "gcnet", **head}
    files = {name: folder / name for name in ("model.pdmodel", "model.pdiparams")}
    export("gcnet", entry, ROOT / "resources/demo_models/gcnet.npz", *files.values())
    onnx.save(onnx_twin.make_twin(*files.values()), str(folder / "model.onnx"))
    write_record(folder / "model.json", model_record("gcnet", entry, files, 0, ()))
    write_record(folder / "onnx.json", {"status": "ok", "reason": "", "sha256": sha256_of(folder / "model.onnx")})
    return files["model.pdmodel"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("plain") / "gcnet")


def test_small_argmax_is_the_argmax_of_the_small_logits_enlarged(plain, tmp_path):
    small, images = exported(tmp_path / "gcnet", head="small_argmax"), street_images(HEIGHT, WIDTH)
    whole = onnx.load(str(plain.with_name("model.onnx")))
    (last,) = [node for node in whole.graph.node if node.op_type == "Resize"][-1:]
    before = tmp_path / "before.onnx"
    onnx.utils.extract_model(
        str(plain.with_name("model.onnx")), str(before), [whole.graph.input[0].name], [last.input[0]]
    )
    logits = run_onnxruntime(before, images)
    assert logits[0].shape == (1, 19, HEIGHT // SMALLER, WIDTH // SMALLER)
    expected = [one.argmax(1).repeat(SMALLER, 1).repeat(SMALLER, 2) for one in logits]
    found = {
        "paddle": run_paddle(small, images),
        "onnxruntime": run_onnxruntime(small.with_name("model.onnx"), images),
        "openvino": run_openvino(small, images),
    }
    for engine, maps in found.items():
        for class_map, wanted in zip(maps, expected, strict=True):
            assert class_map.dtype == np.uint8 and class_map.shape == (1, HEIGHT, WIDTH), engine
            assert (class_map == wanted).mean() > 0.999, engine
    operators = [node.op_type for node in onnx.load(str(small.with_name("model.onnx"))).graph.node]
    assert operators.index("ArgMax") < operators.index("Resize", operators.index("ArgMax"))


def test_network_that_enlarges_no_logits_has_no_small_argmax(tmp_path):
    program = save_network(tmp_path / "own", lambda logits: logits, size=(32, 64))
    entry = {"class_count": 4, "input": {"height": 32, "width": 64}, "output": None, "head": "small_argmax"}
    with pytest.raises(InputError, match=r"own\.head: small_argmax, but the network's logits are not enlarged"):
        inference_model.export("own", entry, program, tmp_path / "model")


@pytest.mark.parametrize("engine", CPU_ENGINES)
def test_host_makes_the_class_map_of_logits(plain, tmp_path, engine):
    folder = tmp_path / "gcnet"
    folder.mkdir()
    for path in plain.parent.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    files = {name: folder / name for name in ("model.pdmodel", "model.pdiparams")}
    write_record(folder / "model.json", model_record("gcnet", {**ENTRY, "head": "logits"}, files, 0, ()))
    timed, ended = (
        build(where / "model.json", engine, tmp_path / str(number), logits=False)
        for number, where in enumerate((plain.parent, folder))
    )
    for image in street_images(HEIGHT, WIDTH):
        assert run(ended, image).shape == (19, HEIGHT, WIDTH)
        class_map = run(ClassMapOnHost(ended, HEIGHT, WIDTH), image)
        assert class_map.dtype == np.uint8 and (class_map == run(timed, image)).mean() > 0.9999


def test_host_makes_the_class_maps_of_a_batch():
    class Batch:
        threads = 3

        def execute(self) -> None:
            pass

        def synchronize(self) -> None:
            pass

        def download(self) -> np.ndarray:
            return np.eye(4, dtype=np.float32)[np.arange(24).reshape(2, 3, 4) % 4].transpose(0, 3, 1, 2).copy()

    session = ClassMapOnHost(Batch(), 3, 4)  # type: ignore[arg-type]
    session.execute()
    assert (session.download() == np.arange(24).reshape(2, 3, 4) % 4).all() and session.threads == 3


def swept(**chosen):
    return read_config({**merged(CATALOGUES), "variants": ["paddle-fp32"], **chosen}, CATALOGUES)


def test_each_head_is_a_model_behind_its_own():
    config = swept(models=["gcnet_demo"], sweep={"head": ["logits", "argmax", "small_argmax"]})
    assert config["models"] == ["gcnet_demo", "gcnet_demo-logits", "gcnet_demo-small_argmax"]
    plain, logits, _ = (config["model_catalogue"][name] for name in config["models"])
    assert "head" not in plain and logits == {**plain, "head": "logits", "title": f"{plain['title']} logits"}


@pytest.mark.parametrize(
    ("entry", "sweep", "message"),
    [
        (
            {"head": "small_argmax"}, [],
            "mine.yaml: model_catalogue.m: head 'small_argmax' is for kinds 'paddleseg' and 'narrow', not 'onnx'",
        ),
        (
            {}, ["small_argmax"],
            "mine.yaml: sweep: has head 'small_argmax', which is for kinds 'paddleseg' and 'narrow': model 'm' is of"
            " kind 'onnx'",
        ),
        ({}, ["smal_argmax"], "mine.yaml: sweep.head[0]: 'smal_argmax'"),
    ],
)  # fmt: skip
def test_head_that_a_model_cannot_have_is_told(tmp_path, entry, sweep, message):
    models = {"models": ["m"], "model_catalogue": {"m": {**MODEL, **entry}}}
    assert message in fault(tmp_path, **models, sweep={"head": sweep})
