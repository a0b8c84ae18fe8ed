"""Small real inputs made by code: images with labels, and an ONNX network that segments them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

COLOURS = np.array([[40, 40, 200], [40, 200, 40], [200, 40, 40], [220, 220, 220]], np.uint8)  # BGR of classes 0 to 3


def make_folder_dataset(
    root: Path, count: int = 4, height: int = 32, width: int = 64, seed: int = 0, split: str = "val"
) -> Path:
    """`val/*.png` and `labels/*.png`: coloured rectangles with noise; ids 0 to 3, 255 along the lower edge.

    Another split's images and labels lie in `SPLIT/` and `SPLIT labels/`.
    """
    random = np.random.default_rng(seed)
    images, labels = root / split, root / ("labels" if split == "val" else f"{split} labels")
    images.mkdir(parents=True)
    labels.mkdir()
    for number in range(count):
        label = np.zeros((height, width), np.uint8)
        for _ in range(6):
            y, x = random.integers(0, height - 8), random.integers(0, width - 8)
            label[y : y + 8, x : x + 12] = random.integers(0, 4)
        image = np.clip(COLOURS[label].astype(int) + random.integers(-60, 60, (height, width, 3)), 0, 255)
        label[-2:] = 255
        cv2.imwrite(str(images / f"scene {number:02d}.png"), image.astype(np.uint8))
        cv2.imwrite(str(labels / f"scene {number:02d}.png"), label)
    return root


def make_onnx_model(path: Path, height: int = 32, width: int = 64, inputs: int = 1, scale: float = 1) -> Path:
    """A 3×3 convolution that scores nearness to each class colour (input: RGB, scaled to −1 … 1); 4 outputs."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    centres = (COLOURS[:, ::-1].astype(np.float32) / 255 - 0.5) / 0.5 * scale
    weight = np.repeat(np.repeat(centres[:, :, None, None] / 9, 3, axis=2), 3, axis=3).astype(np.float32)
    bias = (-0.5 * (centres**2).sum(1)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "weight", "bias"], ["logits"], pads=[1, 1, 1, 1])],
        "nearest_colour",
        [
            helper.make_tensor_value_info(f"image{i or ''}", TensorProto.FLOAT, [1, 3, height, width])
            for i in range(inputs)
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 4, height, width])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8), str(path))
    return path
