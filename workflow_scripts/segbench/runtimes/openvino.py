"""What OpenVINO's engine and its quantiser share: reading an exported model, and running one to judge it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from segbench.arrays import SAME_NETWORK, ClassMap, Float32Image, agreement, as_class_map
from segbench.errors import Unsupported, framework_errors
from segbench.models.exported import ExportedModel, exact_twin


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


def class_maps(model: Any) -> Callable[[Float32Image], ClassMap]:
    """Return a function from network input to class map, on the CPU and without a 16-bit shortcut."""
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    with framework_errors("reading the model", Exception, unsupported=True):
        request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()

    def predict(image: Float32Image) -> ClassMap:
        request.infer([image])
        return np.array(request.get_output_tensor().data[0])

    return predict
