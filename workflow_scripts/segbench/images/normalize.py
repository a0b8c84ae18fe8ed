"""Make the network's input from an image, and bring what it scored back to the image's size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segbench.arrays import ClassMap, ColourImage, Logits
from segbench.config.resizing import Resizing, Size
from segbench.images.placement import Placement, Placer

OPENCV = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}
PILLOW = {
    "nearest": "NEAREST",
    "bilinear": "BILINEAR",
    "bicubic": "BICUBIC",
    "area": "BOX",
    "lanczos": "LANCZOS",
}


class Normalizer:
    """Turn a BGR image into the network's inputs, by one table look-up per channel into a reused buffer.

    The value is (pixel · scale − mean) / std, rounded to float32 after each step. PaddleSeg's
    `transforms.functional.normalize` gives the same bits for scale 1/255, and so does its `Resize` before it. Sizes are
    in pixels. `buffer` is the caller's N×3×H×W array to fill, N the most inputs of an image.
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
        self._placer = Placer(preprocessing, self._size)
        self.place = self._placer.place
        self._order = (2, 1, 0) if preprocessing["channel_order"] == "rgb" else (0, 1, 2)
        self._scale = preprocessing["scale"]
        self._statistics = list(zip(preprocessing["mean"], preprocessing["std"], strict=True))
        pixels = np.arange(256, dtype=np.float32)
        self._tables = [_normalized(pixels, self._scale, *of_channel) for of_channel in self._statistics]
        # The buffer is kept, since page faults of fresh memory take longer than the look-ups (6.6 against 2.6 ms).
        self._planes = [np.empty(self._size, np.uint8) for _ in range(3)]
        self._buffer = np.empty((1, 3, height, width), np.float32) if buffer is None else buffer

    def __call__(self, image: ColourImage, name: object = "image") -> npt.NDArray[np.float32]:
        """Return N×3×H×W float32, valid until the next call: one input, or one for each place of a sliding window.

        Raises an InputError that calls the image `name` where it has not the input's size and may not get it (see
        Placer).
        """
        size = (image.shape[0], image.shape[1])
        placement = self._placer.place(size, name)
        inputs = self._room(len(placement.corners))
        if placement.keeps(size):
            cv2.split(image, self._planes)
            for channel, (table, plane) in enumerate(zip(self._tables, self._order, strict=True)):
                cv2.LUT(self._planes[plane], table, dst=inputs[0, channel])
            return inputs
        scaled = _scaled(image, placement.scaled, self._placer.resizing)
        if placement.is_padded:
            inputs[:] = np.array(self._padding(), np.float32).reshape(1, 3, 1, 1)
        for channel, plane in enumerate(self._order):
            values = self._values(np.ascontiguousarray(scaled[:, :, plane]), channel)
            for one, part in zip(inputs, placement.parts(), strict=True):
                one[channel][part.of_input] = values[part.of_image]
        return inputs

    def count(self, row: Mapping[str, Any]) -> int:
        """Return the number of inputs of an image of the index."""
        if not self._placer.slides:
            return 1
        return len(self._placer.place((int(row["height"]), int(row["width"])), row["image"]).corners)

    def _room(self, count: int) -> npt.NDArray[np.float32]:
        if count > len(self._buffer):
            self._buffer = np.empty((count, 3, *self._size), np.float32)
        return self._buffer[:count]

    def _padding(self) -> list[float]:
        """Return the value of padding in each channel."""
        value = self._placer.resizing.padding
        if value == "mean":
            return [0.0] * 3
        pixel = np.array([value], np.float32)
        return [float(_normalized(pixel, self._scale, *of_channel)[0]) for of_channel in self._statistics]

    def _values(self, pixels: npt.NDArray[Any], channel: int) -> npt.NDArray[np.float32]:
        """Return what a channel of the network gets for the pixels of a plane, of 8 bits or float32."""
        if pixels.dtype == np.uint8:
            return np.asarray(cv2.LUT(pixels, self._tables[channel]), np.float32)
        return _normalized(pixels, self._scale, *self._statistics[channel])


def _scaled(image: ColourImage, size: Size, resizing: Resizing) -> npt.NDArray[Any]:
    """Resize an image to height×width `size`. As PaddleSeg does it, the result is float32: rounding to 8 bits would
    move the fourth digit of an mIoU. As the others do it, it has 8 bits.
    """
    if image.shape[:2] == size:
        return image
    if resizing.convention == "transformers":
        from PIL import Image

        picture = Image.fromarray(image)
        return np.asarray(picture.resize(size[::-1], Image.Resampling[PILLOW[resizing.interpolation]]))
    pixels = image if resizing.convention == "mmsegmentation" else image.astype(np.float32)
    return np.asarray(cv2.resize(pixels, size[::-1], interpolation=OPENCV[resizing.interpolation]))


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


def class_map_at(maps: npt.NDArray[np.uint8], placement: Placement, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Bring the class maps of an image's inputs, one below the other, to the image's size by the nearest pixel centre.

    Padding is cut off. Where windows overlap, the last one's classes hold.
    """
    if placement.is_whole:
        return resize_class_map(maps, height, width)
    whole = np.empty(placement.scaled, np.uint8)
    for own, part in zip(maps.reshape(-1, *placement.size), placement.parts(), strict=True):
        whole[part.of_image] = own[part.of_input]
    return resize_class_map(whole, height, width)


def class_map_of_logits(logits: Sequence[Logits], placement: Placement, height: int, width: int) -> ClassMap:
    """Bring the logits of an image's inputs to the image's size, and return the index of the highest there.

    As PaddleSeg's evaluation does it (`core/infer.py`): logits are brought to the input's size, padding is cut off, and
    they are summed in float64 and divided where windows overlap. Where nothing is padded or cut, they are resized once,
    straight to the image's size.
    """
    if placement.direct:
        return enlarged_class_map(logits[0], height, width)
    return _highest((_merged(planes, placement) for planes in zip(*logits, strict=True)), height, width)


def _merged(planes: Sequence[npt.NDArray[np.float32]], placement: Placement) -> npt.NDArray[Any]:
    """Return one class's logits over the scaled image, from those of each input."""
    parts = list(placement.parts())
    at_size = [cv2.resize(one, placement.size[::-1], interpolation=cv2.INTER_LINEAR) for one in planes]
    if len(parts) == 1:
        return np.ascontiguousarray(at_size[0][parts[0].of_input])
    total, count = np.zeros(placement.scaled, np.float64), np.zeros(placement.scaled, np.float64)
    for one, part in zip(at_size, parts, strict=True):
        total[part.of_image] += one[part.of_input]
        count[part.of_image] += 1
    return np.asarray(total / count)


def enlarged_class_map(logits: Logits, height: int, width: int) -> ClassMap:
    """Resize logits (C×H×W float32) to height×width, and return the index of the highest: the first of equal ones.

    As PaddleSeg's evaluation does it (`core/infer.py`, `reverse_transform`: bilinear, pixel centres, align_corners
    False). One class is resized at a time, so that C planes of the image's size are never held.
    """
    return _highest(logits, height, width)


def _highest(planes: Iterable[npt.NDArray[Any]], height: int, width: int) -> ClassMap:
    """Resize the scores of one class after the other, and return the index of the highest."""
    found, best = np.zeros((height, width), np.uint8), None
    for number, plane in enumerate(planes):
        scores = cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)
        if best is None:
            best = scores
            continue
        np.putmask(found, scores > best, number)
        np.maximum(best, scores, out=best)
    return found
