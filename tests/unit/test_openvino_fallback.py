"""OpenVINO reads a Paddle model, or its exact twin where its own reader has no form for an operator."""

from __future__ import annotations

import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538
from pathlib import Path
from typing import Any

import export_paddle
import onnx
import paddle
import pytest
from helpers.paddle_made import agreement, run_paddle, save_network, street_images
from segbench.config.options import Variant
from segbench.engines import base
from segbench.errors import Unsupported
from segbench.files import sha256_of, write_json
from segbench.models.exported import ExportedModel
from segbench.models.logits import LogitsModel
from segbench.models.onnx_twin import make_twin

SIZE = {"height": 32, "width": 64}
PREPROCESSING = {"mean": [0.5] * 3, "std": [0.5] * 3, "scale": 1 / 255, "channel_order": "rgb", "resize": "none"}
ENTRY = {"kind": "paddle_inference", "weights": {}, "input": SIZE, "class_count": 4, "class_map": None, "output": None}


def exported(folder: Path, then: Any) -> ExportedModel:
    pdmodel = folder / "mine" / "model.pdmodel"
    net = save_network(folder / "net", then)
    export_paddle.export("mine", ENTRY, net, pdmodel, pdmodel.with_suffix(".pdiparams"))
    return ExportedModel(pdmodel.parent, {"input": SIZE, "preprocessing": PREPROCESSING, "files": {}})


def add_twin(model: ExportedModel) -> None:
    path = model.folder / "model.onnx"
    onnx.save(make_twin(model.folder / "model.pdmodel", model.folder / "model.pdiparams"), str(path))
    write_json(model.folder / "onnx.json", {"status": "ok", "sha256": sha256_of(path)})


def weighted(logits: Any) -> Any:
    """Its own reader has no einsum."""
    return paddle.einsum("nchw,kc->nkhw", logits, paddle.eye(4) * -1.0)


def shrunk(logits: Any) -> Any:
    """Its own reader takes other pixels than Paddle does."""
    nearest = paddle.nn.functional.interpolate(logits, scale_factor=0.37, mode="nearest")
    return paddle.nn.functional.interpolate(nearest, (32, 64), mode="nearest")


def engine_agrees(engine: Path, model: ExportedModel) -> float:
    """Agreement of a built engine with native Paddle."""
    openvino = base.load("openvino")
    session = openvino.open(engine, Variant("v", "openvino", "fp32"), openvino.run_options(), 1)
    images = street_images(SIZE["height"], SIZE["width"])
    found = []
    for image in images:
        session.upload(image)
        session.execute()
        found.append(session.download()[None])
    return agreement(found, run_paddle(model.folder / "model.pdmodel", images))


def test_twin_is_read_where_the_paddle_reader_refuses(tmp_path: Path) -> None:
    model, engine, variant = exported(tmp_path, weighted), base.load("openvino"), Variant("v", "openvino", "fp32")
    with pytest.raises(Unsupported) as caught:
        engine.build(model, None, variant, engine.build_options(), tmp_path / "none")
    add_twin(model)
    facts = engine.build(model, None, variant, engine.build_options(), tmp_path / "engine")
    said = f"OpenVINO reads the ONNX twin, since of the Paddle model it says: {caught.value}".replace("; ", ", ")
    assert facts["notes"] == [said] and "\n" not in said
    assert engine_agrees(tmp_path / "engine", model) >= 0.9995
    with (model.folder / "model.onnx").open("ab") as stream:
        stream.write(b"damage")
    with pytest.raises(Unsupported):
        engine.build(model, None, variant, engine.build_options(), tmp_path / "damaged")


def test_paddle_model_is_read_itself_where_that_works(tmp_path: Path) -> None:
    model, engine, variant = exported(tmp_path, lambda logits: logits), base.load("openvino"), Variant("v", "o", "fp32")
    assert engine.build(model, None, variant, engine.build_options(), tmp_path / "engine")["notes"] == []


def test_twin_is_read_where_the_paddle_reader_makes_another_function(tmp_path: Path) -> None:
    model, engine, variant = exported(tmp_path, shrunk), base.load("openvino"), Variant("v", "openvino", "fp32")
    assert engine.build(model, None, variant, engine.build_options(), tmp_path / "wrong")["notes"] == []
    assert engine_agrees(tmp_path / "wrong", model) < 0.95
    add_twin(model)
    (note,) = engine.build(model, None, variant, engine.build_options(), tmp_path / "engine")["notes"]
    assert note.startswith("OpenVINO reads the ONNX twin, since it reads the Paddle model as another function: ")
    assert engine_agrees(tmp_path / "engine", model) >= 0.9995
    logits = LogitsModel(model.folder, {**model.facts, "class_count": 4}, tmp_path)
    assert engine.build(logits, None, variant, engine.build_options(), tmp_path / "logits")["notes"] == [note]


def test_right_reading_is_kept_where_there_is_a_twin(tmp_path: Path) -> None:
    model, engine, variant = exported(tmp_path, lambda logits: logits), base.load("openvino"), Variant("v", "o", "fp32")
    add_twin(model)
    assert engine.build(model, None, variant, engine.build_options(), tmp_path / "engine")["notes"] == []
