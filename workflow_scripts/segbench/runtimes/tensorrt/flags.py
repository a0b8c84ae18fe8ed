"""TensorRT before 10: the builder's flags say the arithmetic, and INT8's ranges come through a calibrator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segbench.calibration import qdq
from segbench.calibration.table import read_table
from segbench.engines.base import ExportedModel, Variant
from segbench.errors import InputError, Unsupported
from segbench.files import read_json
from segbench.runtimes.tensorrt.calibration_cache import cache_text
from segbench.runtimes.tensorrt.plan import Builder


def build_by_flags(
    trt: Any, model: ExportedModel, table: Path | None, variant: Variant, options: Any, folder: Path
) -> tuple[Builder, dict[str, Any]]:
    """A builder set to the variant's precision, and facts for the record. `folder`: for the models that it parses."""
    facts: dict[str, Any] = {}
    source = model.file("model.onnx")
    if source is None or not source.stat().st_size:
        raise Unsupported("this model has no ONNX form")
    if table and options.int8 == "qdq":
        source = folder / "qdq.onnx"
        facts = qdq.build(model, table, source, symmetric=True)
    elif table:
        source = qdq.prepare(model, folder)  # the table names this model's tensors
    wide = folder / "wide.onnx"
    write_with_wide_output(source, wide)
    builder = Builder(trt, wide)
    if variant.precision == "fp16" or (table and options.others == "fp16"):
        builder.config.set_flag(trt.BuilderFlag.FP16)
    if table:
        builder.config.set_flag(trt.BuilderFlag.INT8)
    if table and options.int8 == "calibrator":
        ranges = read_table(table / "table.json", model.digest).ranges
        kept = read_json(table / "layers.json")["fp32_layers"]
        calibrator = make_calibrator(trt, cache_text(ranges, trt.__version__))
        builder.config.int8_calibrator = calibrator
        builder.alive.append(calibrator)
        _keep_in_fp32(trt, builder, kept)
        facts = {"fp32_layers": len(kept)}
    return builder, facts


def write_with_wide_output(source: Path, out: Path) -> None:
    """The model with a class map of 32-bit integers: TensorRT 8 computes none of 8 bits, unsigned."""
    import onnx

    model = onnx.load(str(source))
    result = model.graph.output[0]
    for node in model.graph.node:
        if node.op_type == "Cast" and list(node.output) == [result.name]:
            node.attribute[0].i = onnx.TensorProto.INT32
            result.type.tensor_type.elem_type = onnx.TensorProto.INT32
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


def _keep_in_fp32(trt: Any, builder: Builder, names: list[str]) -> None:
    """Hold the layers of these ONNX nodes in FP32. Raises InputError where the network has no such layer."""
    layers = {layer.name: layer for layer in map(builder.network.get_layer, range(builder.network.num_layers))}
    if missing := sorted(set(names) - layers.keys()):
        raise InputError(f"{missing[0]!r} is no layer of the model; delete its layers.json and run again")
    if names:
        builder.config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
    for name in names:
        layers[name].precision = trt.float32
