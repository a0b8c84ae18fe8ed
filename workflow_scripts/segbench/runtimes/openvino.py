"""Run an OpenVINO model to judge it, not to time it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from segbench.arrays import ClassMap, Float32Image


def class_maps(model: Any) -> Callable[[Float32Image], ClassMap]:
    """Return a function from network input to class map, on the CPU and without a 16-bit shortcut."""
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()

    def predict(image: Float32Image) -> ClassMap:
        request.infer([image])
        return np.array(request.get_output_tensor().data[0])

    return predict
