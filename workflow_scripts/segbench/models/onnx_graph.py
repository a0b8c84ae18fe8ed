"""Work on the graph of an ONNX model: shapes that follow, sizes that are computed once, nodes that are added."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy.typing as npt

CLASS_MAP = "class_map"  # the only output of every exported ONNX model
RESIZE = f"{CLASS_MAP}/Resize"  # the node that brings small logits to the input's size
# Operators of which sizes and axes are made. All of them compute the same each time.
FOLDED = frozenset(
    (
        "Abs", "Add", "And", "Cast", "Ceil", "Concat", "Constant", "ConstantOfShape", "Div", "Equal", "Expand", "Floor",
        "Gather", "Greater", "Identity", "Less", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pow", "Range",
        "ReduceMax", "ReduceMin", "ReduceProd", "Reshape", "Round", "ScatterND", "Size", "Slice", "Split", "Sqrt",
        "Squeeze", "Sub", "Tile", "Transpose", "Unsqueeze", "Where",
    )
)  # fmt: skip
MAX_FOLDED = 1 << 16  # elements; sizes and axes are folded, weights are not
MAX_FLOATS = 64  # elements: sizes are multiplied by scales and rounded, but weights are floats too

Shape = tuple[int, ...]
Values: TypeAlias = "npt.NDArray[Any]"
Step = tuple[str, tuple[Any, ...], dict[str, Any]]  # a node: its name, the constants that it reads, its attributes


def infer(model: Any) -> Any:
    """Return the model's `onnx.GraphProto` without weights: nodes, small initializers, and every shape that follows.

    Weights stand among its inputs, as shapes, since inference copies the whole model several times.
    """
    import onnx
    from onnx import helper

    light = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    graph = light.graph
    graph.name = "shapes"
    graph.node.extend(model.graph.node)
    graph.output.extend(model.graph.output)
    graph.value_info.extend(model.graph.value_info)
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) <= MAX_FOLDED:
            graph.initializer.append(tensor)
        else:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    there = {value.name for value in (*graph.input, *graph.initializer)}
    graph.input.extend(value for value in model.graph.input if value.name not in there)
    return onnx.shape_inference.infer_shapes(light, data_prop=True).graph


def shapes_of(graph: Any) -> dict[str, Shape]:
    """Return the shape of every value of an inferred graph that has one; 0 for a size that is not known."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.HasField("shape"):
            shapes[value.name] = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    return shapes


def keep_shapes(model: Any) -> None:
    """Write the inferred shapes into the model, including that of its one output."""
    known = infer(model)
    _replace(model.graph.value_info, known.value_info)
    model.graph.output[0].CopyFrom(known.output[0])


def fold(model: Any) -> None:
    """Compute, in place, what follows from known shapes. Sizes and axes become constants, so engines see no dynamic
    shape.

    Only small tensors are folded, in rounds, until nothing changes. Each fold can make further shapes known.
    """
    from onnx import numpy_helper

    graph = model.graph
    opset = opset_of(model)
    while True:
        shapes = shapes_of(infer(model))
        known = {t.name: t for t in graph.initializer if math.prod(t.dims) <= MAX_FOLDED}
        folded: dict[str, Values] = {}
        kept = []
        for node in graph.node:
            values = None if node.domain else _values(node, known, folded, shapes, opset)
            if values is None:
                kept.append(node)
            else:
                folded.update(zip(node.output, values, strict=True))
        if not folded:
            return
        del graph.node[:]
        graph.node.extend(kept)
        graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in folded.items())


def _values(
    node: Any, known: dict[str, Any], folded: dict[str, Values], shapes: dict[str, Shape], opset: int
) -> list[Values] | None:
    """Return a node's outputs, if they are small tensors which can be known now."""
    import numpy as np
    import onnx
    from onnx import numpy_helper
    from onnx.reference import ReferenceEvaluator

    if node.op_type == "Shape":
        return _shape(node, shapes.get(node.input[0]))
    if node.op_type not in FOLDED or not all(name in known or name in folded or not name for name in node.input):
        return None
    inputs = {
        name: folded[name] if name in folded else numpy_helper.to_array(known[name]) for name in node.input if name
    }
    alone = onnx.GraphProto(node=[node], output=[onnx.ValueInfoProto(name=name) for name in node.output])
    if not all(map(_is_small, inputs.values())):
        return None
    try:
        found = list(ReferenceEvaluator(alone, opsets={"": opset}).run(None, inputs))
    except Exception:  # the evaluator lacks this form of the operator, so the node stays
        return None
    if any(isinstance(value, list) for value in found):  # a sequence
        return None
    arrays = [np.asarray(value) for value in found]
    return arrays if all(map(_is_small, arrays)) else None


def _is_small(value: Values) -> bool:
    """Return whether a tensor is one of sizes, axes or scales by its type and length."""
    if value.dtype.kind == "f":
        return value.size <= MAX_FLOATS
    return value.dtype.kind in "iub" and value.size <= MAX_FOLDED


def _shape(node: Any, shape: Shape | None) -> list[Values] | None:
    """Return the output of an operator Shape, if its sizes are known."""
    import numpy as np

    if shape is None:
        return None
    part = {attribute.name: attribute.i for attribute in node.attribute}
    sizes = shape[part.get("start", 0) : part.get("end", len(shape))]
    return [np.array(sizes, np.int64)] if all(size > 0 for size in sizes) else None


def opset_of(model: Any) -> int:
    """Return the version of ONNX's own operators that the model is written in."""
    return int(next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")))


def constants_to_initializers(model: Any) -> None:
    """Turn Constant nodes into initializers, in place. paddle2onnx writes weights as nodes, quantisers need
    initializers.
    """
    graph = model.graph
    constants = [node for node in graph.node if node.op_type == "Constant" and node.attribute[0].name == "value"]
    for node in constants:
        tensor = node.attribute[0].t
        tensor.name = node.output[0]
        graph.initializer.append(tensor)
        graph.node.remove(node)


def make_nodes(model: Any, source: str, steps: Iterable[Step], result: str = "") -> list[Any]:
    """Return nodes that stand one behind another, the first of which reads `source`. The last one's output is `result`,
    else it has the node's name. Constants that they read are added to `model`.

    A step is (name, constants, attributes). A name ends in its operator's.
    """
    import numpy as np
    from onnx import helper, numpy_helper

    made = []
    for name, constants, attributes in steps:
        names = []
        for number, value in enumerate(constants):
            names.append("" if value is None else f"{name}/{number}")
            if value is not None:
                model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), names[-1]))
        made.append(helper.make_node(name.rpartition("/")[2], [source, *names], [name], name=name, **attributes))
        source = name
    if made and result:
        made[-1].output[0] = result
    return made


def drop_unused(model: Any) -> None:
    """Remove, in place, the nodes and initializers that no output depends on."""
    graph = model.graph
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            needed.update(_names_inside(node))
            kept.append(node)
    _replace(graph.node, reversed(kept))
    _replace(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in needed])
    _replace(graph.value_info, [value for value in graph.value_info if value.name in needed])


def _names_inside(node: Any) -> set[str]:
    """Return the names that the subgraphs of an If or Loop read, including their own."""
    graphs = [a.g for a in node.attribute if a.HasField("g")] + [g for a in node.attribute for g in a.graphs]
    return {name for g in graphs for inner in g.node for name in (*inner.input, *_names_inside(inner))} | {
        value.name for g in graphs for value in g.output
    }


def _replace(field: Any, items: Any) -> None:
    kept = list(items)
    del field[:]
    field.extend(kept)
