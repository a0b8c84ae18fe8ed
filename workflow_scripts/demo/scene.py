"""A scene from a seed: plan the street, paint what is fixed, then everything that stands on it, from far to near."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from demo import backdrop, frontage, furniture, light, lorries, people, plants, vehicles
from demo.camera import NEAR, Camera
from demo.canvas import ONE, Canvas, Class, Points, surface
from demo.colours import mix, stone
from demo.solid import Pose
from demo.stream import Stream
from demo.street import Side, Street, draw_ground, plan

VERSION = 1  # raise it when the pixels change
SPLITS = ("train", "val")
Thing = Callable[[], None]
Drawing = Callable[..., None]  # of canvas, camera, stream and a place
CROSSING: list[tuple[Drawing, int]] = [
    (vehicles.car, 4500),
    (vehicles.car, 4500),
    (lorries.bus, 11_000),
    (lorries.truck, 8000),
]


class Cast:
    """Things to paint, each with its depth and shadow."""

    def __init__(self, canvas: Canvas, camera: Camera, stream: Stream) -> None:
        self.canvas, self.camera, self.stream = canvas, camera, stream
        self.things: list[tuple[int, int, Thing]] = []
        self.shadows: list[Points] = []
        self._sun = stream.between(-1200, 1200)

    def add(self, draw: Drawing, x: int, z: int, height: int, wide: int, *more: object) -> None:
        """Something that faces the camera, unless it is too far to be seen."""
        if self.camera.seen(height, z) and z > 2600:
            self.things.append((-z, len(self.things), lambda: draw(self.canvas, self.camera, self.stream, x, z, *more)))
            self.shadow((x - wide, x + wide), (z - wide // 2, z + wide // 2), height)

    def vehicle(self, draw: Drawing, pose: Pose, length: int, *more: object) -> None:
        """Something with a length; its depth is that of its nearer end."""
        half = length // 2
        deep = half * abs(pose.cosine) // pose.unit + 900 * abs(pose.sine) // pose.unit
        wide = half * abs(pose.sine) // pose.unit + 900 * abs(pose.cosine) // pose.unit
        near = pose.z - deep
        if self.camera.seen(1400, near) and (near > 3500 or abs(pose.x) - wide > 1400):
            self.things.append(
                (-near, len(self.things), lambda: draw(self.canvas, self.camera, self.stream, pose, *more))
            )
            self.shadow((pose.x - wide - 150, pose.x + wide + 150), (near - 200, pose.z + deep), 1500)

    def shadow(self, x: tuple[int, int], z: tuple[int, int], height: int) -> None:
        """On the ground: beneath the thing, and away from the sun."""
        aside = self._sun * height // 1000
        low, high = (x[0], x[0] + aside) if aside > 0 else (x[0] + aside, x[0])
        near = max(NEAR, z[0])
        points = [(low, 0, near), (high + x[1] - x[0], 0, near), (high + x[1] - x[0], 0, z[1]), (low, 0, z[1])]
        self.shadows.append(self.camera.project(np.array(points, np.int64)))

    def draw(self) -> None:
        """Paint them all, the farthest first."""
        for _, _, thing in sorted(self.things, key=lambda one: one[:2]):
            thing()


def scene(
    seed: int, split: str, number: int, height: int, width: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Image, uint8 H×W×3 (BGR), and trainIds, uint8 H×W: a function of these arguments and of VERSION only."""
    stream = Stream(seed, SPLITS.index(split), number, height, width)
    camera, street = Camera.random(stream, height, width), plan(stream)
    zenith, low = backdrop.sky_colours(stream)
    canvas = Canvas(height, width, mix(low, (150, 150, 150), 90), stream.between(20, 110))
    draw_ground(canvas, camera, street, stream)
    backdrop.draw_sky(canvas, camera, stream, zenith, low)
    backdrop.draw_skyline(canvas, camera, stream)
    for side in street.sides:
        frontage.draw_side(canvas, camera, street, side, stream)
    cast = Cast(canvas, camera, stream)
    _traffic(cast, street)
    for side in street.sides:
        _pavement(cast, street, side)
    if stream.chance(45):
        _shade_of_houses(cast, street)
    light.cast_shadows(canvas, stream, cast.shadows)
    cast.draw()
    _bonnet(canvas, stream)
    return light.develop(canvas, camera, stream), canvas.labels()


def _traffic(cast: Cast, street: Street) -> None:
    """What drives, parks and crosses."""
    stream = cast.stream
    for lane in street.lanes:
        z = stream.between(7000, 20_000) if lane.x == 0 else stream.between(4000, 14_000)
        while z < 38_000:
            z += _vehicle(cast, lane.x + stream.between(-250, 250), z, lane.way)
            z += stream.between(5000, 32_000)
    for side in street.sides:
        if side.tracks is not None and stream.chance(85):
            z = stream.between(9000, 26_000)
            cast.vehicle(lorries.tram, Pose(side.x(side.tracks), z, stream.pick((-1, 1))), 9000)
        z = stream.between(1000, 9000)
        while side.parking and z < 34_000:
            z += _vehicle(cast, side.x(side.kerb - 1150), z, stream.pick((-1, 1, side.sign)), parked=True)
            z += stream.between(900, 2500) if stream.chance(60) else stream.between(6000, 25_000)
    if street.cross:
        for _ in range(stream.between(0, 3)):
            z = stream.between(street.cross[0] + 1200, street.cross[1] - 1200)
            draw, length = stream.pick(CROSSING)
            left, right = length // 2 - street.left.front, street.right.front - length // 2
            if left < right:  # beyond, the houses at the corner hide it
                cast.vehicle(draw, Pose(stream.between(left, right), z, 0, stream.pick((-1, 1))), length)


def _vehicle(cast: Cast, x: int, z: int, way: int, parked: bool = False) -> int:
    """Put a vehicle whose nearer end is at `z`; returns the length that it takes."""
    stream, kind = cast.stream, cast.stream.between(0, 99)
    if z < 18_000 and kind < (7 if parked else 34):
        ridden = not parked
        for _ in range(1 if ridden else stream.between(1, 3)):
            motor = stream.chance(50)
            cast.add(people.two_wheeler, x + stream.between(-500, 500), z + 900, 1100, 350, motor, ridden)
        return 2500
    draw: Drawing = vehicles.car
    length = 4600
    if kind > (95 if parked else 82):
        draw, length = (lorries.truck, 9000) if stream.chance(48) or parked else (lorries.bus, 12_500)
    slant = stream.between(-4, 4) if not stream.chance(6) else stream.between(-30, 30)
    cast.vehicle(draw, Pose.turned(x, z + length // 2, way, slant), length)
    return length


def _pavement(cast: Cast, street: Street, side: Side) -> None:
    """People, parked two-wheelers, poles, trees, bins: along the pavement, and a few people who cross the road."""
    stream = cast.stream
    inner, outer = side.kerb + 350, max(side.pavement - 350, side.kerb + 700)
    for _ in range(stream.between(0, 5)):
        x, z = side.x(stream.between(inner, outer)), stream.between(4500, 17_000)
        for _ in range(stream.pick((1, 1, 1, 2, 3))):
            cast.add(people.person, x, z, 1300, 250)
            x, z = x + stream.between(400, 800), z + stream.between(-300, 300)
    for _ in range(stream.between(0, 2)):
        x, z = side.x(stream.between(inner, outer)), stream.between(4000, 12_000)
        motor = stream.chance(45)
        for _ in range(stream.between(1, 3)):
            cast.add(people.two_wheeler, x, z, 1000, 350, motor, False)
            z += 900
    edge, step = side.x(side.kerb + 350), stream.between(7000, 16_000)
    trees, kinds = stream.chance(50), (furniture.lamp, furniture.sign, furniture.traffic_light, furniture.lamp)
    for z in range(stream.between(4500, 12_000), 28_000, step):
        kind = stream.pick((*kinds, furniture.hoarding, plants.tree if trees else furniture.sign))
        cast.add(kind, edge, z + stream.between(-2000, 2000), 1500, 110)
    if side.front > side.pavement + 800:
        for _ in range(stream.between(0, 5)):
            x = side.x(stream.between(side.pavement + 300, side.front - 300))
            cast.add(stream.pick((plants.tree, plants.bush, plants.bush)), x, stream.between(4000, 45_000), 2000, 700)
    if stream.chance(15):
        start, x = stream.between(5000, 14_000), side.x(side.kerb + 250)
        cast.things.append((-start, len(cast.things), lambda: _rail(cast, x, start)))
    if street.cross:
        cast.add(furniture.traffic_light, edge, street.cross[0] - 1500, 1500, 110)
        for _ in range(stream.between(0, 2)):
            cast.add(
                people.person,
                side.x(stream.between(0, side.kerb)),
                street.cross[0] - stream.between(1800, 4200),
                1300,
                250,
            )


def _rail(cast: Cast, x: int, start: int) -> None:
    frontage.draw_fence(cast.canvas, cast.camera, cast.stream, (x, x), (start, start + 8000))


def _shade_of_houses(cast: Cast, street: Street) -> None:
    """The shadow of one side's houses, over part of the road."""
    stream, side = cast.stream, cast.stream.pick(street.sides)
    z = NEAR
    while z < 70_000:
        end = z + stream.between(6000, 25_000)
        reach = side.x(side.kerb - stream.between(-2000, 5000))
        cast.shadows.append(cast.camera.strip((side.x(side.front + 9000), reach), (z, end)))
        z = end + (stream.between(500, 4000) if stream.chance(50) else 0)


def _bonnet(canvas: Canvas, stream: Stream) -> None:
    """The lower edge of some pictures shows the car that carries the camera: ignored."""
    height, width = canvas.pixels.shape[:2]
    if stream.chance(40):
        low, ignored = height * ONE, surface(Class.IGNORED)
        rise = [low - low * stream.between(1, 6) * part // 200 for part in (0, 2, 2, 1, 0)]
        points = [(width * ONE * i // 4, y) for i, y in enumerate(rise)]
        shape = np.array([(0, low), *points, (width * ONE, low)], np.int32)
        canvas.fill(shape, stone(stream, 30, 160), ignored)
