"""Networks that are INT8 already, as people's tools leave them: ONNX files with Q/DQ nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from helpers.onnx_made import CLASSES, HEIGHT, WIDTH, network
from onnx import TensorProto

Images = list[np.ndarray]


def float_network(path: Path) -> Path:
    """Two convolutions with a ReLU between them; logits come out."""
    random = np.random.default_rng(5)
    first = random.normal(scale=0.4, size=(8, 3, 3, 3)).astype(np.float32)
    last = random.normal(scale=0.4, size=(CLASSES, 8, 1, 1)).astype(np.float32)
    nodes = [
        ("Conv", ["x", "first", "offset"], ["h"], {"pads": [1, 1, 1, 1]}), ("Relu", ["h"], ["h2"], {}),
        ("Conv", ["h2", "last", "bias"], ["scores"], {}),
    ]  # fmt: skip
    offset = random.normal(scale=0.2, size=8).astype(np.float32)
    full = [1, CLASSES, HEIGHT, WIDTH]
    return network(path, nodes, [("scores", TensorProto.FLOAT, full)], first=first, offset=offset, last=last)


def by_onnxruntime(source: Path, out: Path, images: Images, form: str = "QDQ", name: str = "x") -> Path:
    """Quantise by ONNX Runtime's static quantiser. `form` QOperator has 8-bit operators in place of Q/DQ pairs. `name`:
    of the input.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = list(images)

        def get_next(self) -> Any:
            return {name: self.left.pop()} if self.left else None

    quantize_static(str(source), str(out), Reader(), quant_format=QuantFormat[form], per_channel=form == "QDQ")
    return out


def by_nncf(source: Path, out: Path, images: Images) -> Path:
    """Quantise by NNCF, which exports an ONNX model with Q/DQ pairs."""
    import nncf

    data = nncf.Dataset(images, lambda image: {"x": image})
    onnx.save(nncf.quantize(onnx.load(str(source)), data, subset_size=len(images)), str(out))
    return out
