"""Paddle's INT8 works on a person's own exported model: its output's type and transposed convolutions do not matter."""

from __future__ import annotations

import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import export_paddle
import numpy as np
import onnx
import paddle
import pytest
from helpers.paddle_made import agreement, run_onnxruntime, run_paddle, street_images
from segbench.calibration import onnxruntime as onnxruntime_tables
from segbench.calibration import paddle as paddle_ptq
from segbench.calibration import qdq
from segbench.calibration.masks import masked
from segbench.calibration.table import CalibrationTable
from segbench.engines.paddle import RAISED
from segbench.errors import Failed, framework_errors
from segbench.files import sha256_of, write_json
from segbench.models import onnx_twin
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


def exported(folder: Path, network: paddle.nn.Layer) -> tuple[Path, ExportedModel]:
    """A network as the workflow exports it."""
    network.eval()
    spec = paddle.static.InputSpec([None, 3, None, None], "float32", "x")
    paddle.jit.save(paddle.jit.to_static(network, input_spec=[spec], full_graph=True), str(folder / "net"))
    pdmodel = folder / "mine" / "model.pdmodel"
    export_paddle.export("mine", ENTRY, folder / "net.pdmodel", pdmodel, pdmodel.with_suffix(".pdiparams"))
    return pdmodel, ExportedModel(pdmodel.parent, {"input": SIZE, "files": {}})


@pytest.mark.parametrize("ids", [True, False])
def test_exported_model_is_quantised_and_runs_on_onednn(tmp_path: Path, ids: bool) -> None:
    paddle.seed(1)
    pdmodel, model = exported(tmp_path, Network(ids))
    images = street_images(SIZE["height"], SIZE["width"], 2)
    task = SimpleNamespace(model=model, images=images)
    out = tmp_path / "int8"
    paddle_ptq.quantize(pdmodel.parent, task, "abs_max", out, [])
    program = read_program((out / "model.pdmodel").read_bytes())
    block = program.block(0)
    assert "quantize_linear" in {block.op(number).type() for number in range(block.op_size())}
    predict = paddle_ptq._predictor(out, "int8")
    found = [predict(image)[None] for image in images]
    assert agreement(found, run_paddle(pdmodel, images)) >= 0.9


class Sums(Network):
    """A sum that a ReLU and a further sum read, as in DDRNet."""

    def __init__(self) -> None:
        super().__init__(ids=False)
        self.first = paddle.nn.Conv2D(4, 4, 3, padding=1, bias_attr=False)
        self.second = paddle.nn.Conv2D(4, 4, 3, padding=1, bias_attr=False)

    def forward(self, image: Any) -> Any:
        logits = self.body(image)
        once = self.first(logits) + logits
        return self.second(paddle.nn.functional.relu(once)) + once


def test_sum_that_a_relu_and_a_further_sum_read_has_no_range(tmp_path: Path) -> None:
    """Paddle's oneDNN cannot run DDRNet otherwise. Its further sum keeps its range."""
    paddle.seed(1)
    pdmodel, model = exported(tmp_path, Sums())
    images = street_images(SIZE["height"], SIZE["width"], 2)
    paddle_ptq.quantize(pdmodel.parent, SimpleNamespace(model=model, images=images), "abs_max", tmp_path / "int8", [])
    block = (program := read_program((tmp_path / "int8" / "model.pdmodel").read_bytes())).block(0)
    operators = [block.op(number) for number in range(program.block(0).op_size())]
    whole = [operator for operator in operators if operator.type() == "elementwise_add"][-2:]
    rounded = {name for operator in operators if operator.type() == "quantize_linear" for name in operator.input("X")}
    assert [operator.output("Out")[0] in rounded for operator in whole] == [False, True]
    predict = paddle_ptq._predictor(tmp_path / "int8", "int8")
    assert agreement([predict(image)[None] for image in images], run_paddle(pdmodel, images)) >= 0.9


class Masked(Network):
    """Attention along the rows, which a mask keeps off each pixel itself, as CCNet's does; logits come out."""

    def __init__(self) -> None:
        super().__init__(ids=False)
        self.register_buffer("mask", paddle.diag(paddle.full([SIZE["height"]], -float("inf"))))

    def forward(self, image: Any) -> Any:
        logits = self.body(image)
        scores = paddle.matmul(logits, logits, transpose_y=True) / 8
        scores = paddle.concat([scores + self.mask, scores], axis=-1)
        weights = paddle.nn.functional.softmax(scores, axis=-1)
        return paddle.matmul(weights, paddle.concat([logits, logits], axis=2)) * 0.1 + logits


def test_tensors_with_a_masks_infinities_stay_in_fp32_on_every_engine(tmp_path: Path) -> None:
    paddle.seed(1)
    pdmodel, model = exported(tmp_path, Masked())
    images = street_images(SIZE["height"], SIZE["width"], 2)
    wanted = run_paddle(pdmodel, images)

    paddle_ptq.quantize(pdmodel.parent, SimpleNamespace(model=model, images=images), "abs_max", tmp_path / "int8", [])
    predict = paddle_ptq._predictor(tmp_path / "int8", "int8")
    assert agreement([predict(image)[None] for image in images], wanted) >= 0.9

    onnx.save(onnx_twin.make_twin(pdmodel, pdmodel.with_suffix(".pdiparams")), str(pdmodel.with_name("model.onnx")))
    write_json(pdmodel.with_name("onnx.json"), {"status": "ok", "sha256": sha256_of(pdmodel.with_name("model.onnx"))})
    prepared = qdq.prepare(model, tmp_path)
    ranges = onnxruntime_tables.collect(
        prepared, images, onnxruntime_tables.Options(), tmp_path / "unfinished.npz", tmp_path
    )
    table = CalibrationTable("m", {"a": "0"}, {"method": "percentile"}, {}, ranges)
    qdq.quantize(prepared, table, tmp_path / "qdq.onnx", reduce_range=False)
    kinds = [node.op_type for node in onnx.load(str(tmp_path / "qdq.onnx")).graph.node]
    assert "QuantizeLinear" in kinds and "Softmax" in kinds
    assert agreement(run_onnxruntime(tmp_path / "qdq.onnx", images), wanted) >= 0.9
    assert len(np.unique(wanted)) > 1


def test_what_a_softmax_makes_of_a_mask_has_a_range() -> None:
    operators = [
        ("Add", ["scores", "mask"], ["hidden"]),
        ("Concat", ["hidden", "more"], ["joined"]),
        ("Softmax", ["joined"], ["weights"]),
        ("MatMul", ["weights", "values"], ["seen"]),
    ]
    assert masked(operators, ["mask"]) == {"mask", "hidden", "joined"}
    assert masked(operators, []) == set()


def test_what_paddle_calls_fatal_is_the_rows_reason() -> None:
    """As MaskFormer's quantised model is refused when it is opened."""
    with (
        pytest.raises(Failed, match=r"opening the model: .Fatal. Could not find threshold information"),
        framework_errors("opening the model", *RAISED),
    ):
        raise SystemError("(Fatal) Could not find threshold information for [transpose_114.tmp_0] var")
