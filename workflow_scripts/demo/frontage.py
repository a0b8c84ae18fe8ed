"""What stands along the street: houses with windows and doors, walls, fences, hedges, woods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from demo.camera import FAR, NEAR, Camera
from demo.canvas import Canvas, Class, Points, Texture, surface
from demo.colours import HOUSES, Colour, brick, glazing, mix, shade, stone, usual, vivid
from demo.plants import bush, greenery, tree
from demo.stream import Stream
from demo.street import Side, Street

Pair = tuple[int, int]
FENCES = [(200, 205, 205), (225, 228, 230), (60, 105, 150), (50, 75, 110)]
PLASTER = (Texture.PLASTER, Texture.CLOUDY)


@dataclass(frozen=True)
class House:
    """How a house looks, whatever wall of it is drawn."""

    height: int
    floor: int
    bay: int
    colour: Colour
    glass: Colour
    frame: Colour
    texture: int

    @classmethod
    def random(cls, stream: Stream) -> House:
        """Two to eight floors."""
        floor = stream.between(2700, 3900)
        return cls(
            height=floor * stream.pick((2, 2, 3, 3, 4, 5, 6, 8)) + stream.between(300, 900),
            floor=floor,
            bay=stream.between(2000, 4200),
            colour=usual(stream, HOUSES, 90),
            glass=glazing(stream),
            frame=stone(stream, 60, 235),
            texture=surface(Class.BUILDING, stream.pick(PLASTER)),
        )


def draw_wall_of_house(canvas: Canvas, camera: Camera, stream: Stream, house: House, x: Pair, z: Pair) -> None:
    """One wall, from (x0, z0) to (x1, z1), with windows in rows, a ground floor of its own, bands and pipes."""
    far = max(z[1], z[0])
    middle = (z[0] + z[1]) // 2
    texture, length = house.texture, abs(x[1] - x[0]) + abs(z[1] - z[0])

    def on_wall(along: Pair, y: Pair, colour: Colour) -> None:
        canvas.fill(camera.quad(_part(x, along, length), y, _part(z, along, length)), colour, texture, middle)

    on_wall((0, length), (0, house.height), house.colour)
    columns = max(1, length // house.bay)
    rows = (house.height - 600) // house.floor
    if not camera.seen(house.floor * 2 // 3, far) or stream.chance(8):
        return
    wide, high = stream.between(38, 72) * house.bay // 100, stream.between(42, 68) * house.floor // 100
    lefts = (np.arange(columns) * length // columns) + (length // columns - wide) // 2
    sills = np.arange(1, rows) * house.floor + house.floor * 3 // 10
    if stream.chance(40):
        for row in range(1, rows):
            on_wall((0, length), (row * house.floor - 120, row * house.floor + 120), shade(house.colour, 84))
    grid = np.stack(np.meshgrid(lefts, sills), -1).reshape(-1, 2)
    if len(grid):
        rim = 130
        frames = _rectangles(camera, grid - rim, (wide + 2 * rim, high + 2 * rim), (x, z), length)
        canvas.fill(frames, house.frame, texture, middle)
        panes = _rectangles(camera, grid, (wide, high), (x, z), length)
        canvas.fill(panes, house.glass, texture, middle)
        if stream.chance(60):  # curtains, blinds, lights: some panes differ
            canvas.fill(panes[:: stream.between(2, 5)], vivid(stream, 40, 220), texture, middle)
    _ground_floor(stream, house, lefts.tolist(), wide, length, on_wall)
    if stream.chance(50):
        at = stream.between(0, length - 200)
        on_wall((at, at + 150), (0, house.height), stone(stream, 50, 180))


def _ground_floor(
    stream: Stream,
    house: House,
    lefts: list[int],
    wide: int,
    length: int,
    on_wall: Callable[[Pair, Pair, Colour], None],
) -> None:
    """Doors and windows, or shops with a sign above each."""
    shops, top = stream.chance(40), house.floor * 72 // 100
    if stream.chance(50):
        on_wall((0, length), (0, stream.between(300, house.floor)), shade(house.colour, stream.between(60, 115)))
    for left in lefts:
        if shops:
            on_wall((left - 200, left + wide + 200), (350, top), house.glass)
            if stream.chance(60):
                on_wall((left - 250, left + wide + 250), (top, top + 650), vivid(stream, 40, 220))
        elif stream.chance(30):
            on_wall((left, left + 1050), (0, 2150), vivid(stream, 25, 160))
        else:
            on_wall((left, left + wide), (900, top), house.glass)


def _part(ends: Pair, along: Pair, length: int) -> Pair:
    """The coordinates of a stretch of a wall, given where it lies along it."""
    low, high = (ends[0] + (ends[1] - ends[0]) * at // length for at in along)
    return low, high


def _rectangles(camera: Camera, corners: np.ndarray, size: Pair, wall: tuple[Pair, Pair], length: int) -> Points:
    """Many equal rectangles on a wall, N×4×2; `corners` are N×2: along it, and height."""
    along = corners[:, :1] + np.array([0, size[0], size[0], 0])
    y = corners[:, 1:] + np.array([0, 0, size[1], size[1]])
    x, z = (ends[0] + (ends[1] - ends[0]) * along // length for ends in wall)
    return camera.project(np.stack([x, y, z], -1))


def _house(canvas: Canvas, camera: Camera, stream: Stream, side: Side, front: int, z: Pair) -> None:
    """End wall, wall along the street, roof."""
    house = House.random(stream)
    near, far, deep = side.x(front), side.x(front), side.x(front + stream.between(8000, 13_000))
    draw_wall_of_house(canvas, camera, stream, house, (near, deep), (z[0], z[0]))
    if stream.chance(55):  # the roof's gable and slope
        roof = shade(brick(stream), 90) if stream.chance(50) else stone(stream, 40, 120)
        ridge, top = near + (deep - near) * 4 // 10, house.height + stream.between(1500, 4500)
        gable = [[near, house.height, z[0]], [deep, house.height, z[0]], [ridge, top, z[0]]]
        slope = [[near, house.height, z[0]], [near, house.height, z[1]], [ridge, top, z[1]], [ridge, top, z[0]]]
        canvas.fill(camera.project(np.array(gable, np.int64)), house.colour, house.texture, z[0])
        canvas.fill(camera.project(np.array(slope, np.int64)), roof, house.texture, z[0])
    sunny = replace(house, colour=shade(house.colour, stream.between(70, 125)))
    draw_wall_of_house(canvas, camera, stream, sunny, (near, far), z)


def _wall(canvas: Canvas, camera: Camera, stream: Stream, x: int, z: Pair) -> None:
    """A garden or retaining wall: panels, coping, sometimes graffiti."""
    colour, high = mix(stone(stream, 85, 140), (130, 115, 90), 90), stream.between(1900, 3000)
    texture = surface(Class.WALL, Texture.STREAKS)
    canvas.fill(camera.quad((x, x), (0, high), z), colour, texture, z[0])
    for y in range(300, high - 200, stream.between(260, 420)):
        canvas.fill(camera.quad((x, x), (y, y + 70), z), shade(colour, 72), texture, z[0])
    for start in range(z[0] + 500, z[1], stream.between(2000, 3500)):
        canvas.fill(camera.quad((x, x), (0, high), (start, start + 350)), shade(colour, 72), texture, z[0])
    for start in range(z[0], z[1] - 2500, 3000):
        if stream.chance(10):
            y = stream.between(200, high // 2)
            patch = camera.quad((x, x), (y, y + high // 3), (start, start + stream.between(700, 2300)))
            canvas.fill(patch, vivid(stream), texture, z[0])
    canvas.fill(camera.quad((x, x), (high - 200, high + 100), z), stone(stream, 150, 225), texture, z[0])


def draw_fence(canvas: Canvas, camera: Camera, stream: Stream, x: Pair, z: Pair) -> None:
    """Pickets, bars or mesh on posts; all within is fence, what shows between the bars too, as in Cityscapes."""
    high, colour = stream.between(1500, 2300), stream.pick(FENCES)
    painted, length = surface(Class.FENCE, Texture.SMOOTH), abs(x[1] - x[0]) + abs(z[1] - z[0])
    canvas.relabel(camera.quad(x, (0, high), z), painted)
    step, thick = stream.pick(((280, 160), (360, 200), (320, 200), (440, 240)))
    bars = np.stack([np.arange(0, length - thick, step), np.zeros(len(range(0, length - thick, step)), int)], -1)
    canvas.fill(_rectangles(camera, bars, (thick, high), (x, z), length), colour, painted, z[0])
    posts = bars[::8]
    canvas.fill(_rectangles(camera, posts, (140, high + 80), (x, z), length), shade(colour, 80), painted, z[0])
    for y in (high - 130, high // 6):
        canvas.fill(camera.quad(x, (y, y + 110), z), shade(colour, 90), painted, z[0])


def draw_side(canvas: Canvas, camera: Camera, street: Street, side: Side, stream: Stream) -> None:
    """Stretches of houses, walls, fences, hedges and open land, from far to near."""
    stretches, z, town = [], NEAR, stream.between(25, 75)
    while z < FAR:
        end = min(FAR, z + stream.between(7000, 22_000))
        stretches.append((z, end))
        z = end + (stream.between(500, 5000) if stream.chance(35) else 0)
    for start, end in reversed(stretches):
        if not street.cross or end <= street.cross[0] or start >= street.cross[1]:
            _stretch(canvas, camera, stream, side, town, (start, end))


def _stretch(canvas: Canvas, camera: Camera, stream: Stream, side: Side, town: int, z: Pair) -> None:
    """One of the kinds; behind a low one there is something higher, or nothing."""
    if stream.chance(town):
        _house(canvas, camera, stream, side, side.front, z)
        return
    behind, front = stream.between(0, 3), side.x(side.front)
    if behind == 0:
        _house(canvas, camera, stream, side, side.front + stream.between(5000, 10_000), z)
    elif behind < 3:
        far = side.x(side.front + stream.between(3000, 9000))
        greenery(canvas, stream, camera.quad((far, far), (0, stream.between(3000, 9000)), z), z[0])
    kind = stream.between(0, 9)
    if kind < 4:
        _wall(canvas, camera, stream, front, z)
    elif kind < 7:
        draw_fence(canvas, camera, stream, (front, front), z)
    elif kind == 7:
        greenery(canvas, stream, camera.quad((front, front), (0, stream.between(900, 2500)), z), z[0])
    else:
        for _ in range(stream.between(2, 5)):
            draw = stream.pick((tree, bush))
            deep = side.x(side.front + stream.between(500, 6000))
            if z[0] > 2500:
                draw(canvas, camera, stream, deep, stream.between(z[0], z[1]))
