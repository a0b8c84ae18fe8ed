"""Small ONNX networks of every form that people have, and what they must give, computed by numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HEIGHT, WIDTH, CLASSES = 32, 64, 4
SIZE = (HEIGHT, WIDTH)
NHWC, NCHW = [0, 2, 3, 1], [0, 3, 1, 2]  # permutations to the layout
_RANDOM = np.random.default_rng(3)
WEIGHT = _RANDOM.normal(size=(CLASSES, 3, 1, 1)).astype(np.float32)
BIAS = _RANDOM.normal(scale=0.3, size=CLASSES).astype(np.float32)
Node = tuple[str, list[str], list[str], dict[str, Any]]
SCORES: Node = ("Conv", ["x", "weight", "bias"], ["scores"], {})  # 1×1: what `scores` computes


def scores(image: np.ndarray, weight: np.ndarray = WEIGHT, bias: np.ndarray = BIAS) -> np.ndarray:
    """The output of `SCORES` for an image [N, 3, H, W]."""
    return np.einsum("kc,nchw->nkhw", weight[:, :, 0, 0], image) + bias[None, :, None, None]


def entry(**other: Any) -> dict[str, Any]:
    """A complete entry of a model, as rules pass it to the export."""
    preprocessing = {"channel_order": "rgb", "scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3, "resize": "none"}
    return {
        "kind": "onnx", "weights": {"url": None, "path": "net.onnx", "sha256": None}, "class_map": None,
        "input": {"height": HEIGHT, "width": WIDTH}, "class_count": CLASSES, "output": None, "output_kind": "auto",
        "threshold": None, "preprocessing": preprocessing, **other,
    }  # fmt: skip


def network(
    path: Path, nodes: list[Node], outputs: list[tuple[str, int, Any]], *, image: tuple[int, Any] | None = None,
    opset: int = 16, domains: tuple[str, ...] = (), **weights: np.ndarray,
) -> Path:  # fmt: skip
    """Write a network of `nodes`. Its input is `x`, of the type and sizes of `image`; without sizes of outputs, any."""
    kind, shape = image or (TensorProto.FLOAT, [1, 3, *SIZE])
    constants = {"weight": WEIGHT, "bias": BIAS, **weights}
    graph = helper.make_graph(
        [helper.make_node(op, read, made, **facts) for op, read, made, facts in nodes],
        "made",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(*output) for output in outputs],
        [
            value if isinstance(value, TensorProto) else numpy_helper.from_array(np.asarray(value), name)
            for name, value in constants.items()
            if any(name in read for _, read, _, _ in nodes)
        ],
    )
    versions = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    onnx.save(helper.make_model(graph, opset_imports=versions, ir_version=8), str(path))
    return path
