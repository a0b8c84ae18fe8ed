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
from segbench.models.onnx_twin import make_twin

SIZE = {"height": 32, "width": 64}
ENTRY = {"kind": "paddle_inference", "weights": {}, "input": SIZE, "class_count": 4, "class_map": None, "output": None}


def exported(folder: Path, then: Any) -> ExportedModel:
    pdmodel = folder / "mine" / "model.pdmodel"
    net = save_network(folder / "net", then)
    export_paddle.export("mine", ENTRY, net, pdmodel, pdmodel.with_suffix(".pdiparams"))
    return ExportedModel(pdmodel.parent, {"input": SIZE, "files": {}})


def add_twin(model: ExportedModel) -> None:
    path = model.folder / "model.onnx"
    onnx.save(make_twin(model.folder / "model.pdmodel", model.folder / "model.pdiparams"), str(path))
    write_json(model.folder / "onnx.json", {"status": "ok", "sha256": sha256_of(path)})


def weighted(logits: Any) -> Any:
    """Its own reader has no einsum."""
    return paddle.einsum("nchw,kc->nkhw", logits, paddle.eye(4) * -1.0)


def test_twin_is_read_where_the_paddle_reader_refuses(tmp_path: Path) -> None:
    model, engine, variant = exported(tmp_path, weighted), base.load("openvino"), Variant("v", "openvino", "fp32")
    with pytest.raises(Unsupported) as caught:
        engine.build(model, None, variant, engine.build_options(), tmp_path / "none")
    add_twin(model)
    facts = engine.build(model, None, variant, engine.build_options(), tmp_path / "engine")
    said = f"OpenVINO reads the ONNX twin, since of the Paddle model it says: {caught.value}".replace("; ", ", ")
    assert facts["notes"] == [said] and "\n" not in said
    session = engine.open(tmp_path / "engine", variant, engine.run_options(), 1)
    images = street_images(SIZE["height"], SIZE["width"])
    found = []
    for image in images:
        session.upload(image)
        session.execute()
        found.append(session.download()[None])
    assert agreement(found, run_paddle(model.folder / "model.pdmodel", images)) >= 0.9995
    with (model.folder / "model.onnx").open("ab") as stream:
        stream.write(b"damage")
    with pytest.raises(Unsupported):
        engine.build(model, None, variant, engine.build_options(), tmp_path / "damaged")


def test_paddle_model_is_read_itself_where_that_works(tmp_path: Path) -> None:
    model, engine, variant = exported(tmp_path, lambda logits: logits), base.load("openvino"), Variant("v", "o", "fp32")
    assert engine.build(model, None, variant, engine.build_options(), tmp_path / "engine")["notes"] == []
