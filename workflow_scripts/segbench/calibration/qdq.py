"""Make an ONNX model with QuantizeLinear/DequantizeLinear pairs (Q/DQ) from a calibration table, without any image.

ONNX Runtime's own quantiser does it: per-channel signed 8-bit weights, unsigned 8-bit activations of any zero point.
For TensorRT, activations are signed with zero point 0, weights stay float before their pair, and biases are float
(https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/work-quantized-types.html).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from segbench.calibration.base import JUDGE, TABLE, Operator, layers_file, needs_reduced_range
from segbench.calibration.masks import masked
from segbench.calibration.table import CalibrationTable, read_table
from segbench.errors import InputError, Unsupported, framework_errors
from segbench.files import read_json, scratch
from segbench.machine.cpu import this_machine
from segbench.models.exported import ExportedModel
from segbench.models.onnx_graph import opset_of
from segbench.models.onnx_operators import name_nodes

SYMMETRIC = {"ActivationSymmetric": True, "WeightSymmetric": True, "AddQDQPairToWeight": True, "QuantizeBias": False}

MIN_OPSET = 13  # from this version on, weights are quantised channel by channel (DequantizeLinear's axis)
# These operators gain from 8 bits. Others between them would only be converted there and back.
OPERATORS = ("Conv", "MatMul", "Gemm", "Add", "AveragePool", "GlobalAveragePool", "Concat", "Resize", "ConvTranspose")


def prepare(model: ExportedModel, folder: Path) -> Path:
    """Write the model that is quantised to `folder`: batch normalisation folded into convolutions, shapes known.

    Table and quantiser name its tensors, and layers are named, so all start from here. The same versions make the same
    names. Raises Unsupported where there is nothing to quantise.
    """
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    source = model.file("model.onnx")
    if source is None or not source.stat().st_size:
        raise Unsupported("this model has no ONNX form")
    prepared = folder / "prepared.onnx"
    with framework_errors("preparing the graph", Exception, unsupported=True):
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        network = onnx.load(str(prepared))
        if opset_of(network) < MIN_OPSET:
            network = onnx.version_converter.convert_version(network, MIN_OPSET)
    name_nodes(network)
    onnx.save(network, str(prepared))
    if not layers(prepared):
        raise Unsupported(f"no operator of the graph is one that 8 bits serve ({', '.join(OPERATORS)})")
    return prepared


def layers(prepared: Path) -> list[str]:
    """Return the names of the nodes that are quantised, in the graph's order."""
    return _layers(_graph(prepared))


def operators(prepared: Path) -> list[Operator]:
    """Return all nodes in the graph's order, with their own names and those of their results."""
    graph = _graph(prepared)
    known = set(_layers(graph))
    return [Operator(node.name if node.name in known else "", (node.name, *node.output)) for node in graph.node]


def _layers(graph: Any) -> list[str]:
    without_range = masked_tensors(graph)
    nodes = [node for node in graph.node if node.op_type in OPERATORS]
    return [node.name for node in nodes if without_range.isdisjoint((*node.input, *node.output))]


def masked_tensors(graph: Any) -> set[str]:
    """Return the tensors of a graph that have no range, since the network stores infinities that go into them."""
    import numpy as np
    from onnx import TensorProto, numpy_helper

    stored = [tensor for tensor in graph.initializer if tensor.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16)]
    infinite = [tensor.name for tensor in stored if np.isinf(numpy_helper.to_array(tensor)).any()]
    return masked(((node.op_type, node.input, node.output) for node in graph.node), infinite)


def _graph(prepared: Path) -> Any:
    import onnx

    return onnx.load(str(prepared)).graph


def quantize(
    prepared: Path,
    table: CalibrationTable,
    out: Path,
    *,
    reduce_range: bool,
    fp32_layers: Sequence[str] = (),
    only: Collection[str] | None = None,
    symmetric: bool = False,
) -> None:
    """Write the Q/DQ model to `out`. `fp32_layers` stay as they are. With `only`, no other nodes are quantised.

    `symmetric` chooses the form that TensorRT takes.

    Raises InputError for a layer that the model does not have.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    graph = _graph(prepared)
    known = _layers(graph)
    masks = [node.name for node in graph.node if node.op_type in OPERATORS and node.name not in known]
    if strange := sorted({*fp32_layers, *(only or ())} - set(known)):
        raise InputError(f"{strange[0]!r} is no layer of the model; delete its {layers_file('*')} and run again")
    with tempfile.TemporaryDirectory() as folder:
        ranges = Path(folder) / "ranges.json"
        ranges.write_text(json.dumps(_as_tensors_data(table)))
        with framework_errors("quantising the graph", Exception, unsupported=True):
            quantize_static(
                str(prepared),
                str(out),
                None,
                calibration_cache_path=ranges,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(OPERATORS),
                nodes_to_quantize=list(only) if only is not None else None,
                nodes_to_exclude=[*fp32_layers, *masks],
                per_channel=True,
                reduce_range=reduce_range,
                activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                extra_options=SYMMETRIC if symmetric else None,
            )


def build(
    model: ExportedModel, calibration: Path, out: Path, judge: str = JUDGE, symmetric: bool = False
) -> dict[str, Any]:
    """Write the Q/DQ model of a calibration folder to `out`. Return facts for the engine's record.

    `judge` is the runtime whose choice of layers stays in FP32. `symmetric` chooses the form that TensorRT takes. 8-bit
    sums of a GPU do not saturate, so weights keep 8 bits.
    """
    table = read_table(calibration / TABLE, model.digest)
    kept = read_json(calibration / layers_file(judge))["fp32_layers"]
    reduce_range = not symmetric and needs_reduced_range(this_machine())
    with scratch(out) as folder:
        prepared = prepare(model, folder)
        quantize(prepared, table, out, reduce_range=reduce_range, fp32_layers=kept, symmetric=symmetric)
    return {"fp32_layers": len(kept), "reduce_range": reduce_range}


def _as_tensors_data(table: CalibrationTable) -> dict[str, Any]:
    """Return the table as ONNX Runtime's `load_tensors_data` reads it."""
    import numpy as np
    from onnxruntime.quantization.calibrate import (
        CalibrationCacheEncoder,
        CalibrationMethod,
        TensorData,
        TensorsData,
    )

    data = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high)) for name, (low, high) in table.ranges.items()
    }
    payload = TensorsData(CalibrationMethod.MinMax, data).to_dict() | {"smooth_quant": False}
    plain: dict[str, Any] = json.loads(json.dumps(payload, cls=CalibrationCacheEncoder))
    return plain
