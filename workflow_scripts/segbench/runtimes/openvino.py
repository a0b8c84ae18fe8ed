"""What OpenVINO's engine and its quantiser share: reading an exported model, and running one to judge it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from segbench.arrays import ClassMap, Float32Image
from segbench.errors import Unsupported, framework_errors
from segbench.models.exported import ExportedModel, exact_twin


def read_model(model: ExportedModel) -> tuple[Any, list[str]]:
    """Return the `openvino.Model` at the model's fixed input shape, and a note where it is not of the first form.

    A Paddle model that OpenVINO's reader refuses is read as its ONNX twin, which computes the same. Raises Unsupported
    with the first reason where no form can be read.
    """
    import openvino

    def read(source: Any) -> Any:
        with framework_errors("reading the model", Exception, unsupported=True):
            graph = openvino.Core().read_model(str(source))
            graph.reshape(list(model.shape))
            return graph

    program = model.file("model.pdmodel")
    if program is None:
        return read(model.file("model.onnx")), []
    try:
        return read(program), []
    except Unsupported as refused:
        twin = exact_twin(model)
        if twin is None:
            raise
        return read(twin), [
            f"OpenVINO reads the ONNX twin, since of the Paddle model it says: {refused}".replace("; ", ", ")
        ]


def class_maps(model: Any) -> Callable[[Float32Image], ClassMap]:
    """Return a function from network input to class map, on the CPU and without a 16-bit shortcut."""
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()

    def predict(image: Float32Image) -> ClassMap:
        request.infer([image])
        return np.array(request.get_output_tensor().data[0])

    return predict
