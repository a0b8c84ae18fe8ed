"""Lorries, buses and trams: the colours of cars; form, proportion, windows and wheels tell them apart."""

from __future__ import annotations

from dataclasses import replace

from demo.camera import Camera
from demo.canvas import Canvas, Class, surface
from demo.colours import (
    AMBER,
    BLACK,
    BUSES,
    CABS,
    DARK,
    RED,
    TRAMS,
    Colour,
    glazing,
    shade,
    stone,
    usual,
    vivid,
)
from demo.solid import Face, Pose, draw
from demo.stream import Stream
from demo.vehicles import LAMP, across, box, rect, side, wheels


def truck(canvas: Canvas, camera: Camera, stream: Stream, pose: Pose) -> None:
    """A cab with a box, a tank or a tipper behind it, on a frame with large wheels."""
    cargo, cab, half = stream.between(4000, 7500), stream.between(1700, 2200), 1240
    length, floor, top = cargo + cab + 250, stream.between(900, 1150), stream.between(2500, 3050)
    rear, painted = -length // 2, surface(Class.TRUCK)
    colour, wheel = usual(stream, CABS), stone(stream, 80, 170)
    frame = box((rear, length // 2 - 200), half - 150, (350, floor), DARK)
    places = [rear + 900, rear + 2150, length // 2 - 900][0 if stream.chance(60) else 1 :]
    for face, sign in zip(frame[-2:], (-1, 1), strict=True):
        side(face, sign * half, wheels(places, 500, wheel))
    load = _load(stream, (rear, rear + cargo), half, floor)
    head = box((length // 2 - cab, length // 2), half - 60, (450, top), colour)
    front, glass = length // 2, glazing(stream)
    sill = 450 + (top - 450) * 45 // 100
    head[2].marks += [(across(front, 120 - half, half - 120, sill, top - 250), glass)]
    head[2].marks += [(across(front, -half // 2, half // 2, 700, sill - 200), DARK)]
    head[2].marks += [(across(front, x, x + 300, 600, 850), LAMP) for x in (120 - half, half - 420)]
    for face, sign in zip(head[-2:], (-1, 1), strict=True):
        pane = rect(front - cab * 7 // 10, front - 150, sill, top - 300)
        side(face, sign * (half - 60), [(pane, glass)])
    ahead = pose.cosine >= 0  # paint what is farther first
    for part in (frame, head, load) if ahead else (frame, load, head):
        draw(canvas, camera, pose, part, painted)


def _load(stream: Stream, along: tuple[int, int], half: int, floor: int) -> list[Face]:
    """What the lorry carries."""
    kind, (a, b) = stream.between(0, 4), along
    high = floor + (stream.between(900, 1400) if kind == 0 else stream.between(1900, 2700))
    load = box(along, half, (floor - 100, high), stone(stream, 185, 235) if kind < 4 else usual(stream, CABS))
    rear, left, right = load[0], load[3], load[4]
    rear.marks += [(across(a, -30, 30, floor, high), shade(rear.colour, 60))]
    rear.marks += [(across(a, x, x + 220, floor - 90, floor + 60), RED) for x in (-half, half - 220)]
    for face, sign in ((left, -1), (right, 1)):
        if kind < 4:  # ribs
            ribs = [(rect(x, x + 180, floor, high), shade(face.colour, 70)) for x in range(a, b, 900)]
            side(face, sign * half, ribs)
        else:  # lettering
            text = rect(
                a + (b - a) // 5, b - (b - a) // 4, floor + (high - floor) // 2, floor + (high - floor) * 3 // 4
            )
            side(face, sign * half, [(text, vivid(stream))])
    return load


def _coach(
    stream: Stream, length: int, half: int, y: tuple[int, int], colours: tuple[Colour, Colour], display: Colour
) -> list[Face]:
    """A long box with rows of windows, doors, a band of another colour and a large pane at either end."""
    (low, high), glass, (colour, band) = y, glazing(stream), colours
    faces = box((-length // 2, length // 2), half, y, colour)
    sill, lintel = low + (high - low) * stream.between(42, 52) // 100, high - stream.between(350, 600)
    pane, post = stream.between(1000, 1700), stream.between(90, 260)
    for face, sign in zip(faces[-2:], (-1, 1), strict=True):
        side(face, sign * half, [(rect(-length // 2, length // 2, low, sill - 200), shade(band, 90))])
        starts = range(-length // 2 + 250, length // 2 - pane, pane + post)
        side(face, sign * half, [(rect(x, x + pane, sill, lintel), glass) for x in starts])
        for x in list(starts)[1::3]:
            side(face, sign * half, [(rect(x + 80, x + pane - 80, low + 150, lintel), shade(glass, 130))])
    for face, along, lamp in ((faces[0], -length // 2, RED), (faces[2], length // 2, LAMP)):
        face.marks += [(across(along, -half, half, low, sill - 200), band)]
        face.marks += [(across(along, 150 - half, half - 150, sill - 250, lintel), glass)]
        face.marks += [(across(along, -half * 6 // 10, half * 6 // 10, lintel + 60, high - 60), display)]
        for x in (120 - half, half - 420):
            face.marks += [(across(along, x, x + 300, low + 250, low + 520), lamp)]
    return faces


def bus(canvas: Canvas, camera: Camera, stream: Stream, pose: Pose) -> None:
    """A city bus: wheels, and windows above a low floor."""
    length, half, colour = stream.between(9500, 12_500), 1270, usual(stream, BUSES)
    look = colour, shade(colour, stream.pick((80, 100)))
    faces = _coach(stream, length, half, (280, stream.between(2900, 3300)), look, AMBER)
    tyres = wheels([-length * 26 // 100, length * 32 // 100], 500, stone(stream, 70, 160))
    for face, sign in zip(faces[-2:], (-1, 1), strict=True):
        side(face, sign * half, tyres)
    under = box((-length * 48 // 100, length * 48 // 100), half - 100, (0, 300), BLACK)
    draw(canvas, camera, pose, under, surface(Class.BUS))
    draw(canvas, camera, pose, faces, surface(Class.BUS))


def tram(canvas: Canvas, camera: Camera, stream: Stream, pose: Pose) -> None:
    """A tram of several cars: close to the ground, no wheels to be seen, dark joints between the cars, a pantograph."""
    painted, half = surface(Class.TRAIN), 1200
    livery = stone(stream, 185, 230), usual(stream, TRAMS)
    cars, length, high = stream.between(2, 4), stream.between(6500, 9000), stream.between(3300, 3650)
    look = stream.between(0, 1 << 30)
    for number in range(cars - 1, -1, -1):
        at = replace(pose, z=pose.z + number * (length + 500))
        faces = _coach(Stream(look), length, half, (130, high), livery, livery[1])
        joint = box((-length // 2 - 260, length // 2 + 260), half - 150, (250, high - 150), DARK)
        draw(canvas, camera, at, joint, painted)
        draw(canvas, camera, at, faces, painted)
    plane = camera.upright(pose.x, pose.z)
    for x0, y0, x1, y1 in (
        (-500, high, 500, high + 450),
        (500, high + 450, -300, high + 900),
        (-700, high + 900, 700, high + 900),
    ):
        canvas.fill(plane.bar(x0, y0, x1, y1, 90), DARK, painted, pose.z)
