"""Where an image's pixels lie in the network's inputs.

An image is scaled, and inputs of a fixed size are laid over it: one, or a window that slides. What an input has beyond
the scaled image is padding. Each setting of `preprocessing.resize` and `.window` is this and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from segbench.config.resizing import Resizing, Size, sides, stride_of
from segbench.errors import InputError

Corner = tuple[int, int]  # top and left of an input, in pixels of the scaled image


class Part(NamedTuple):
    """The pixels that an input and the scaled image have in common: rows and columns in each."""

    of_input: tuple[slice, ...]
    of_image: tuple[slice, ...]


class Placement(NamedTuple):
    """How an image becomes inputs of height×width `size`. `scaled` is its height and width after scaling; `corners` has
    an input each. A corner is negative where padding lies before the image. `direct`: no image of the set is padded or
    cut into windows, so that logits go straight to the image's size.
    """

    size: Size
    scaled: Size
    corners: tuple[Corner, ...]
    direct: bool

    @property
    def is_whole(self) -> bool:
        """Whether there is one input, which the scaled image fills: no window and no padding."""
        return len(self.corners) == 1 and self.scaled == self.size

    def keeps(self, source: Size) -> bool:
        """Return whether an image of height×width `source` is the input as it is."""
        return self.is_whole and self.scaled == source

    @property
    def is_padded(self) -> bool:
        """Whether an input reaches beyond the image."""
        return self.scaled[0] < self.size[0] or self.scaled[1] < self.size[1]

    def parts(self) -> Iterator[Part]:
        """Yield the pixels of each input that are the image's."""
        for corner in self.corners:
            axes = list(zip(corner, self.size, self.scaled, strict=True))
            ends = [(max(start, 0), min(start + length, limit)) for start, length, limit in axes]
            of_image = tuple(slice(low, high) for low, high in ends)
            of_input = tuple(slice(low - start, high - start) for (low, high), start in zip(ends, corner, strict=True))
            yield Part(of_input, of_image)


class Placer:
    """Places images for a network with inputs of height×width `size`, as an entry's `preprocessing` says."""

    def __init__(self, preprocessing: dict[str, Any], size: Size) -> None:
        self.size, self.resizing = size, Resizing.of(preprocessing)
        self._stride = stride_of(preprocessing, size)
        self.slides = self._stride is not None

    def place(self, source: Size, name: object = "image") -> Placement:
        """Return where an image of height×width `source` lies. Raises InputError, which calls it `name`, where it has
        not the input's size and may not be padded, or is larger and no window slides.
        """
        if fault := self.misfit(source):
            raise InputError(f"{name}: {fault}")
        scaled = scaled_size(source, self.resizing, self.size)
        rows, columns = (
            self._starts(length, window, self._stride[axis] if self._stride else window)
            for axis, (length, window) in enumerate(zip(scaled, self.size, strict=True))
        )
        corners = tuple((top, left) for top in rows for left in columns)
        return Placement(self.size, scaled, corners, not self.slides and self.resizing.padding is None)

    def misfit(self, source: Size) -> str:
        """Return why an image of this size cannot be placed, and what would be right; "" where it can."""
        scaled = scaled_size(source, self.resizing, self.size)
        too_large = self._stride is None and (scaled[0] > self.size[0] or scaled[1] > self.size[1])
        too_small = self.resizing.padding is None and (scaled[0] < self.size[0] or scaled[1] < self.size[1])
        if not (too_large or too_small):
            return ""
        if self.resizing == Resizing() and self._stride is None:
            return (
                f"{_shown(source)} (height×width) for a model of {_shown(self.size)}; set the model's input to that"
                " size, or its preprocessing.resize to stretch or letterbox"
            )
        cures = ["a preprocessing.window that slides over it"] * too_large
        cures += ["preprocessing.resize.pad_value, with which it is padded"] * (too_small and not too_large)
        became = "" if scaled == source else f", made {_shown(scaled)} by preprocessing.resize {self.resizing.kind},"
        return (
            f"{_shown(source)} (height×width){became} for a model of {_shown(self.size)}; set {cures[0]}, the model's"
            " input to that size, or another resize"
        )

    def _starts(self, length: int, window: int, stride: int) -> list[int]:
        """Return where the inputs begin along an axis. The last ones are moved back inside the image, as PaddleSeg's
        and mmsegmentation's `slide_inference` have it.
        """
        if length <= window:
            return [-((window - length) // 2) if self.resizing.align == "centre" else 0]
        count = math.ceil((length - window) / stride) + 1
        return [min(number * stride, length - window) for number in range(count)]


def _shown(size: Size) -> str:
    return f"{size[0]}×{size[1]}"


def scaled_size(source: Size, resizing: Resizing, size: Size) -> Size:
    """Return the height and width that an image of height×width `source` is scaled to, for inputs of `size`."""
    height, width = _kept_ratio(source, resizing, size) or (
        sides(resizing.size or {"height": size[0], "width": size[1]}) if resizing.kind == "stretch" else source
    )
    divisor = resizing.divisor
    return max(1, math.ceil(height / divisor)) * divisor, max(1, math.ceil(width / divisor)) * divisor


def _kept_ratio(source: Size, resizing: Resizing, size: Size) -> Size | None:
    """Return the scaled size before it is raised to a multiple; None for kinds that do not keep the ratio of sides."""
    long, short = max(source), min(source)
    if resizing.kind == "letterbox":
        to, of = min(zip(size, source, strict=True), key=lambda pair: pair[0] / pair[1])
    elif resizing.kind in ("short_side", "long_side"):
        to, of = sides(resizing.size)[0], short if resizing.kind == "short_side" else long
    else:
        return None
    limit = resizing.max_long_side
    if to > of and not resizing.enlarge:
        to = of
    if resizing.convention == "transformers":
        if limit and long / short * to > limit:
            exact = limit * short / long
            ends = round(exact), int(exact * long / short)
            return source if short == ends[0] else ends if source[0] < source[1] else ends[::-1]
        return int(to * source[0] / of), int(to * source[1] / of)
    scale = min(to / of, limit / long) if limit else to / of
    if resizing.convention == "mmsegmentation":
        return int(source[0] * scale + 0.5), int(source[1] * scale + 0.5)
    return round(source[0] * scale), round(source[1] * scale)
