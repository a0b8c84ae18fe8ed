"""Poles and what hangs on them: lamps, traffic signs, traffic lights."""

from __future__ import annotations

from demo.camera import Camera, Upright
from demo.canvas import Canvas, Class, Texture, surface
from demo.colours import AMBER, BLACK, DARK, GREEN, METAL, RED, WHITE, Colour, shade, stone, vivid
from demo.stream import Stream

POLE = surface(Class.POLE)
SIGN = surface(Class.TRAFFIC_SIGN)
LIGHT = surface(Class.TRAFFIC_LIGHT)
BLUE, YELLOW = (170, 90, 25), (40, 190, 230)


def _pole(canvas: Canvas, plane: Upright, stream: Stream, height: int, thick: int) -> Colour:
    """A pole at the plane's origin, a little lighter on one side."""
    colour, thick = stream.pick(METAL), thick * 3 // 2
    canvas.fill(plane.box(-thick // 2, thick // 2, 0, height), colour, POLE, plane.z)
    canvas.fill(plane.box(0, thick // 4, 0, height), shade(colour, 125), POLE, plane.z)
    return colour


def lamp(canvas: Canvas, camera: Camera, stream: Stream, x: int, z: int) -> None:
    """A street lamp with an arm towards the road, a pole for wires, or a bollard."""
    plane = camera.upright(x, z)
    if stream.chance(20):
        _pole(canvas, plane, stream, stream.between(800, 1100), 160)
        return
    height, reach = stream.between(4200, 8500), stream.between(700, 2400) * (1 if x < 0 else -1)
    colour = _pole(canvas, plane, stream, height, stream.between(180, 300))
    if stream.chance(75):
        canvas.fill(plane.bar(0, height - 60, reach, height + 150, 160), colour, POLE, z)
        canvas.fill(plane.bar(reach, height + 130, reach + reach // 4, height + 130, 170), shade(colour, 80), POLE, z)


def sign(canvas: Canvas, camera: Camera, stream: Stream, x: int, z: int) -> None:
    """One to three signs on a pole."""
    plane, top = camera.upright(x, z), stream.between(2300, 3400)
    _pole(canvas, plane, stream, top, stream.between(100, 170))
    y = top - 300
    for _ in range(stream.pick((1, 1, 2, 3))):
        size = stream.between(480, 700)
        stream.pick((_round, _triangle, _square, _octagon, _panel))(canvas, plane, stream, y, size)
        y -= 2 * size + 60
        if y < 1300:
            break


def _round(canvas: Canvas, plane: Upright, stream: Stream, y: int, size: int) -> None:
    rim, face = stream.pick(((RED, WHITE), (RED, WHITE), (WHITE, BLUE), (RED, RED), (DARK, WHITE), (RED, BLUE)))
    canvas.fill(plane.disc(0, y, size), rim, SIGN, plane.z)
    canvas.fill(plane.disc(0, y, size * 72 // 100), face, SIGN, plane.z)
    mark = BLACK if face == WHITE else WHITE
    canvas.fill(plane.box(-size * 4 // 10, size * 4 // 10, y - size // 7, y + size // 7), mark, SIGN, plane.z)


def _triangle(canvas: Canvas, plane: Upright, stream: Stream, y: int, size: int) -> None:
    turn = stream.pick((1, 1, -1))
    for part, colour in ((112, RED), (66, stream.pick((WHITE, WHITE, YELLOW)))):
        r = size * part // 100
        points = plane.map([(-r, y - turn * r * 6 // 10), (r, y - turn * r * 6 // 10), (0, y + turn * r)])
        canvas.fill(points, colour, SIGN, plane.z)
    canvas.fill(plane.box(-size // 10, size // 10, y - size // 3, y + size // 4), BLACK, SIGN, plane.z)


def _square(canvas: Canvas, plane: Upright, stream: Stream, y: int, size: int) -> None:
    face, r = stream.pick((BLUE, BLUE, YELLOW, WHITE)), size * 88 // 100
    if face == YELLOW:
        canvas.fill(plane.map([(-size, y), (0, y - size), (size, y), (0, y + size)]), WHITE, SIGN, plane.z)
        r = size * 7 // 10
        canvas.fill(plane.map([(-r, y), (0, y - r), (r, y), (0, y + r)]), face, SIGN, plane.z)
        return
    canvas.fill(plane.box(-r, r, y - r, y + r), WHITE if face == BLUE else BLACK, SIGN, plane.z)
    canvas.fill(plane.box(-r * 9 // 10, r * 9 // 10, y - r * 9 // 10, y + r * 9 // 10), face, SIGN, plane.z)
    mark = WHITE if face == BLUE else stream.pick((BLACK, RED))
    canvas.fill(plane.map([(-r // 2, y - r // 2), (r // 2, y - r // 2), (0, y + r * 6 // 10)]), mark, SIGN, plane.z)


def _octagon(canvas: Canvas, plane: Upright, stream: Stream, y: int, size: int) -> None:
    for part, colour in ((100, WHITE), (90, RED)):
        a, b = size * part // 100, size * part * 41 // 10_000
        corners = [(a, -b), (a, b), (b, a), (-b, a), (-a, b), (-a, -b), (-b, -a), (b, -a)]
        canvas.fill(plane.map([(px, y + py) for px, py in corners]), colour, SIGN, plane.z)
    canvas.fill(plane.box(-size * 7 // 10, size * 7 // 10, y - size // 5, y + size // 5), WHITE, SIGN, plane.z)


def _panel(canvas: Canvas, plane: Upright, stream: Stream, y: int, size: int) -> None:
    wide, high = size * stream.between(120, 230) // 100, size * stream.between(45, 80) // 100
    colour = stream.pick((BLUE, (70, 120, 30), YELLOW, WHITE, (60, 110, 200)))
    canvas.fill(plane.box(-wide, wide, y - high, y + high), shade(colour, 70), SIGN, plane.z)
    canvas.fill(plane.box(-wide + 50, wide - 50, y - high + 50, y + high - 50), colour, SIGN, plane.z)
    mark = BLACK if sum(colour) > 350 else WHITE
    for line in (high // 4, -high // 2):
        right = wide * stream.between(10, 80) // 100
        canvas.fill(plane.box(-wide * 8 // 10, right, y + line, y + line + high // 4), mark, SIGN, plane.z)


def traffic_light(canvas: Canvas, camera: Camera, stream: Stream, x: int, z: int) -> None:
    """Lamps on a pole, on an arm above the road as well, or on a short pole; some show their back."""
    plane, inward = camera.upright(x, z), 1 if x < 0 else -1
    height = stream.between(3000, 3700)
    if stream.chance(45):
        over, reach = stream.between(4700, 5800), inward * stream.between(2200, 4500)
        colour = _pole(canvas, plane, stream, over + 100, 240)
        canvas.fill(plane.bar(0, over, reach, over, 190), colour, POLE, z)
        _lamps(canvas, plane, stream, reach, over - 1200)
    else:
        _pole(canvas, plane, stream, height, 200)
    _lamps(canvas, plane, stream, stream.pick((0, 0, inward * 260)), height - 1300)


def _lamps(canvas: Canvas, plane: Upright, stream: Stream, x: int, y: int) -> None:
    """A housing from `y` up, and three lamps (or two) of which one is lit."""
    count, pitch, half = stream.pick((3, 3, 3, 2)), stream.between(500, 620), stream.between(300, 380)
    housing = stream.pick((BLACK, DARK, BLACK, (45, 70, 40)))
    high = count * pitch + 100
    if stream.chance(35):
        plate = stream.pick((WHITE, BLACK, stone(stream)))
        canvas.fill(plane.box(x - half - 120, x + half + 120, y - 120, y + high + 120), plate, LIGHT, plane.z)
    canvas.fill(plane.box(x - half, x + half, y, y + high), housing, LIGHT, plane.z)
    if stream.chance(15):
        return
    lit = stream.between(0, count - 1)
    for i in range(count):
        colour = (GREEN, AMBER, RED)[i if count == 3 else 2 * i]
        bright = shade(colour, 125) if i == lit else shade(colour, 28)
        canvas.fill(plane.disc(x, y + 50 + i * pitch + pitch // 2, half * 75 // 100), bright, LIGHT, plane.z)


def hoarding(canvas: Canvas, camera: Camera, stream: Stream, x: int, z: int) -> None:
    """An advertisement, a bin or a cabinet on the pavement: Cityscapes does not score such things."""
    plane, high, half = camera.upright(x, z), stream.between(700, 2400), stream.between(250, 700)
    painted = surface(Class.IGNORED, Texture.PLASTER)
    canvas.fill(plane.box(-half, half, 0, high), stone(stream, 40, 150), painted, z)
    canvas.fill(plane.box(-half + 90, half - 90, high // 4, high - 90), vivid(stream), painted, z)
