"""Cars and vans, and the parts that other vehicles share with them."""

from __future__ import annotations

from demo.camera import CIRCLE, ROUND, Camera
from demo.canvas import Canvas, Class, surface
from demo.colours import BLACK, DARK, RED, WHITE, Colour, glazing, paint, shade, stone
from demo.solid import Face, Point, Pose, draw, extrude
from demo.stream import Stream

LAMP = (215, 235, 240)
# Outlines in thousandths of length and height, from the lower rear over the roof to the lower front; the numbers after
# them name the stretches that are glass; then the corners of the side windows.
BODIES: dict[str, tuple[list[tuple[int, int]], tuple[int, int], list[tuple[int, int]]]] = {
    "saloon": (
        [(0, 170), (0, 640), (150, 680), (290, 980), (340, 1000), (600, 1000), (760, 670), (980, 570), (1000, 170)],
        (2, 5),
        [(215, 690), (315, 940), (590, 940), (715, 690)],
    ),
    "hatchback": (
        [(0, 170), (10, 620), (90, 960), (140, 1000), (560, 1000), (740, 660), (980, 560), (1000, 170)],
        (1, 4),
        [(90, 670), (150, 940), (550, 940), (690, 670)],
    ),
    "estate": (
        [(0, 190), (0, 590), (50, 970), (90, 1000), (590, 1000), (740, 640), (980, 580), (1000, 190)],
        (1, 4),
        [(60, 650), (95, 930), (580, 930), (700, 650)],
    ),
    "van": (
        [(0, 130), (0, 560), (10, 980), (30, 1000), (720, 1000), (870, 590), (990, 470), (1000, 130)],
        (1, 4),
        [(590, 600), (590, 900), (720, 900), (830, 600)],
    ),
}


def _scaled(points: list[tuple[int, int]], length: int, height: int) -> list[tuple[int, int]]:
    return [(a * length // 1000 - length // 2, y * height // 1000) for a, y in points]


def side(face: Face, half: int, polygons: list[tuple[list[tuple[int, int]], Colour]]) -> None:
    """Paint polygons (along, up) onto a side."""
    face.marks += [([(a, half, y) for a, y in points], colour) for points, colour in polygons]


def rect(a: int, b: int, low: int, high: int) -> list[tuple[int, int]]:
    """A rectangle on a side: along, up."""
    return [(a, low), (a, high), (b, high), (b, low)]


def across(along: int, left: int, right: int, low: int, high: int) -> list[Point]:
    """A rectangle on the rear or the front."""
    return [(along, left, low), (along, right, low), (along, right, high), (along, left, high)]


def wheels(places: list[int], radius: int, hub: Colour) -> list[tuple[list[tuple[int, int]], Colour]]:
    """Tyres and hubs on a side."""
    found = []
    for place in places:
        for size, colour in ((radius, BLACK), (radius * 55 // 100, hub)):
            found.append(([(place + size * c // ROUND, radius + size * s // ROUND) for c, s in CIRCLE], colour))
    return found


def _ends(rear: Face, front: Face, half: int, low: int, high: int, stream: Stream) -> None:
    """Rear lamps, headlights, plates, bumpers."""
    (a, _, _), (b, _, _) = rear.points[0], front.points[0]
    middle, lamp = low + (high - low) * 6 // 10, half * stream.between(18, 34) // 100
    for face, along, colour in ((rear, a, RED), (front, b, LAMP)):
        face.marks.append((across(along, -half, half, low, low + (high - low) // 4), DARK))
        for edge in (-half + 40, half - lamp - 40):
            face.marks.append((across(along, edge, edge + lamp, middle, high - 40), colour))
        face.marks.append((across(along, -260, 260, middle - 130, middle), WHITE))
    front.marks.append((across(b, -half // 2, half // 2, middle, high - 60), DARK))


def car(canvas: Canvas, camera: Camera, stream: Stream, pose: Pose) -> None:
    """A saloon, hatchback, estate or van."""
    kind = stream.pick(("saloon", "hatchback", "hatchback", "estate", "estate", "van"))
    outline, glazed, windows = BODIES[kind]
    van = kind == "van"
    length, height = stream.between(3900, 4900), stream.between(1420, 1720)
    if van:
        length, height = stream.between(4800, 5900), stream.between(1950, 2500)
    half, colour, glass = stream.between(840, 960), paint(stream), glazing(stream)
    bands, left, right = extrude(_scaled(outline, length, height), half)
    for number, face in enumerate(bands):
        steep = abs(face.points[2][2] - face.points[1][2]) > abs(face.points[2][0] - face.points[1][0])
        face.colour = shade(colour, 92 if steep else 118)
        if number in glazed and not (van and number == 1 and stream.chance(50)):
            face.colour = glass
    low, high = outline[0][1] * height // 1000, outline[1][1] * height // 1000
    _ends(bands[0], bands[-1], half, low, high, stream)
    radius = stream.between(300, 360)
    for face, sign in ((left, -1), (right, 1)):
        face.colour = shade(colour, stream.between(72, 108))
        panes = _scaled(windows, length, height)
        pillar = (panes[0][0] + panes[-1][0]) // 2
        side(face, sign * half, [(panes, glass), (rect(pillar, pillar + 90, panes[0][1], panes[1][1]), face.colour)])
        sill = low + 60
        side(face, sign * half, [(rect(pillar, pillar + 25, sill, panes[0][1]), shade(face.colour, 70))])
        side(face, sign * half, wheels([-length * 31 // 100, length * 31 // 100], radius, stone(stream, 90, 190)))
    under = box((-length * 46 // 100, length * 46 // 100), half - 60, (0, low + 20), BLACK)
    draw(canvas, camera, pose, under, surface(Class.CAR))
    draw(canvas, camera, pose, [*bands, left, right], surface(Class.CAR))


def box(along: tuple[int, int], half: int, y: tuple[int, int], colour: Colour) -> list[Face]:
    """A plain box: rear, roof, front, left, right."""
    (a, b), (low, high) = along, y
    bands, left, right = extrude([(a, low), (a, high), (b, high), (b, low)], half)
    for face, percent in zip((*bands, left, right), (90, 120, 90, 80, 104), strict=True):
        face.colour = shade(colour, percent)
    return [*bands, left, right]
