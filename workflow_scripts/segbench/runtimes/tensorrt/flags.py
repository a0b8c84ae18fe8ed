"""TensorRT before 10: the builder's flags say the arithmetic, and INT8's ranges come through a calibrator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segbench.errors import Failed
from segbench.runtimes.tensorrt.plan import Builder


def write_with_wide_output(source: Path, out: Path) -> None:
    """The model with a class map of 32-bit integers: TensorRT 8 computes none of 8 bits, unsigned. Logits stay."""
    import onnx
    from onnx import TensorProto

    model = onnx.load(str(source))
    result = model.graph.output[0]
    for node in model.graph.node:
        if node.op_type == "Cast" and list(node.output) == [result.name] and node.attribute[0].i == TensorProto.UINT8:
            node.attribute[0].i = TensorProto.INT32
            result.type.tensor_type.elem_type = TensorProto.INT32
    onnx.save(model, str(out))


def make_calibrator(trt: Any, cache: bytes) -> Any:
    """A calibrator that has its ranges already: it offers `cache` and not one image."""

    class FromCache(trt.IInt8EntropyCalibrator2):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.IInt8EntropyCalibrator2.__init__(self)

        def get_batch_size(self) -> int:
            return 1

        def get_batch(self, names: Any) -> None:
            return None

        def read_calibration_cache(self) -> bytes:
            return cache

        def write_calibration_cache(self, written: Any) -> None:
            """The one that was read: nothing to keep."""

    return FromCache()


def keep_in_fp32(trt: Any, builder: Builder, names: list[str]) -> list[str]:
    """Hold the layers of these ONNX nodes in FP32; returns those that were held.

    A node that the parser has folded away (into a constant, or into its neighbour) is no layer, and computes nothing in
    INT8 either. Raises Failed where it has left none of them: then the names are not this network's.
    """
    layers = {layer.name: layer for layer in map(builder.network.get_layer, range(builder.network.num_layers))}
    held = [name for name in names if name in layers]
    if names and not held:
        raise Failed(f"none of the {len(names)} layers to keep in FP32 is in TensorRT's network ({names[0]!r}, …)")
    if held:
        builder.config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    for name in held:
        layers[name].precision = trt.float32
    return held
