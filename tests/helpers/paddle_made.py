"""Small Paddle networks made by code, and their class maps on the engines, without our engine files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

Images = list[np.ndarray]  # float32 1×3×H×W


def street_images(height: int, width: int, count: int = 2, seed: int = 0) -> Images:
    """A brighter upper half, boxes of any colour, blur and noise: values in −1 … 1."""
    random = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        image = np.full((height, width, 3), (90, 90, 90), np.float32)
        image[: height // 2] = random.uniform(120, 220, 3)
        for _ in range(25):
            corner = random.integers(0, (width, height))
            size = random.integers(2, (width // 3, height // 2))
            colour = random.uniform(0, 255) + random.uniform(-40, 40, 3)
            cv2.rectangle(image, corner.tolist(), (corner + size).tolist(), colour.tolist(), -1)
        image = cv2.GaussianBlur(image, (3, 3), 0) + random.normal(0, 6, image.shape)
        images.append(((np.clip(image, 0, 255) / 127.5 - 1).astype(np.float32)).transpose(2, 0, 1)[None].copy())
    return images


def save_network(path: Path, then: Callable[..., Any], inputs: int = 1, size: Any = None) -> Path:
    """Save `then(logits, …)` of a 3×3 convolution to 4 classes as path.pdmodel; `size` None: any height and width."""
    import paddle

    class Network(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.then = then  # Paddle's rewriting of `forward` does not see variables around the class
            self.body = paddle.nn.Sequential(paddle.nn.Conv2D(3, 4, 3, padding=1), paddle.nn.BatchNorm2D(4))

        def forward(self, image: Any, other: Any = None) -> Any:
            logits = self.body(image)
            return self.then(logits if other is None else logits + self.body(other))

    paddle.seed(0)
    network = Network()
    network.eval()
    height, width = size or (None, None)
    specs = [
        paddle.static.InputSpec([1 if size else None, 3, height, width], "float32", f"x{i}") for i in range(inputs)
    ]
    paddle.jit.save(paddle.jit.to_static(network, input_spec=specs, full_graph=True), str(path))
    return path.with_name(path.name + ".pdmodel")


def run_paddle(pdmodel: Path, images: Images) -> Images:
    """Class maps of the native CPU kernels."""
    import paddle.inference

    config = paddle.inference.Config(str(pdmodel), str(pdmodel.with_suffix(".pdiparams")))
    config.disable_gpu()
    config.disable_mkldnn()
    config.disable_glog_info()
    predictor = paddle.inference.create_predictor(config)
    source = predictor.get_input_handle(predictor.get_input_names()[0])
    result = predictor.get_output_handle(predictor.get_output_names()[0])
    found = []
    for image in images:
        source.copy_from_cpu(image)
        predictor.run()
        found.append(result.copy_to_cpu().copy())
    return found


def run_onnxruntime(path: Path, images: Images) -> Images:
    """Class maps of ONNX Runtime's CPU provider."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [session.run(None, {session.get_inputs()[0].name: image})[0] for image in images]


def run_openvino(path: Path, images: Images) -> Images:
    """Class maps of OpenVINO's CPU plug-in in float32, from a .pdmodel or an ONNX file."""
    import openvino

    core = openvino.Core()
    model = core.read_model(str(path))
    model.reshape(list(images[0].shape))
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [np.array(compiled(image)[0]) for image in images]


def agreement(first: Images, second: Images) -> float:
    """Share of equal pixels in the worst image."""
    assert all(a.shape == b.shape and a.dtype == b.dtype == np.uint8 for a, b in zip(first, second, strict=True))
    return min(float((a == b).mean()) for a, b in zip(first, second, strict=True))
