"""Draw an image to compare forms of a network with, where no data set is at hand."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from segbench.arrays import ColourImage, Float32Image
from segbench.images.normalize import Normalizer

BOXES = 40


def drawn_input(model: dict[str, Any]) -> Float32Image:
    """Return the network's input (1×3×H×W) from a drawn image. `model` is the content of model.json."""
    height, width = model["input"]["height"], model["input"]["width"]
    at_size = {**model["preprocessing"], "resize": "none", "window": None}
    return Normalizer(at_size, height, width)(drawn_image(height, width))


def drawn_image(height: int, width: int, seed: int = 0) -> ColourImage:
    """Return a picture with large and small boxes of any colour, blurred edges, and noise. It depends on `seed` alone.

    The noise is needed: in flat regions, rounding decides which of equal values max pooling takes.
    """
    random = np.random.default_rng(seed)
    image = np.full((height, width, 3), random.uniform(60, 120, 3), np.float32)
    image[: height // 2] = random.uniform(120, 220, 3)
    for _ in range(BOXES):
        top, left = random.integers(0, (height, width))
        rows, columns = random.integers(2, (max(height // 2, 3), max(width // 3, 3)))
        image[top : top + rows, left : left + columns] = random.uniform(0, 255, 3)
    blurred = cv2.GaussianBlur(image, (3, 3), 0) + random.normal(0, 6, image.shape)
    return np.clip(blurred, 0, 255).astype(np.uint8)
