"""Choose the output of a person's ONNX network that has the classes, and put the class map behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from segbench.errors import InputError
from segbench.models.onnx_graph import CLASS_MAP, RESIZE, Shape, Step, Values, infer, make_nodes, shapes_of
from segbench.models.onnx_operators import operator_name
from segbench.models.onnx_run import noise, outputs_of

FLOATS = ("FLOAT", "DOUBLE")
INTEGERS = ("BOOL", "UINT8", "INT8", "UINT16", "INT16", "UINT32", "INT32", "UINT64", "INT64")
MOVES = ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Transpose")  # they keep each value
SHARES = ("Sigmoid", "HardSigmoid", "Clip")  # what ends in one of these has values from 0 to 1
NONE = (255, -1)  # ids that say "no class"


class Output(NamedTuple):
    """An output of the network: its name, its ONNX type, its sizes."""

    name: str
    kind: str
    shape: Shape

    def __str__(self) -> str:
        return f"output {self.name!r} is {self.kind} {list(self.shape)}"


class Ending(NamedTuple):
    """How an output becomes the class map: the nodes, and what a person should know of them."""

    steps: list[Step]
    notes: list[str]


def append_class_map(model: Any, source: str, where: str, entry: dict[str, Any]) -> list[str]:
    """Put a uint8 output `class_map` [1, height, width] behind the output of `model` that has the classes, in place.

    Every other output is dropped. Return notes. Messages call the file `source` and the entry `where`.
    """
    from onnx import TensorProto, helper

    outputs = _outputs_of(model, source)
    output, notes = _choose(outputs, source, where, entry["output"], entry["class_count"])
    size = entry["input"]["height"], entry["input"]["width"]
    ending = _ending(model, output, source, where, entry, size)
    type_ = getattr(TensorProto, output.kind)
    graph = model.graph
    if output.name not in {value.name for value in graph.value_info}:
        graph.value_info.append(helper.make_tensor_value_info(output.name, type_, output.shape))
    graph.node.extend(make_nodes(model, output.name, ending.steps, CLASS_MAP))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(CLASS_MAP, TensorProto.UINT8, [1, *size]))
    return notes + ending.notes


def _outputs_of(model: Any, source: str) -> list[Output]:
    """Return the network's outputs. Sizes that do not follow from the graph are those of a run on noise."""
    from onnx import TensorProto, helper

    known = infer(model)
    shapes = shapes_of(known)
    types = {value.name: value.type.tensor_type.elem_type for value in known.output}
    found = {name: Output(name, TensorProto.DataType.Name(kind), shapes.get(name, ())) for name, kind in types.items()}
    if all(output.shape and min(output.shape) > 0 and output.kind != "UNDEFINED" for output in found.values()):
        return list(found.values())
    try:
        values = _run(model)
    except InputError as error:
        hides = _first_without_shape(known, shapes)
        raise InputError(f"{source}: the size of its outputs does not follow from operator {hides}; {error}") from None
    return [
        Output(name, TensorProto.DataType.Name(helper.np_dtype_to_tensor_dtype(values[name].dtype)), values[name].shape)
        for name in found
    ]


def _run(model: Any) -> dict[str, Values]:
    """Return the network's outputs for an image of noise."""
    tensor = model.graph.input[0].type.tensor_type
    return outputs_of(model, noise(tuple(dim.dim_value for dim in tensor.shape.dim), tensor.elem_type))


def _first_without_shape(known: Any, shapes: dict[str, Shape]) -> str:
    """Name the first operator behind which sizes are not known, with its domain."""
    for node in known.node:
        if any(name and min(shapes.get(name, (0,)), default=1) < 1 for name in node.output):
            return operator_name(node)
    return "(none)"


def _choose(
    outputs: list[Output], source: str, where: str, wanted: str | int | None, count: int
) -> tuple[Output, list[str]]:
    """Return the output to take, and a note where there was a choice that the entry does not make.

    That is the largest with `count` channels, since auxiliary heads are smaller; else the first.
    """
    known = f"{source} has {len(outputs)} outputs: {', '.join(output.name for output in outputs)}"
    if wanted is not None:
        names = [output.name for output in outputs]
        number = wanted if isinstance(wanted, int) else names.index(wanted) if wanted in names else -1
        if not 0 <= number < len(outputs):
            raise InputError(f"{where}.output: {wanted!r} is none of them: {known}")
        return outputs[number], []
    fitting = [one for one in outputs if one.kind in FLOATS and _channel_axis(one.shape, count) is not None]
    chosen = max(fitting or outputs[:1], key=lambda one: np.prod(one.shape))  # of equal ones the first
    why = f"the largest of {count} channels" if fitting else "the first"
    return chosen, [f"{known}, of which {chosen.name!r} is taken, {why}"] if len(outputs) > 1 else []


def _channel_axis(shape: Shape, count: int) -> int | None:
    """Return the axis of `count` channels in an output for one image: the second, else the last. None: it has none."""
    if len(shape) == 3:
        return 0 if shape[0] == count else None  # without an axis for the batch
    if len(shape) != 4 or shape[0] != 1:
        return None
    return next((axis for axis in (1, 3) if shape[axis] == count), None)


def _ending(
    model: Any, output: Output, source: str, where: str, entry: dict[str, Any], size: tuple[int, int]
) -> Ending:
    kind, count = entry.get("output_kind", "auto"), entry["class_count"]
    if output.shape == size:  # without axes of length 1
        output = output._replace(shape=(1, *size))
    shown = f"output {output.name!r} of {source} is {output.kind} {list(output.shape)}"
    if output.kind not in (*FLOATS, *INTEGERS):
        raise InputError(f"{where}: {shown}; wanted: numbers")
    if kind == "ids" or (kind == "auto" and output.kind in INTEGERS and entry.get("threshold") is None):
        return _of_ids(model, output, shown, where, count, size)
    axis, channels = _channel_axis(output.shape, count), count
    if axis is None and (kind == "sigmoid" or count == 2):
        axis, channels = _channel_axis(output.shape, count - 1), count - 1
    if axis is None:
        raise InputError(_no_channels(output, shown, where, count))
    if channels == count and entry.get("threshold") is not None:
        raise InputError(
            f"{where}.threshold: {shown} and has all {count} classes, the highest of which is taken; remove it"
        )
    return _of_scores(model, output, where, entry, size, axis, channels)


def _no_channels(output: Output, shown: str, where: str, count: int) -> str:
    """Say what would be right where an output has not the wanted channels."""
    shape = output.shape
    if len(shape) != 4 or shape[0] != 1:
        return f"{where}: {shown}; wanted: FLOAT logits [1, {count}, height, width] or an integer class map"
    if shape[1] == count - 1:
        return (
            f"{where}.class_count: {count}, but {shown}: {shape[1]} channels; output_kind: sigmoid, if none of them"
            " is the background"
        )
    if shape[1] == 1:
        return f"{where}.class_count: {count}, but {shown}: one channel tells two classes (class_count: 2)"
    last = f", or {shape[3]} if they are last" if shape[3] < shape[1] else ""
    return f"{where}.class_count: {count}, but {shown}: {shape[1]} channels{last}"


def _of_scores(
    model: Any, output: Output, where: str, entry: dict[str, Any], size: tuple[int, int], axis: int, channels: int
) -> Ending:
    """Take the highest of `channels` scores; where they are one less than the classes, none above the threshold is the
    first class.

    The threshold is then taken from the scores, and a plane of zeros stands for that class. So small scores are resized
    before they are compared, and the accuracy pass gets scores of all classes.
    """
    from onnx import TensorProto

    count = entry["class_count"]
    steps: list[Step] = [] if output.kind == "FLOAT" else [(f"{CLASS_MAP}/float/Cast", (), {"to": TensorProto.FLOAT})]
    notes = []
    if axis == 3:
        steps.append((f"{CLASS_MAP}/Transpose", (), {"perm": [0, 3, 1, 2]}))
        notes.append(f"{output}: its last axis is taken for the {channels} channels")
    height, width = [length for place, length in enumerate(output.shape) if place != axis][-2:]
    if len(output.shape) != 4:
        steps.append((f"{CLASS_MAP}/Reshape", (np.array([1, channels, height, width]),), {}))
    if channels < count:
        threshold, why = _threshold(model, output, entry)
        steps += _with_a_plane_of_zeros(channels, threshold)
        classes = "class 1" if count == 2 else "the class of the highest channel"
        notes.append(f"{output}: {classes} where it is above {threshold:g} ({why}), else class 0")
    if max(height - size[0], width - size[1]) > 0:
        raise InputError(f"{where}: {output}, larger than the input of {size[0]}×{size[1]}")
    if (height, width) != size:
        notes.append(f"logits of {height}×{width} are resized (bilinear) to {size[0]}×{size[1]} before argmax")
        bilinear = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        steps.append((RESIZE, (None, None, np.array([1, count, *size])), bilinear))
    steps.append((f"{CLASS_MAP}/ArgMax", (), {"axis": 1, "keepdims": 0}))
    return Ending([*steps, (f"{CLASS_MAP}/Cast", (), {"to": TensorProto.UINT8})], notes)


def _with_a_plane_of_zeros(channels: int, threshold: float) -> Iterator[Step]:
    """Yield the nodes from 1×C×H×W to 1×(C + 1)×H×W, less the threshold, whose first plane is 0.

    Pad would be one node, but OpenVINO 2026.4 pads 8-bit values wrongly.
    """
    if channels > 1:
        yield f"{CLASS_MAP}/Gather", (np.array([0, *range(channels)]),), {"axis": 1}
    if threshold:
        yield f"{CLASS_MAP}/Sub", (np.array(threshold, np.float32),), {}
    kept = np.array([0] + [1] * channels, np.float32)
    yield f"{CLASS_MAP}/Mul", (kept.reshape(1, -1, 1, 1),), {}


def _threshold(model: Any, output: Output, entry: dict[str, Any]) -> tuple[float, str]:
    """Return the value above which a channel has its class, and where it comes from."""
    if (given := entry.get("threshold")) is not None:
        return given, "threshold"
    kind = entry.get("output_kind", "auto")
    if kind != "auto":
        return (0.5, "output_kind: sigmoid") if kind == "sigmoid" else (0.0, "output_kind: logits")
    last = _made_by(model, output.name, lambda node: node.op_type not in (*MOVES, "Resize", "Slice"))
    name = operator_name(last) if last is not None else "its input"
    return (
        0.5 if last is not None and last.op_type in SHARES else 0.0
    ), f"it ends in {name}, output_kind may say otherwise"


def _made_by(model: Any, name: str, ends: Callable[[Any], bool]) -> Any:
    """Return the node at which the way back from value `name`, along first inputs, `ends`; None: at the input."""
    makers = {made: node for node in model.graph.node for made in node.output}
    node = makers.get(name)
    while node is not None and not ends(node):
        node = makers.get(node.input[0])
    return node


def _of_ids(model: Any, output: Output, shown: str, where: str, count: int, size: tuple[int, int]) -> Ending:
    """Take integers for class ids. Two classes may be a mask of 0 and 255, or of false and true."""
    from onnx import TensorProto

    sizes = _sizes_of_map(output.shape)
    if sizes is None:
        raise InputError(f"{where}: {shown}; an integer class map must be [1, {size[0]}, {size[1]}]")
    notes = _compare_ids(model, output, shown, where, count)
    steps: list[Step] = [(f"{CLASS_MAP}/mask/Cast", (), {"to": TensorProto.BOOL})] if notes else []
    steps.append((f"{CLASS_MAP}/Cast", (), {"to": TensorProto.UINT8}))
    if sizes != size:
        notes.append(f"class ids of {sizes[0]}×{sizes[1]} are resized (nearest) to {size[0]}×{size[1]}")
        # As OpenCV's INTER_NEAREST_EXACT: the pixel whose square holds the centre of the new one.
        steps.append((f"{CLASS_MAP}/nearest/Reshape", (np.array([1, 1, *sizes]),), {}))
        nearest = {"mode": "nearest", "coordinate_transformation_mode": "half_pixel"}
        exact = {**nearest, "nearest_mode": "round_prefer_ceil"}
        steps.append((f"{CLASS_MAP}/nearest/Resize", (None, None, np.array([1, 1, *size])), exact))
    return Ending([*steps, (f"{CLASS_MAP}/Reshape", (np.array([1, *size]),), {})], notes)


def _sizes_of_map(shape: Shape) -> tuple[int, int] | None:
    """Return height and width of a map of one image, with or without an axis for its one channel; None: it is none."""
    if len(shape) == 4 and shape[0] == 1 and 1 in (shape[1], shape[3]):
        return (shape[2], shape[3]) if shape[1] == 1 else (shape[1], shape[2])
    if len(shape) == 3 and shape[0] == 1:
        return shape[1], shape[2]
    return None


def _compare_ids(model: Any, output: Output, shown: str, where: str, count: int) -> list[str]:
    """Compare ids with `count`. Return a note where the output is a mask, each value of which but 0 is class 1.

    The ids of an argmax are as many as its channels. Others are those that an image of noise shows.
    """
    best = _made_by(model, output.name, lambda node: node.op_type not in MOVES)
    if best is not None and best.op_type == "ArgMax":
        channels = _channels_of(model, best)
        if channels not in (None, count):
            raise InputError(f"{where}.class_count: {count}, but {shown}, the argmax of {channels} channels")
        return []
    if strange := [number for number in _ids_of_noise(model, output) if not 0 <= number < count and number not in NONE]:
        said = f"{where}.class_count: {count}, but {shown} and has id {strange[-1]:g} for an image of noise"
        raise InputError(said + ("; threshold makes two classes of such values" if count == 2 else ""))
    return [f"{output}: a mask, class 1 where it is not 0"] if count == 2 else []


def _ids_of_noise(model: Any, output: Output) -> list[float]:
    """Return the ids that the network gives for an image of noise; none where it does not run."""
    try:
        return list(np.unique(_run(model)[output.name]).tolist())
    except InputError:  # the rows say why
        return []


def _channels_of(model: Any, best: Any) -> int | None:
    """Return how many channels an ArgMax reads; None where that is not known."""
    shape = shapes_of(infer(model)).get(best.input[0], ())
    axis = next((attribute.i for attribute in best.attribute if attribute.name == "axis"), 0)
    return shape[axis] or None if -len(shape) <= axis < len(shape) else None
