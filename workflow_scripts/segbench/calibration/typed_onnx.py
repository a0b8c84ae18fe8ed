"""Write an exported model's ONNX form in a precision that its types state, for strongly typed builders.

TensorRT from 10 on, TensorRT for RTX and ONNX Runtime's GPU providers take the arithmetic from the model itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segbench.calibration import qdq
from segbench.config.options import Variant
from segbench.errors import Unsupported
from segbench.models.exported import ExportedModel


def write_typed(model: ExportedModel, calibration: Path | None, variant: Variant, out: Path) -> dict[str, Any]:
    """Write the model to `out` (an .onnx file) in the variant's precision. Return facts for the engine's record.

    FP32 is the exported model; FP16 casts all weights and activations but input and output; INT8 has symmetric Q/DQ
    pairs made from the calibration folder `calibration`. Raises Unsupported where the model has no ONNX form.
    """
    source = model.file("model.onnx")
    if source is None or not source.stat().st_size:
        raise Unsupported("this model has no ONNX form")
    if variant.precision == "int8":
        assert calibration is not None
        return qdq.build(model, calibration, out, symmetric=True)
    if variant.precision == "fp16":
        _write_float16(source, out)
    else:
        out.write_bytes(source.read_bytes())
    return {}


def _write_float16(source: Path, out: Path) -> None:
    """Cast by ONNX Runtime's converter. Weights that FP16 cannot hold are clipped to its largest and smallest
    values.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(str(source)), keep_io_types=True), str(out))
