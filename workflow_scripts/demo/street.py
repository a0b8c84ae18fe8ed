"""The plan of a street (lanes, parking, tracks, pavements, a crossing) and its ground before the camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo.camera import FAR, NEAR, Camera
from demo.canvas import Canvas, Class, Texture, surface
from demo.colours import Colour, brick, foliage, mix, shade, stone
from demo.stream import Stream

SIDES = (-1, 1)  # left, right


@dataclass(frozen=True)
class Lane:
    """Middle of a lane, and whether its traffic goes the camera's way (1) or comes towards it (−1)."""

    x: int
    way: int


@dataclass(frozen=True)
class Side:
    """One side, in millimetres from the camera outwards (positive on both sides): kerb, pavement's end, frontage."""

    sign: int
    kerb: int
    pavement: int
    front: int
    parking: bool
    tracks: int | None  # the middle of the tram's tracks

    def x(self, distance: int) -> int:
        """World coordinate of a distance on this side."""
        return self.sign * distance


@dataclass(frozen=True)
class Street:
    """The plan. `cross` is where another street crosses, from … to, if one does."""

    lanes: list[Lane]
    left: Side
    right: Side
    cross: tuple[int, int] | None

    @property
    def sides(self) -> tuple[Side, Side]:
        """Left and right."""
        return self.left, self.right


def plan(stream: Stream) -> Street:
    """A street of one to four lanes, the camera in the middle of one."""
    width, keep = stream.between(2900, 3500), stream.pick(SIDES)  # traffic keeps right, or left
    own, other = stream.between(0, 1), stream.between(0, 2)
    lanes = [Lane(keep * i * width, 1 if i >= 0 else -1) for i in range(-other, own + 1)]
    tracks = stream.pick(SIDES) if stream.chance(44) else 0
    sides = []
    for sign in SIDES:
        kerb = width // 2 + (own if sign == keep else other) * width
        rails = kerb + 1750 if sign == tracks else None
        parking = rails is None and stream.chance(52)
        kerb += 3500 if rails else 2300 if parking else 0
        pavement = kerb + stream.between(1700, 4200)
        front = pavement + (stream.between(1200, 5000) if stream.chance(50) else 0)
        sides.append(Side(sign, kerb, pavement, front, parking, rails))
    start = stream.between(14_000, 40_000)
    return Street(
        lanes, sides[0], sides[1], (start, start + stream.between(6000, 10_000)) if stream.chance(45) else None
    )


def draw_ground(canvas: Canvas, camera: Camera, street: Street, stream: Stream) -> None:
    """Everything level, from the horizon to the lower edge."""
    asphalt, road = stone(stream, 58, 105), surface(Class.ROAD, Texture.GRAIN)
    slabs = brick(stream) if stream.chance(20) else mix(stone(stream, 145, 195), (150, 160, 215), 90)
    pavement = surface(Class.SIDEWALK)
    grass = foliage(stream) if stream.chance(85) else mix(foliage(stream), (60, 95, 120), 170)
    grass = mix(shade(grass, 120), (45, 150, 150), 120)
    meadow, wide = surface(Class.TERRAIN, Texture.GRASS), 120_000
    canvas.fill(camera.strip((-wide, wide), (NEAR, 600_000)), grass, meadow, 40_000)
    for side in street.sides:
        inner, outer = side.x(side.kerb), side.x(side.pavement)
        canvas.fill(camera.strip((inner, outer), (NEAR, FAR)), slabs, pavement, 9000)
        _slabs(canvas, camera, side, shade(slabs, stream.pick((70, 78, 122))), pavement)
    canvas.fill(camera.strip((street.left.x(street.left.kerb), street.right.kerb), (NEAR, FAR)), asphalt, road, 9000)
    for side in street.sides:
        _kerb(canvas, camera, side, shade(stone(stream, 90, 200), 105), pavement)
    if street.cross:
        canvas.fill(camera.strip((-wide, wide), street.cross), asphalt, road, 20_000)
    _wear(canvas, camera, street, stream, (asphalt, road))
    _markings(canvas, camera, street, stream, road)


def _slabs(canvas: Canvas, camera: Camera, side: Side, colour: Colour, pavement: int) -> None:
    """Joints across the pavement, as far as they can be told apart."""
    x = (side.x(side.kerb), side.x(side.pavement))
    joints = [camera.strip(x, (z, z + 60 + z // 100)) for z in range(3000, 16_000, 1100)]
    canvas.fill(np.stack(joints), colour, pavement)
    middle = side.kerb + (side.pavement - side.kerb) // 2
    canvas.fill(camera.strip((side.x(middle), side.x(middle + 50)), (2000, 14_000)), colour, pavement)


def _kerb(canvas: Canvas, camera: Camera, side: Side, colour: Colour, pavement: int) -> None:
    """The kerbstones' top and their face towards the road."""
    x = side.x(side.kerb)
    canvas.fill(camera.strip((x, side.x(side.kerb + 260)), (NEAR, 45_000)), colour, pavement, 5000)
    canvas.fill(camera.strip((x, side.x(side.kerb - 60)), (NEAR, 30_000)), shade(colour, 62), pavement, 5000)


def _wear(canvas: Canvas, camera: Camera, street: Street, stream: Stream, paved: tuple[Colour, int]) -> None:
    """Patches, wheel tracks, manholes and rails: all road."""
    colour, road = paved
    for _ in range(stream.between(1, 5)):
        x, z = stream.between(-street.left.kerb, street.right.kerb - 1500), stream.between(3000, 25_000)
        patch = (x, x + stream.between(500, 1500)), (z, z + stream.between(600, 5000))
        canvas.fill(camera.strip(*patch), shade(colour, stream.between(78, 122)), road, z)
    if stream.chance(50):
        for x in (-1000, 600):
            canvas.fill(camera.strip((x, x + 450), (NEAR, 60_000)), shade(colour, stream.between(88, 108)), road, 6000)
    for side in street.sides:
        for offset in (-780, 720) if side.tracks else ():
            x = side.x((side.tracks or 0) + offset)
            canvas.fill(camera.strip((x - 130, x + 190), (NEAR, 60_000)), shade(colour, 72), road, 6000)
            canvas.fill(camera.strip((x, x + 70), (NEAR, 40_000)), stone(stream, 130, 190), road, 6000)


def _markings(canvas: Canvas, camera: Camera, street: Street, stream: Stream, road: int) -> None:
    """Dashes between lanes, lines at the edges, a zebra crossing before the junction."""
    white, stop = stone(stream, 165, 235), street.cross[0] - 4500 if street.cross else 60_000
    if stream.chance(12):
        white = (white[0] // 3, white[1] * 9 // 10, white[2])
    dashes = []
    for lane in street.lanes[1:]:
        x = (lane.x + street.lanes[street.lanes.index(lane) - 1].x) // 2
        dashes += [camera.strip((x - 75, x + 75), (z, z + 2800))[[0, 1, -2, -1]] for z in range(NEAR, stop, 6500)]
    if dashes and stream.chance(85):
        canvas.fill(np.stack(dashes), white, road, 8000)
    for side in street.sides:
        if stream.chance(55):
            x = side.kerb - (3500 if side.tracks else 2300 if side.parking else 350)
            canvas.fill(camera.strip((side.x(x), side.x(x - 140)), (NEAR, stop)), white, road, 8000)
    start = stop if street.cross else stream.between(6000, 30_000)
    if stream.chance(75 if street.cross else 25):
        bars = range(500 - street.left.kerb, street.right.kerb - 500, 1000)
        canvas.fill(np.stack([camera.strip((x, x + 500), (start, start + 3000)) for x in bars]), white, road, start)
