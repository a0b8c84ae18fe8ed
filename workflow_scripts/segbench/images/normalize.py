"""The network's input from an image, and a class map at another size."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segbench.arrays import ColourImage
from segbench.errors import InputError


class Normalizer:
    """From a BGR image to the network's input, by one table look-up per channel into a reused buffer.

    The value is (pixel · scale − mean) / std, rounded to float32 after each step as PaddleSeg's
    `transforms.functional.normalize` does: equal to it bit by bit for scale 1/255. Sizes are in pixels. `buffer`:
    1×3×H×W of the caller's to fill.
    """

    def __init__(
        self,
        preprocessing: dict[str, Any],
        height: int,
        width: int,
        *,
        buffer: npt.NDArray[np.float32] | None = None,
    ) -> None:
        self.height, self.width = self._size = (height, width)
        self._stretch = preprocessing["resize"] == "stretch"
        self._order = (2, 1, 0) if preprocessing["channel_order"] == "rgb" else (0, 1, 2)
        self._tables = [
            _table(preprocessing["scale"], mean, std)
            for mean, std in zip(preprocessing["mean"], preprocessing["std"], strict=True)
        ]
        # Kept between images: fresh memory costs more page faults than the look-ups take (6.6 against 2.6 ms).
        self._planes = [np.empty(self._size, np.uint8) for _ in range(3)]
        self._buffer = np.empty((1, 3, height, width), np.float32) if buffer is None else buffer

    def __call__(self, image: ColourImage, name: object = "image") -> npt.NDArray[np.float32]:
        """1×3×H×W float32, valid until the next call.

        An image of another size is stretched (bilinear, rounded to 8 bits) or refused with an InputError that calls it
        `name`, as `preprocessing.resize` says.
        """
        if image.shape[:2] != self._size:
            if not self._stretch:
                height, width = image.shape[:2]
                raise InputError(
                    f"{name}: {height}×{width} (height×width) for a model of {self.height}×{self.width}; set the"
                    " model's input to that size, or its preprocessing.resize to stretch"
                )
            image = np.asarray(cv2.resize(image, self._size[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
        cv2.split(image, self._planes)
        for channel, (table, plane) in enumerate(zip(self._tables, self._order, strict=True)):
            cv2.LUT(self._planes[plane], table, dst=self._buffer[0, channel])
        return self._buffer


def _table(scale: float, mean: float, std: float) -> npt.NDArray[np.float32]:
    """The 256 values of a channel. PaddleSeg divides by 255, and its mean and std are float64."""
    pixels = np.arange(256, dtype=np.float32)
    values = pixels / np.float32(255) if abs(scale * 255 - 1) < 1e-12 else pixels * np.float32(scale)
    values -= np.array([mean], np.float64)
    values /= np.array([std], np.float64)
    return values


def resize_class_map(class_map: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """`class_map` (H×W) at height×width by the nearest pixel centre; itself when it has that size."""
    if class_map.shape == (height, width):
        return class_map
    # Not INTER_NEAREST: it takes the corner's neighbour, half a pixel off where an image was stretched by its centres.
    return np.asarray(cv2.resize(class_map, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
