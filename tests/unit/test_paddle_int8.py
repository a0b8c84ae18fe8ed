"""Paddle's INT8 works on a person's own exported model: its output's type and transposed convolutions do not matter."""

from __future__ import annotations

import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import export_paddle
import paddle
import pytest
from helpers.paddle_made import agreement, run_paddle, street_images
from segbench.calibration import paddle as paddle_ptq
from segbench.models.exported import ExportedModel
from segbench.models.paddle_files import read_program

SIZE = {"height": 32, "width": 64}
ENTRY = {"kind": "paddle_inference", "weights": {}, "input": SIZE, "class_count": 4, "class_map": None, "output": None}


class Network(paddle.nn.Layer):
    """Down and up again, with a transposed convolution; class ids or logits come out."""

    def __init__(self, ids: bool) -> None:
        super().__init__()
        self.ids = ids
        self.body = paddle.nn.Sequential(
            paddle.nn.Conv2D(3, 8, 3, stride=2, padding=1),
            paddle.nn.ReLU(),
            paddle.nn.Conv2DTranspose(8, 8, 2, stride=2),
            paddle.nn.ReLU(),
            paddle.nn.Conv2D(8, 4, 3, padding=1),
        )

    def forward(self, image: Any) -> Any:
        logits = self.body(image)
        if self.ids:
            return logits.argmax(1, dtype="int32")
        return logits


@pytest.mark.parametrize("ids", [True, False])
def test_exported_model_is_quantised_and_runs_on_onednn(tmp_path: Path, ids: bool) -> None:
    paddle.seed(1)
    network = Network(ids)
    network.eval()
    spec = paddle.static.InputSpec([None, 3, None, None], "float32", "x")
    paddle.jit.save(paddle.jit.to_static(network, input_spec=[spec], full_graph=True), str(tmp_path / "net"))
    pdmodel = tmp_path / "mine" / "model.pdmodel"
    export_paddle.export("mine", ENTRY, tmp_path / "net.pdmodel", pdmodel, pdmodel.with_suffix(".pdiparams"))
    images = street_images(SIZE["height"], SIZE["width"], 2)
    task = SimpleNamespace(model=ExportedModel(pdmodel.parent, {"input": SIZE, "files": {}}), images=images)
    out = tmp_path / "int8"
    paddle_ptq.quantize(pdmodel.parent, task, "abs_max", out, [])
    program = read_program((out / "model.pdmodel").read_bytes())
    block = program.block(0)
    assert "quantize_linear" in {block.op(number).type() for number in range(block.op_size())}
    predict = paddle_ptq._predictor(out, "int8")
    found = [predict(image)[None] for image in images]
    assert agreement(found, run_paddle(pdmodel, images)) >= 0.9
