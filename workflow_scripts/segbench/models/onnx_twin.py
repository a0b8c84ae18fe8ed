"""Make an ONNX model that computes what an exported Paddle model computes, including adaptive pooling.

paddle2onnx turns adaptive average pooling into an AveragePool of fixed kernel and stride, which is another function
where the bins are uneven (PSPNet's 3 and 6 bins, ANN's 3, 6 and 8). At a fixed input shape the pooling is a product
with two constant matrices, and the twin has that form.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from segbench.errors import Failed, Unsupported
from segbench.machine.cpu import package_version
from segbench.models.onnx_custom import marked, replace_custom
from segbench.models.onnx_graph import (
    CLASS_MAP,
    Shape,
    constants_to_initializers,
    drop_unused,
    fold,
    infer,
    keep_shapes,
    shapes_of,
)
from segbench.models.paddle_files import read_program

OPSET = 16
# zlib before paddle 2.6.2: see PaddlePaddle/Paddle#70538. The result is checked later, after the repairs.
CONVERT = """import sys, zlib, paddle2onnx
pdmodel, pdiparams, out, opset, *custom = sys.argv[1:]
paddle2onnx.export(pdmodel, pdiparams, out, opset_version=int(opset), auto_upgrade_opset=False, verbose=False,
                   enable_onnx_checker=False, custom_op_info={name: name for name in custom})"""


class AdaptivePool(NamedTuple):
    """An adaptive pooling operator of a Paddle program: the variable it writes, its bins, its kind."""

    output: str
    bins: tuple[int, int]  # rows, columns
    average: bool


def make_twin(pdmodel: Path, pdiparams: Path) -> Any:
    """Make an `onnx.ModelProto` (opset 16, static shapes) with the Paddle model's input and uint8 output `class_map`.

    Raises Unsupported with a one-line reason where the model has no exact ONNX form.
    """
    import onnx

    if pdmodel.suffix == ".json":
        raise Unsupported(f"paddle2onnx {package_version('paddle2onnx')} cannot read a Paddle 3 model (.json)")
    try:
        return _repaired(_convert(pdmodel, pdiparams), pdmodel)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        said = " ".join(str(error).split())[:200]
        raise Unsupported(f"paddle2onnx's graph is invalid: {said}") from None


def _repaired(model: Any, pdmodel: Path) -> Any:
    """Make what paddle2onnx wrote of `pdmodel` static and exact, and check it."""
    import onnx

    # Shapes that Paddle did not know are written as unknown. They would hide those that follow from the input's.
    del model.graph.value_info[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    constants_to_initializers(model)
    fold(model)
    replace_custom(model)
    _pad_as_paddle(model)
    for pool in adaptive_pools(pdmodel):
        _make_exact(model, pool, shapes_of(infer(model)))  # anew: a replaced pool has another size
    _rename_output(model, CLASS_MAP)
    drop_unused(model)
    keep_shapes(model)
    if min(shapes_of(model.graph).get(CLASS_MAP, (0,))) < 1:
        raise Unsupported("the size of the class map does not follow from the input's size alone")
    onnx.checker.check_model(model, full_check=True)
    return model


def _convert(pdmodel: Path, pdiparams: Path) -> Any:
    """Convert the model by paddle2onnx, in a separate process, since it aborts its process at an operator that it
    lacks.
    """
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        program, out = Path(folder) / "model.pdmodel", Path(folder) / "model.onnx"
        content, custom = marked(pdmodel.read_bytes())
        program.write_bytes(content)
        command = [sys.executable, "-c", CONVERT, str(program), str(pdiparams), str(out), str(OPSET), *custom]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        printed = done.stdout + done.stderr
        print(printed, end="", flush=True)
        lacking = re.search(r"operators not supported yet, including ([\w, ]+)", printed)
        if lacking:
            raise Unsupported(f"paddle2onnx has no ONNX form for {lacking.group(1).strip(', ')}")
        if done.returncode < 0:
            raise Failed(f"paddle2onnx crashed by {signal.Signals(-done.returncode).name}: {_last_words(printed)}")
        if done.returncode or not out.is_file():
            raise Unsupported(f"paddle2onnx cannot convert this model to opset {OPSET}: {_last_words(printed)}")
        return onnx.load(str(out))


def _last_words(printed: str) -> str:
    """Return the last line that says something, without rules and addresses."""
    lines = [line.strip() for line in printed.splitlines()]
    said = [line for line in lines if re.search("[a-z]{3}", line) and not line.startswith(("[TimeInfo", "[SignalInfo"))]
    return said[-1][:200] if said else "it said nothing"


def adaptive_pools(pdmodel: Path) -> list[AdaptivePool]:
    """Return all adaptive 2-D pooling operators of a program, in its order."""
    program = read_program(pdmodel.read_bytes())
    block = program.block(0)
    pools = []
    for operator in map(block.op, range(block.op_size())):
        if operator.type() not in ("pool2d", "max_pool2d_with_index") or not operator.attr("adaptive"):
            continue
        average = operator.type() == "pool2d" and operator.attr("pooling_type") == "avg"
        rows, columns = operator.attr("ksize")
        if operator.has_attr("data_format") and operator.attr("data_format") == "NHWC":
            raise Unsupported("adaptive pooling of channels-last data; export the model with data_format NCHW")
        pools.append(AdaptivePool(operator.output("Out")[0], (rows, columns), average))
    return pools


def bin_matrix(size: int, bins: int) -> npt.NDArray[np.float32]:
    """Return float32 bins×size. Row i averages elements ⌊i·size/bins⌋ to ⌈(i+1)·size/bins⌉ − 1, as adaptive pooling
    does.
    """
    matrix = np.zeros((bins, size), np.float32)
    for row in range(bins):
        first, end = row * size // bins, -(-(row + 1) * size // bins)
        matrix[row, first:end] = 1 / (end - first)
    return matrix


def bin_indices(size: int, bins: int) -> npt.NDArray[np.int64]:
    """Return int64 bins×length: the elements of each bin of adaptive pooling, the last one repeated in shorter bins."""
    bounds = [(row * size // bins, -(-(row + 1) * size // bins)) for row in range(bins)]
    length = max(end - first for first, end in bounds)
    return np.array([[min(first + i, end - 1) for i in range(length)] for first, end in bounds], np.int64)


def _pad_as_paddle(model: Any) -> None:
    """Drop, in place, the dilation of convolutions that are padded to the same size: Paddle ignores it there.

    paddle2onnx keeps it; ONNX Runtime then refuses the convolution, and OpenVINO computes another function. Source:
    UpdatePaddingAndDilation, paddle/phi/kernels/cpu/conv_util.h.
    """
    for node in model.graph.node:
        facts = {attribute.name: attribute for attribute in node.attribute}
        if (
            node.op_type == "Conv"
            and "auto_pad" in facts
            and facts["auto_pad"].s == b"SAME_UPPER"
            and "dilations" in facts
        ):
            facts["dilations"].ints[:] = [1] * len(facts["dilations"].ints)


def _make_exact(model: Any, pool: AdaptivePool, shapes: dict[str, Shape]) -> None:
    """Replace the node that stands for `pool` where its bins are uneven: an average by two products with constant
    matrices, a maximum by gathering each bin's elements, along rows and then along columns.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    place = next((i for i, node in enumerate(graph.node) if pool.output in node.output), None)
    if place is None:
        raise Unsupported(f"adaptive pooling {pool.output} is not in paddle2onnx's graph")
    source = graph.node[place].input[0]
    shape = shapes.get(source)
    if shape is None or len(shape) != 4 or min(shape) <= 0:
        raise Unsupported(f"adaptive pooling {pool.output}: its input has no fixed size")
    if all(size % bins == 0 for size, bins in zip(shape[2:], pool.bins, strict=True)):
        return
    constants: dict[str, Any]
    rows, columns, half = (f"{pool.output}/{part}" for part in ("rows", "columns", "columns_pooled"))
    if pool.average:
        constants = {rows: bin_matrix(shape[2], pool.bins[0]), columns: bin_matrix(shape[3], pool.bins[1]).T}
        made = [
            helper.make_node("MatMul", [source, columns], [half], name=half),
            helper.make_node("MatMul", [rows, half], [pool.output], name=pool.output),
        ]
    else:
        constants = {rows: bin_indices(shape[2], pool.bins[0]), columns: bin_indices(shape[3], pool.bins[1])}
        by_row, by_column = f"{pool.output}/by_row", f"{pool.output}/by_column"
        made = [
            helper.make_node("Gather", [source, rows], [by_row], name=by_row, axis=2),
            helper.make_node("ReduceMax", [by_row], [half], name=half, axes=[3], keepdims=0),
            helper.make_node("Gather", [half, columns], [by_column], name=by_column, axis=3),
            helper.make_node("ReduceMax", [by_column], [pool.output], name=pool.output, axes=[4], keepdims=0),
        ]
    for name, values in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
    nodes = [*graph.node[:place], *made, *graph.node[place + 1 :]]
    del graph.node[:]
    graph.node.extend(nodes)


def _rename_output(model: Any, name: str) -> None:
    """Give the graph's one output its name."""
    old = model.graph.output[0].name
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [name if given == old else given for given in names]
    model.graph.output[0].name = name
