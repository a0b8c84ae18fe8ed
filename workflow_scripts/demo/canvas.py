"""A picture whose fourth channel says of every pixel which class it shows and how its surface is textured.

One call paints both, so that a label covers exactly the pixels that show the thing.
"""

from __future__ import annotations

from enum import IntEnum

import cv2
import numpy as np
import numpy.typing as npt

from demo.colours import Colour, mix

Points = npt.NDArray[np.int32]  # …×2: x, y in sixteenths of a pixel
SHIFT = 4
ONE = 1 << SHIFT


class Class(IntEnum):
    """Cityscapes' trainIds, in `datasets.cityscapes.CLASSES`' order; IGNORED becomes 255."""

    ROAD, SIDEWALK, BUILDING, WALL, FENCE, POLE, TRAFFIC_LIGHT, TRAFFIC_SIGN, VEGETATION, TERRAIN = range(10)
    SKY, PERSON, RIDER, CAR, TRUCK, BUS, TRAIN, MOTORCYCLE, BICYCLE = range(10, 19)
    IGNORED = 31


class Texture(IntEnum):
    """How a surface varies; `light.tiles` draws them in this order."""

    SMOOTH, GRAIN, PLASTER, LEAVES, GRASS, CLOTH, STREAKS, CLOUDY = range(8)


def surface(kind: Class, texture: Texture = Texture.SMOOTH) -> int:
    """Class and texture as one byte of the fourth channel."""
    return kind | texture << 5


class Canvas:
    """Pixels, uint8 H×W×4 (BGR and surface). Colours fade into the haze with the depth at which they are painted."""

    def __init__(self, height: int, width: int, haze: Colour, thickness: int) -> None:
        self.pixels = np.zeros((height, width, 4), np.uint8)
        self._haze, self._thickness = haze, thickness

    def fill(self, points: Points, colour: Colour, painted: int, depth: int = 0) -> None:
        """Paint a polygon (N×2), or several at once (M×N×2); where an even number of these overlap nothing changes."""
        if depth:
            colour = mix(colour, self._haze, min(190, depth * self._thickness >> 16))
        polygons = [points] if points.ndim == 2 else list(points)
        cv2.fillPoly(self.pixels, polygons, (*colour, painted), cv2.LINE_8, SHIFT)

    def relabel(self, points: Points, painted: int) -> None:
        """Change the surface within a polygon, not the picture: what is seen through bars or spokes."""
        height, width = self.pixels.shape[:2]
        left, top = (max(0, int(low) >> SHIFT) for low in points.min(0))
        right, bottom = ((int(high) >> SHIFT) + 2 for high in points.max(0))
        right, bottom = min(right, width), min(bottom, height)
        if left >= right or top >= bottom:
            return
        mask = np.zeros((bottom - top, right - left), np.uint8)
        moved = points - np.array([left * ONE, top * ONE], np.int32)
        cv2.fillPoly(mask, [moved], (1,), cv2.LINE_8, SHIFT)
        self.pixels[top:bottom, left:right, 3][mask > 0] = painted

    def labels(self) -> npt.NDArray[np.uint8]:
        """TrainIds, uint8 H×W, 255 where ignored."""
        table = (np.arange(256) & 31).astype(np.uint8)
        table[table == Class.IGNORED] = 255
        return table[self.pixels[:, :, 3]]
