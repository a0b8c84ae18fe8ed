"""What OpenVINO's engine and its quantiser share: reading an exported model, and running one to judge it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from segbench.arrays import SAME_NETWORK, ClassMap, Float32Image, agreement, as_class_map
from segbench.errors import Unsupported, framework_errors
from segbench.models.exported import ExportedModel, exact_twin

SIZED = ("Reshape", "Broadcast", "Interpolate")  # operators whose second input may say how large their output is


def read_model(model: ExportedModel) -> tuple[Any, list[str]]:
    """Return the `openvino.Model` at the model's fixed input shape, and a note where it is not of the first form.

    A Paddle model that OpenVINO's reader refuses, or reads as another function, is read as its ONNX twin, which was
    compared with Paddle when it was made. Raises Unsupported with the first reason where no form can be read.
    """
    from segbench.images.drawn import drawn_input  # with OpenCV, which a look at what is installed does without

    program = model.file("model.pdmodel")
    if program is None:
        return _read(model, model.file("model.onnx") or model.file("model.xml")), []
    twin = exact_twin(model)
    if twin is None:
        return _read(model, program), []
    try:
        graph = _read(model, program)
        image = drawn_input(model.facts)
        found = class_maps(graph)(image)
    except Unsupported as refused:
        said = str(refused).replace("; ", ", ")
        return _read(model, twin), [f"OpenVINO reads the ONNX twin, since of the Paddle model it says: {said}"]
    exact = _read(model, twin)
    same = agreement(*map(as_class_map, (found, class_maps(exact)(image))))
    if same >= SAME_NETWORK:
        return graph, []
    return exact, [
        "OpenVINO reads the ONNX twin, since it reads the Paddle model as another function: their class maps agree on"
        f" {same:.4f} of pixels"
    ]


def _read(model: ExportedModel, source: Path | None) -> Any:
    import openvino

    with framework_errors("reading the model", Exception, unsupported=True):
        graph = openvino.Core().read_model(str(source))
        graph.reshape(list(model.shape))
        return graph


def set_batch(graph: Any, count: int) -> None:
    """Make an `openvino.Model` of one image take `count` images at a time, in place, as `onnx_batch` does it.

    Raises Unsupported where the shapes do not follow.
    """
    import openvino

    _, *sizes = (size.get_length() for size in graph.inputs[0].partial_shape)
    of_images: set[str] = set()
    for node in graph.get_ordered_ops():
        inputs = node.input_values()
        if node.get_type_name() != "Parameter" and not any(one.node.get_name() in of_images for one in inputs):
            continue
        of_images.add(node.get_name())
        if node.get_type_name() in SIZED and _leads_with_one(inputs[0].partial_shape):
            _resize_batch(node, count)
    with framework_errors("setting the batch: the graph is made for one image", Exception, unsupported=True):
        # Not by `reshape`, which would check the constants against the input of one image.
        graph.get_parameters()[0].set_partial_shape(openvino.PartialShape([count, *sizes]))
        graph.validate_nodes_and_infer_types()
    result = graph.outputs[0].partial_shape
    if result.rank.get_length() == 0 or result[0].get_max_length() != count:
        raise Unsupported(f"the graph is made for one image: a batch of {count} gives {result}")


def _leads_with_one(shape: Any) -> bool:
    return shape.rank.is_static and shape.rank.get_length() > 0 and shape[0].get_max_length() == 1


def _resize_batch(node: Any, count: int) -> None:
    """Let an operator make tensors of `count` images where a constant says that it makes those of one."""
    import openvino

    given = node.input_value(1).node
    if given.get_type_name() != "Constant":
        return
    sizes = given.data.copy()
    last = node.input_value(node.get_input_size() - 1).node  # of a resize the axes that it is about, if they are given
    has_axes = node.get_type_name() == "Interpolate" and node.get_input_size() > 2 and _are_integers(last)
    axes = last.data.tolist() if has_axes else range(len(sizes))
    of_batch = [place for place, axis in enumerate(axes) if axis == 0]
    if sizes.dtype.kind == "i" and of_batch and sizes[of_batch[0]] == 1:
        sizes[of_batch[0]] = count
        node.input(1).replace_source_output(openvino.op.Constant(sizes).output(0))


def _are_integers(node: Any) -> bool:
    return node.get_type_name() == "Constant" and node.data.dtype.kind == "i"


def class_maps(model: Any) -> Callable[[Float32Image], ClassMap]:
    """Return a function from network input to class map, on the CPU and without a 16-bit shortcut."""
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    with framework_errors("reading the model", Exception, unsupported=True):
        request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()

    def predict(image: Float32Image) -> ClassMap:
        request.infer([image])
        return request.get_output_tensor().data[0].copy()

    return predict
