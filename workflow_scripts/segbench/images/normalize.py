"""Make the network's input from an image, and bring what it scored back to the image's size."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segbench.arrays import ClassMap, ColourImage, Logits
from segbench.errors import InputError


class Normalizer:
    """Turn a BGR image into the network's input, by one table look-up per channel into a reused buffer.

    The value is (pixel · scale − mean) / std, rounded to float32 after each step. PaddleSeg's
    `transforms.functional.normalize` gives the same bits for scale 1/255, and so does its `Resize` before it. Sizes are
    in pixels. `buffer` is the caller's 1×3×H×W array to fill.
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
        self._scale = preprocessing["scale"]
        self._statistics = list(zip(preprocessing["mean"], preprocessing["std"], strict=True))
        pixels = np.arange(256, dtype=np.float32)
        self._tables = [_normalized(pixels, self._scale, *of_channel) for of_channel in self._statistics]
        # The buffer is kept, since page faults of fresh memory take longer than the look-ups (6.6 against 2.6 ms).
        self._planes = [np.empty(self._size, np.uint8) for _ in range(3)]
        self._buffer = np.empty((1, 3, height, width), np.float32) if buffer is None else buffer

    def __call__(self, image: ColourImage, name: object = "image") -> npt.NDArray[np.float32]:
        """Return 1×3×H×W float32, valid until the next call.

        As `preprocessing.resize` says, an image of another size is stretched (bilinear, not rounded), or refused with
        an InputError that calls it `name`.
        """
        if image.shape[:2] != self._size:
            if not self._stretch:
                height, width = image.shape[:2]
                raise InputError(
                    f"{name}: {height}×{width} (height×width) for a model of {self.height}×{self.width}; set the"
                    " model's input to that size, or its preprocessing.resize to stretch"
                )
            return self._stretched(image)
        cv2.split(image, self._planes)
        for channel, (table, plane) in enumerate(zip(self._tables, self._order, strict=True)):
            cv2.LUT(self._planes[plane], table, dst=self._buffer[0, channel])
        return self._buffer

    def _stretched(self, image: ColourImage) -> npt.NDArray[np.float32]:
        """Resize as PaddleSeg does: in float32. Rounding to 8 bits would move the fourth digit of an mIoU."""
        resized = cv2.resize(image.astype(np.float32), self._size[::-1], interpolation=cv2.INTER_LINEAR)
        values = np.asarray(resized, np.float32)
        for channel, (of_channel, plane) in enumerate(zip(self._statistics, self._order, strict=True)):
            self._buffer[0, channel] = _normalized(
                np.asarray(values[:, :, plane], np.float32), self._scale, *of_channel
            )
        return self._buffer


def _normalized(pixels: npt.NDArray[np.float32], scale: float, mean: float, std: float) -> npt.NDArray[np.float32]:
    """Return the values of a channel's pixels. PaddleSeg divides by 255, and its mean and std are float64."""
    values = pixels / np.float32(255) if abs(scale * 255 - 1) < 1e-12 else pixels * np.float32(scale)
    values -= np.array([mean], np.float64)
    values /= np.array([std], np.float64)
    return values


def resize_class_map(class_map: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Resize `class_map` (H×W) to height×width by the nearest pixel centre. One of that size is returned itself."""
    if class_map.shape == (height, width):
        return class_map
    # INTER_NEAREST would take the corner's neighbour, half a pixel off where an image was stretched by its centres.
    return np.asarray(cv2.resize(class_map, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def enlarged_class_map(logits: Logits, height: int, width: int) -> ClassMap:
    """Resize logits (C×H×W float32) to height×width, and return the index of the highest: the first of equal ones.

    As PaddleSeg's evaluation does it (`core/infer.py`, `reverse_transform`: bilinear, pixel centres, align_corners
    False). One class is resized at a time, so that C planes of the image's size are never held.
    """
    best: npt.NDArray[np.float32] = cv2.resize(logits[0], (width, height), interpolation=cv2.INTER_LINEAR)
    found = np.zeros((height, width), np.uint8)
    for number, plane in enumerate(logits[1:], 1):
        scores = cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)
        np.putmask(found, scores > best, number)
        np.maximum(best, scores, out=best)
    return found
