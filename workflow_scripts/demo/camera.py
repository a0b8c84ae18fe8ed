"""Perspective in whole numbers: a camera above a plane. Millimetres: x right, y up, z ahead; the eye at x = z = 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from demo.canvas import ONE, Points
from demo.stream import Stream

NEAR, FAR = 1500, 95_000  # what is nearer is drawn as if at NEAR: it lies outside the picture, or just below it


@dataclass(frozen=True)
class Camera:
    """`focal`, `centre` and `horizon` in sixteenths of a pixel; `bend` is how far the street has curved at 10 m; things
    lower than `least` pixels are not drawn."""

    focal: int
    centre: int
    horizon: int
    eye: int
    bend: int
    least: int

    @classmethod
    def random(cls, stream: Stream, height: int, width: int) -> Camera:
        """One that fits the picture's size."""
        unit = min(width, 2 * height) * ONE
        return cls(
            focal=unit * stream.between(50, 78) // 100,
            centre=width * ONE * stream.between(38, 62) // 100,
            horizon=height * ONE * stream.between(36, 50) // 100,
            eye=stream.between(1150, 2300),
            bend=stream.between(-160, 160) if stream.chance(60) else 0,
            least=min(12, max(6, height // 21)),
        )

    def project(self, points: npt.NDArray[np.int64]) -> Points:
        """World points, int64 …×3, to the picture, int32 …×2."""
        x, y, z = points[..., 0], points[..., 1], np.maximum(points[..., 2], NEAR)
        flat = np.empty((*z.shape, 2), np.int32)
        flat[..., 0] = self.centre + self.focal * (x + self.bend * z * z // 10**8) // z
        flat[..., 1] = self.horizon + self.focal * (self.eye - y) // z
        return flat

    def size(self, length: int, z: int) -> int:
        """Whole pixels that `length` takes at depth `z`."""
        return self.focal * length // (max(z, NEAR) * ONE)

    def seen(self, height: int, z: int) -> bool:
        """Whether a thing of this height is large enough to draw."""
        return self.size(height, z) >= self.least

    def quad(self, x: tuple[int, int], y: tuple[int, int], z: tuple[int, int]) -> Points:
        """A rectangle whose edges on the ground run from (x0, z0) to (x1, z1), from height y0 to y1."""
        (x0, x1), (y0, y1), (z0, z1) = x, y, z
        return self.project(np.array([[x0, y0, z0], [x1, y0, z1], [x1, y1, z1], [x0, y1, z0]], np.int64))

    def strip(self, x: tuple[int, int], z: tuple[int, int], y: int = 0) -> Points:
        """A level strip along the street, which follows its bend."""
        depths = [z[0]]
        while depths[-1] * 5 // 4 + 500 < z[1]:
            depths.append(depths[-1] * 5 // 4 + 500)
        depths.append(z[1])
        points = [(x[0], y, depth) for depth in depths] + [(x[1], y, depth) for depth in reversed(depths)]
        return self.project(np.array(points, np.int64))

    def upright(self, x: int, z: int) -> Upright:
        """The plane at depth `z` that faces the camera, with its origin on the ground at `x`."""
        foot = self.project(np.array([x, 0, z], np.int64))
        return Upright(int(foot[0]), int(foot[1]), self.focal, z)


@dataclass(frozen=True)
class Upright:
    """Maps millimetres in a plane that faces the camera (x right, y up) to the picture."""

    left: int
    foot: int
    focal: int
    z: int

    def map(self, points: Sequence[tuple[int, int]]) -> Points:
        """Polygon in the plane → N×2."""
        focal, z = self.focal, self.z
        return np.array([(self.left + x * focal // z, self.foot - y * focal // z) for x, y in points], np.int32)

    def box(self, x0: int, x1: int, y0: int, y1: int) -> Points:
        """Rectangle."""
        return self.map([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])

    def bar(self, x0: int, y0: int, x1: int, y1: int, width: int) -> Points:
        """A limb or tube from one point to another; `width` is measured along the axis that it runs across."""
        half = width // 2
        if abs(x1 - x0) > abs(y1 - y0):
            return self.map([(x0, y0 - half), (x1, y1 - half), (x1, y1 + half), (x0, y0 + half)])
        return self.map([(x0 - half, y0), (x1 - half, y1), (x1 + half, y1), (x0 + half, y0)])

    def disc(self, x: int, y: int, wide: int, high: int | None = None) -> Points:
        """An ellipse of these radii."""
        high = wide if high is None else high
        return self.map([(x + wide * c // ROUND, y + high * s // ROUND) for c, s in CIRCLE])


ROUND = 1024


def circle(quarter: int) -> list[tuple[int, int]]:
    """4 · `quarter` points on a circle of radius ROUND, from Pythagorean triples: no sine is the same everywhere."""
    first = []
    for k in range(quarter):
        a, b = quarter * quarter - k * k, 2 * quarter * k
        first.append((ROUND * a // (a + 2 * k * k), ROUND * b // (a + 2 * k * k)))
    points = first
    for _ in range(3):
        first = [(-s, c) for c, s in first]
        points = points + first
    return points


CIRCLE = circle(4)
