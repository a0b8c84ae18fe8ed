"""Give a person's ONNX network the one form of input that engines get: FLOAT [1, 3, height, width]."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from segbench.errors import InputError
from segbench.models.onnx_graph import Step, make_nodes, opset_of
from segbench.models.onnx_run import noise, outputs_of, same_outputs

IMAGE = "segbench/image"  # the input of a network whose own input has another form
WANTED = "[1, 3, height, width] or [1, height, width, 3], with 3 channels or 1 (-1: any)"
PIXELS = {"scale": 1.0, "mean": [0.0] * 3, "std": [1.0] * 3}  # what a network of 8-bit values is given
LUMA = {"rgb": (0.299, 0.587, 0.114), "bgr": (0.114, 0.587, 0.299)}  # ITU-R BT.601, as Pillow and OpenCV have it


class Input(NamedTuple):
    """The network's own input: its value, the axis of its channels, its sizes with -1 for any."""

    value: Any
    axis: int
    shape: list[int]
    form: str  # its type and sizes, for messages

    @property
    def kind(self) -> int:
        """Return its ONNX type."""
        return int(self.value.type.tensor_type.elem_type)


def fix_input(model: Any, source: str, where: str, entry: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Give `model` one FLOAT input [1, 3, height, width], in place. Return notes, and facts that replace the entry's.

    What the network's own input wants is made of that: its type, its layout, its one channel. A batch becomes 1 where
    one image then gives what it gives in the batch. Messages call the file `source` and the entry `where`.
    """
    given, size = _input_of(model, source), (entry["input"]["height"], entry["input"]["width"])
    axes = (2, 3) if given.axis == 1 else (1, 2)
    if any(given.shape[axis] not in (-1, wanted) for axis, wanted in zip(axes, size, strict=True)):
        raise InputError(
            f"{where}.input: {size[0]}×{size[1]}, but {source}: input {given.value.name!r} is {given.form}"
        )
    channels = 1 if given.shape[given.axis] == 1 else 3
    shape = (channels, *size) if given.axis == 1 else (*size, channels)
    notes = []
    if (batch := given.shape[0]) > 1:
        _make_single(model, given, batch, shape, source)
        notes.append(f"input {given.value.name!r} is of {batch} images, of which one is left")
    _set_shape(model, given.value, (1, *shape))
    facts: dict[str, Any] = {}
    preprocessing = entry["preprocessing"] if given.kind in _pixels() or channels == 1 else {}
    if given.kind in _pixels():
        facts["preprocessing"] = preprocessing = {**preprocessing, **PIXELS}
    if channels == 1:
        _need_equal_channels(preprocessing, where, source, given)
    if steps := list(_steps(given, channels, preprocessing, opset_of(model))):
        operators = ", ".join(name.rpartition("/")[2] for name, _, _ in steps)
        made = f"input {given.value.name!r} is {given.form}, which is made of FLOAT {[1, 3, *size]} by {operators}"
        notes.append(f"{made}, and gets pixels as they are" if facts else made)
        _put_before(model, given.value, size, steps)
    return notes, facts


def _input_of(model: Any, source: str) -> Input:
    """Return the one input of `model`. Raises InputError where it takes no image."""
    from onnx import TensorProto

    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise InputError(f"{source}: has {len(inputs)} inputs ({names}); a segmentation model has one, the image")
    tensor = inputs[0].type.tensor_type
    shape = [dim.dim_value or -1 for dim in tensor.shape.dim] if tensor.HasField("shape") else [-1] * 4
    form = f"{TensorProto.DataType.Name(tensor.elem_type)} {shape}"
    numbers = (TensorProto.FLOAT, TensorProto.DOUBLE, *_pixels())
    axis = _channel_axis(shape)
    if axis is None or tensor.elem_type not in numbers:
        raise InputError(f"{source}: input {inputs[0].name!r} is {form}; wanted: FLOAT or UINT8 {WANTED}")
    return Input(inputs[0], axis, shape, form)


def _channel_axis(shape: list[int]) -> int | None:
    """Return the axis of the channels: 1 where that can be 3 or 1, else 3. None: neither can."""
    if len(shape) != 4:
        return None
    known = next((axis for axis in (1, 3) if shape[axis] in (1, 3)), None)
    return 1 if known is None and shape[1] == -1 else known


def _pixels() -> tuple[int, ...]:
    """Return the types of networks that take an image's 8-bit values: their preprocessing is in their graph."""
    from onnx import TensorProto

    return TensorProto.UINT8, TensorProto.INT32, TensorProto.INT64


def _set_shape(model: Any, value: Any, shape: tuple[int, ...]) -> None:
    """Fix the input's shape. Shapes that were written for another contradict, or hide, what follows from it."""
    from onnx import helper

    value.CopyFrom(helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, shape))
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")


def _need_equal_channels(preprocessing: dict[str, Any], where: str, source: str, given: Input) -> None:
    for key in ("mean", "std"):
        if len(set(preprocessing[key])) != 1:
            raise InputError(
                f"{where}.preprocessing.{key}: {preprocessing[key]}, but the input of {source} is {given.form}: one"
                " channel, made of all three, wants three equal numbers"
            )


def _steps(given: Input, channels: int, preprocessing: dict[str, Any], opset: int) -> Iterator[Step]:
    """Yield the nodes between the image that engines get and the network's own input."""
    from onnx import TensorProto

    if channels == 1:
        luma = np.array(LUMA[preprocessing["channel_order"]], np.float32).reshape(1, 3, 1, 1)
        yield "segbench/Mul", (luma,), {}
        axes: Any = ((np.array([1]),), {}) if opset >= 13 else ((), {"axes": [1]})
        yield "segbench/ReduceSum", axes[0], {"keepdims": 1, **axes[1]}
    if given.kind != TensorProto.FLOAT:
        if given.kind != TensorProto.DOUBLE and (channels == 1 or preprocessing.get("resize", "none") != "none"):
            yield "segbench/Round", (), {}  # luma and resized pixels are no whole numbers, which a cast would cut off
        yield "segbench/Cast", (), {"to": given.kind}
    if given.axis == 3:
        yield "segbench/Transpose", (), {"perm": [0, 2, 3, 1]}


def _put_before(model: Any, value: Any, size: tuple[int, int], steps: list[Step]) -> None:
    """Put nodes before the network, and make their image its input."""
    from onnx import TensorProto, helper

    nodes = [*make_nodes(model, IMAGE, steps, value.name), *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    value.CopyFrom(helper.make_tensor_value_info(IMAGE, TensorProto.FLOAT, (1, 3, *size)))


def _make_single(model: Any, given: Input, batch: int, shape: tuple[int, ...], source: str) -> None:
    """Make a network of a fixed batch one of a single image, in place.

    The batch is also written into the shapes that it reshapes to. Whether a leading number is the batch cannot be told
    by its place, so both networks run on noise: one image must give what it gives in the batch.
    """
    images = noise((batch, *shape), given.kind)
    try:
        wanted = outputs_of(model, images)
        _set_shape(model, given.value, (1, *shape))
        _single_reshapes(model, batch)
        same = same_outputs(outputs_of(model, images[:1]), wanted)
    except InputError as error:
        raise InputError(f"{source}: input {given.form}: a batch that cannot be made 1: {error}") from None
    if not same:
        raise InputError(
            f"{source}: input {given.form}: a batch that cannot be made 1, since one image then gives another result;"
            " export it with batch 1"
        )


def _single_reshapes(model: Any, batch: int) -> None:
    from onnx import numpy_helper

    graph = model.graph
    known = {tensor.name: tensor for tensor in graph.initializer}
    for number, node in enumerate(graph.node):
        if node.op_type not in ("Reshape", "Expand") or node.input[1] not in known:
            continue
        sizes = numpy_helper.to_array(known[node.input[1]]).copy()
        if sizes.size > 1 and sizes[0] == batch:
            sizes[0], node.input[1] = 1, f"segbench/sizes/{number}"
            graph.initializer.append(numpy_helper.from_array(sizes, node.input[1]))
