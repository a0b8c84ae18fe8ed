"""Things with faces: turned on the ground, hidden faces left out, the rest painted from far to near."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import numpy as np

from demo.camera import Camera
from demo.canvas import ONE, Canvas
from demo.colours import Colour

Point = tuple[int, int, int]  # along (to the front), across (to the right), up; from the middle of the thing


@dataclass(frozen=True)
class Pose:
    """Where a thing stands. Its front points to (`sine`, `cosine`) / `unit`: Pythagorean, so that it is exact."""

    x: int
    z: int
    cosine: int = 1
    sine: int = 0
    unit: int = 1

    @classmethod
    def turned(cls, x: int, z: int, way: int, slant: int = 0) -> Pose:
        """Heads away (`way` 1) or here (−1), turned by an angle whose half has the tangent `slant` / 100."""
        return cls(x, z, way * (10_000 - slant * slant), way * 200 * slant, 10_000 + slant * slant)

    def world(self, points: np.ndarray) -> np.ndarray:
        """Local points, int64 N×3, to the world's."""
        along, across, up = points.T
        x = self.x + (across * self.cosine + along * self.sine) // self.unit
        z = self.z + (along * self.cosine - across * self.sine) // self.unit
        return np.stack([x, up, z], -1)


@dataclass
class Face:
    """A flat polygon, counter-clockwise as seen from outside, with smaller ones painted onto it."""

    points: list[Point]
    colour: Colour
    marks: list[tuple[list[Point], Colour]] = field(default_factory=list)


def extrude(profile: list[tuple[int, int]], half: int) -> tuple[list[Face], Face, Face]:
    """Faces across the outline `profile` (along, up; from the lower rear over the roof), left and right side."""
    bands = [
        Face([(a, -half, p), (a, half, p), (b, half, q), (b, -half, q)], (0, 0, 0))
        for (a, p), (b, q) in pairwise(profile)
    ]
    left = Face([(a, -half, y) for a, y in profile], (0, 0, 0))
    right = Face([(a, half, y) for a, y in reversed(profile)], (0, 0, 0))
    return bands, left, right


def draw(canvas: Canvas, camera: Camera, pose: Pose, faces: list[Face], painted: int) -> None:
    """Paint those faces that can be seen."""
    polygons = [polygon for face in faces for polygon in (face.points, *(points for points, _ in face.marks))]
    world = pose.world(np.array([point for polygon in polygons for point in polygon], np.int64))
    flat = camera.project(world)
    if flat[:, 0].max() < 0 or flat[:, 0].min() > canvas.pixels.shape[1] * ONE:
        return
    ends = list(accumulate(len(polygon) for polygon in polygons))
    parts = [flat[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    at, visible = 0, []
    for face in faces:
        if _turned_here(parts[at]):
            visible.append((-int(world[ends[at] - len(parts[at]) : ends[at], 2].sum()) // len(parts[at]), at, face))
        at += 1 + len(face.marks)
    for depth, first, face in sorted(visible, key=lambda one: one[:2]):
        canvas.fill(parts[first], face.colour, painted, max(1, -depth))
        for number, (_, colour) in enumerate(face.marks, first + 1):
            canvas.fill(parts[number], colour, painted, max(1, -depth))


def _turned_here(polygon: np.ndarray) -> bool:
    """Whether the outside faces the camera: the sign of the polygon's area in the picture, where y points down."""
    points = polygon.tolist()
    return sum(x0 * y1 - y0 * x1 for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True)) < 0
