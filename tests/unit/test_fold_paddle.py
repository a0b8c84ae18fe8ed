"""What does not depend on the image is computed once: the same class map from a graph without it."""

from __future__ import annotations

import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import export_paddle
import numpy as np
import onnx
import paddle
import pytest
from helpers.paddle_made import agreement, run_onnxruntime, run_openvino, run_paddle, save_network, street_images
from segbench.models import onnx_twin
from segbench.models.paddle_files import count_parameters, read_program

HEIGHT, WIDTH = 64, 96
ENTRY = {
    "kind": "paddle_inference",
    "weights": {},
    "input": {"height": HEIGHT, "width": WIDTH},
    "class_count": 4,
    "class_map": None,
    "output": None,
}
F = paddle.nn.functional


def operators(pdmodel: Path) -> Counter[str]:
    program = read_program(pdmodel.read_bytes())
    blocks = [program.block(number) for number in range(program.num_blocks())]
    return Counter(block.op(number).type() for block in blocks for number in range(block.op_size()))


def diagonal(logits: Any) -> Any:
    """As CCNet's mask: OpenVINO and paddle2onnx have no diag."""
    size = paddle.shape(logits)[2]
    return logits + paddle.matmul(paddle.diag(paddle.ones([size]) * 2.0), logits)


def grid(logits: Any) -> Any:
    """As SFNet's and the decoupled SegNet's grids of positions."""
    size = paddle.shape(logits)
    rows = paddle.linspace(-1, 1, size[2]).reshape([1, 1, -1, 1]).expand([1, 1, size[2], size[3]])
    return logits * (1 + rows)


def branch(logits: Any) -> Any:
    """As ISANet's padding: a block inside a block; the outer one runs, the inner one does not."""
    size = paddle.shape(logits)
    if size[2] % 5 != 0:
        logits = logits * -1
        if size[3] % 2 == 1:
            logits = logits * -3 + F.relu(logits)
    return logits


def mask(logits: Any) -> Any:
    """As Swin's mask: one variable that is written several times."""
    zeros = paddle.zeros([1, 1, HEIGHT, WIDTH])
    zeros[:, :, 10:20] = 1.0
    zeros[:, :, :, 20:40] = 2.0
    return logits * (zeros - 1)


def resized(logits: Any) -> Any:
    size = paddle.shape(logits)
    return F.interpolate(F.interpolate(logits, scale_factor=0.5), size[2:], mode="bilinear")


@pytest.mark.parametrize(
    ("then", "gone"),
    [
        (diagonal, ("shape", "slice", "fill_constant", "diag_v2", "reshape2")),
        (grid, ("shape", "slice", "linspace", "expand_v2")),
        (branch, ("shape", "conditional_block", "select_input", "equal", "relu")),
        (mask, ("set_value", "fill_constant")),
        (resized, ("shape", "slice", "cast")),
    ],
)
def test_folded_model_computes_the_same_on_every_engine(
    tmp_path: Path, then: Callable[[Any], Any], gone: tuple[str, ...]
) -> None:
    images = street_images(HEIGHT, WIDTH)
    net, pdmodel = save_network(tmp_path / "net", then), tmp_path / "out" / "model.pdmodel"
    count, notes = export_paddle.export("mine", ENTRY, net, pdmodel, pdmodel.with_suffix(".pdiparams"))
    before, after = operators(net), operators(pdmodel)
    assert all(before[name] and after[name] <= (name == "cast") for name in gone), after
    wanted = [out.argmax(1).astype(np.uint8) for out in run_paddle(net, images)]
    assert agreement(run_paddle(pdmodel, images), wanted) >= 0.9995
    assert agreement(run_openvino(pdmodel, images), wanted) >= 0.9995
    onnx.save(onnx_twin.make_twin(pdmodel, pdmodel.with_suffix(".pdiparams")), str(tmp_path / "twin.onnx"))
    assert agreement(run_onnxruntime(tmp_path / "twin.onnx", images), wanted) >= 0.9995
    assert (count, notes) == (count_parameters(save_network(tmp_path / "p", lambda logits: logits).read_bytes()), [])


def test_random_numbers_in_the_graph_are_drawn_once_and_noted(tmp_path: Path) -> None:
    net = save_network(tmp_path / "net", lambda logits: logits * paddle.rand([1, 4, 1, 1]))
    made = []
    for name in ("a", "b"):
        made.append(tmp_path / name / "model.pdmodel")
        _, notes = export_paddle.export("mine", ENTRY, net, made[-1], made[-1].with_suffix(".pdiparams"))
        assert notes == ["its graph draws random numbers (uniform_random), of which one draw is fixed"]
    assert operators(made[0])["uniform_random"] == 0
    assert made[0].with_suffix(".pdiparams").read_bytes() == made[1].with_suffix(".pdiparams").read_bytes()


def test_what_depends_on_the_image_stays(tmp_path: Path) -> None:
    net, pdmodel = save_network(tmp_path / "net", lambda logits: logits * logits.mean()), tmp_path / "o" / "m.pdmodel"
    export_paddle.export("mine", ENTRY, net, pdmodel, pdmodel.with_suffix(".pdiparams"))
    assert operators(pdmodel)["reduce_mean"] == 1
