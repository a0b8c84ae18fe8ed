"""People on foot, and two-wheelers with or without a rider."""

from __future__ import annotations

import numpy as np

from demo.camera import Camera, Upright
from demo.canvas import Canvas, Class, Texture, surface
from demo.colours import (
    BICYCLES,
    BLACK,
    COATS,
    DARK,
    JACKETS,
    MOTORCYCLES,
    RED,
    SKINS,
    WHITE,
    Colour,
    shade,
    stone,
    usual,
    vivid,
)
from demo.stream import Stream

PERSON, RIDER = surface(Class.PERSON, Texture.CLOTH), surface(Class.RIDER, Texture.CLOTH)
BICYCLE, MOTORCYCLE = surface(Class.BICYCLE), surface(Class.MOTORCYCLE)
HAIR = [(20, 22, 28), (35, 50, 75), (70, 105, 140), (150, 155, 160), (25, 35, 50)]


def _head(canvas: Canvas, plane: Upright, stream: Stream, x: int, y: int, painted: int, helmet: bool = False) -> None:
    """A head whose middle is at (x, y), with hair, hat or helmet."""
    canvas.fill(plane.disc(x, y, 105, 140), stream.pick(SKINS), painted, plane.z)
    cover = vivid(stream) if helmet or stream.chance(20) else stream.pick(HAIR)
    low = -60 if helmet or stream.chance(40) else 20
    canvas.fill(
        plane.map([(x - 120, y + low), (x + 120, y + low), (x + 85, y + 165), (x - 85, y + 165)]),
        cover,
        painted,
        plane.z,
    )


def person(canvas: Canvas, camera: Camera, stream: Stream, x: int, z: int) -> None:
    """Someone who walks or stands, from the front or from the side."""
    plane, tall = camera.upright(x, z), stream.between(1500, 1900) if stream.chance(85) else stream.between(1050, 1350)
    coat, trousers, shoes = usual(stream, COATS, 80), usual(stream, COATS), stone(stream, 20, 90)
    hip, neck = tall * 48 // 100, tall * 83 // 100
    half, leg = tall * stream.between(11, 15) // 100, tall * stream.between(8, 10) // 100
    stride = stream.between(0, tall * 20 // 100)
    for sign in (-1, 1):
        foot = sign * (half // 2 + stride // 2)
        canvas.fill(plane.bar(sign * half // 2, hip, foot, 50, leg), shade(trousers, 100 + 12 * sign), PERSON, z)
        canvas.fill(plane.box(foot - leg // 2, foot + leg // 2 + 50, 0, 80), shoes, PERSON, z)
    if stream.chance(25):  # skirt or long coat
        hem = half + stream.between(30, 130)
        low = tall * stream.between(22, 38) // 100
        canvas.fill(plane.map([(-hem, low), (hem, low), (half, hip + 80), (-half, hip + 80)]), coat, PERSON, z)
    canvas.fill(
        plane.map([(-half, hip - 60), (half, hip - 60), (half + 30, neck), (-half - 30, neck)]), coat, PERSON, z
    )
    if stream.chance(30):  # rucksack or bag
        at = stream.pick((-1, 1)) * half
        canvas.fill(plane.box(at - 120, at + 130, hip, hip + tall // 5), vivid(stream), PERSON, z)
    for sign in (-1, 1):
        hand = sign * (half + 40 + stream.between(0, stride + 60))
        canvas.fill(plane.bar(sign * half, neck - 40, hand, hip - 20, tall * 5 // 100), shade(coat, 85), PERSON, z)
    _head(canvas, plane, stream, 0, tall - 140, PERSON)


def two_wheeler(canvas: Canvas, camera: Camera, stream: Stream, x: int, z: int, motor: bool, ridden: bool) -> None:
    """A bicycle or motorcycle, from the side or end-on, with or without its rider."""
    plane, side = camera.upright(x, z), stream.chance(60 if ridden else 85)
    turn = stream.pick((-1, 1))
    if side:
        (_motorcycle_side if motor else _bicycle_side)(canvas, plane, stream, turn)
    else:
        (_motorcycle_end if motor else _bicycle_end)(canvas, plane, stream)
    if ridden:
        (_rider_side if side else _rider_end)(canvas, plane, stream, turn, motor)


def _bicycle_side(canvas: Canvas, plane: Upright, stream: Stream, turn: int) -> None:
    """Between spokes and tubes one sees through; all within the outline is bicycle, as in Cityscapes."""
    colour, z = usual(stream, BICYCLES), plane.z
    canvas.relabel(plane.map([(-480 * turn, 300), (-250 * turn, 800), (400 * turn, 800), (480 * turn, 300)]), BICYCLE)
    for wheel in (-520, 520):
        rim, hole = plane.disc(wheel, 340, 340), plane.disc(wheel, 340, 275)
        canvas.relabel(rim, BICYCLE)
        canvas.fill(np.stack([rim, hole]), DARK, BICYCLE, z)
        canvas.fill(plane.bar(wheel, 50, wheel, 620, 26), stone(stream, 90, 160), BICYCLE, z)
    for x0, y0, x1, y1 in (
        (-520, 340, -180, 800),
        (-520, 340, 0, 330),
        (0, 330, -200, 880),
        (0, 330, 400, 800),
        (-180, 760, 400, 800),
        (520, 340, 400, 960),
    ):
        canvas.fill(plane.bar(x0 * turn, y0, x1 * turn, y1, 75), colour, BICYCLE, z)
    canvas.fill(plane.box(min(-330 * turn, -110 * turn), max(-330 * turn, -110 * turn), 860, 940), BLACK, BICYCLE, z)
    canvas.fill(plane.bar(400 * turn, 970, 250 * turn, 1030, 60), DARK, BICYCLE, z)


def _motorcycle_side(canvas: Canvas, plane: Upright, stream: Stream, turn: int) -> None:
    """Thick wheels, engine, tank and seat: nothing to see through."""
    colour, z = usual(stream, MOTORCYCLES), plane.z
    for wheel in (-680, 680):
        canvas.fill(plane.disc(wheel, 320, 320), BLACK, MOTORCYCLE, z)
        canvas.fill(plane.disc(wheel, 320, 170), stone(stream, 80, 170), MOTORCYCLE, z)
    for points, part in (
        ([(-450, 280), (400, 280), (480, 620), (-560, 620)], DARK),
        ([(-950, 700), (-880, 900), (50, 800), (50, 600), (-500, 560)], colour),
        ([(-650, 830), (-600, 920), (60, 860), (60, 780)], BLACK),
        ([(0, 620), (30, 900), (420, 980), (520, 700)], colour),
        ([(480, 700), (640, 340), (740, 340), (560, 1050)], stone(stream, 90, 170)),
        ([(480, 850), (560, 1280), (620, 1280), (680, 800)], shade(colour, 120)),
    ):
        canvas.fill(plane.map([(turn * px, py) for px, py in points]), part, MOTORCYCLE, z)
    canvas.fill(plane.bar(-850 * turn, 340, -100 * turn, 300, 110), stone(stream, 120, 190), MOTORCYCLE, z)


def _bicycle_end(canvas: Canvas, plane: Upright, stream: Stream) -> None:
    """Thin wheel, handlebar."""
    z = plane.z
    canvas.fill(plane.box(-40, 40, 0, 700), DARK, BICYCLE, z)
    canvas.fill(plane.box(-35, 35, 500, 1000), usual(stream, BICYCLES), BICYCLE, z)
    canvas.fill(plane.box(-300, 300, 970, 1040), DARK, BICYCLE, z)
    canvas.fill(plane.box(-110, 110, 860, 960), BLACK, BICYCLE, z)
    if stream.chance(50):
        canvas.fill(plane.box(-60, 60, 620, 720), stream.pick((RED, WHITE)), BICYCLE, z)


def _motorcycle_end(canvas: Canvas, plane: Upright, stream: Stream) -> None:
    """Broad wheel, fairing, one lamp, mirrors."""
    colour, z = usual(stream, MOTORCYCLES), plane.z
    canvas.fill(plane.box(-110, 110, 0, 650), BLACK, MOTORCYCLE, z)
    body = [(-210, 380), (210, 380), (330, 750), (220, 1130), (-220, 1130), (-330, 750)]
    canvas.fill(plane.map(body), colour, MOTORCYCLE, z)
    canvas.fill(plane.box(-430, 430, 980, 1060), DARK, MOTORCYCLE, z)
    canvas.fill(plane.disc(0, 850, 130), stream.pick((WHITE, RED)), MOTORCYCLE, z)
    for x in (-430, 430):
        canvas.fill(plane.disc(x, 1180, 90), DARK, MOTORCYCLE, z)


def _rider_side(canvas: Canvas, plane: Upright, stream: Stream, turn: int, motor: bool) -> None:
    """Bent forward, hands at the bar, one leg to be seen."""
    coat, trousers = usual(stream, JACKETS, 90), usual(stream, COATS)
    seat, lean, z = (870 if motor else 950), stream.between(150, 420), plane.z

    def limb(x0: int, y0: int, x1: int, y1: int, width: int, colour: Colour) -> None:
        canvas.fill(plane.bar(turn * x0, y0, turn * x1, y1, width), colour, RIDER, z)

    limb(-200, seat, 180, seat - 170, 200, trousers)
    limb(170, seat - 100, 60, 290, 150, trousers)
    limb(-220, seat - 50, lean - 200, seat + 560, 330, coat)
    limb(lean - 180, seat + 480, 400, seat + 130, 130, shade(coat, 82))
    _head(canvas, plane, stream, turn * (lean - 130), seat + 740, RIDER, motor or stream.chance(80))


def _rider_end(canvas: Canvas, plane: Upright, stream: Stream, turn: int, motor: bool) -> None:
    """From ahead or behind: trunk above, knees at either side."""
    coat, trousers = usual(stream, JACKETS, 90), usual(stream, COATS)
    seat, z = (850 if motor else 920), plane.z
    for sign in (-1, 1):
        low = 320 + (turn * sign + 1) * 90
        canvas.fill(plane.bar(sign * 130, seat, sign * (300 if motor else 190), low, 140), trousers, RIDER, z)
        canvas.fill(plane.bar(sign * 230, seat + 480, sign * 360, seat + 150, 120), shade(coat, 82), RIDER, z)
    canvas.fill(plane.map([(-200, seat - 60), (200, seat - 60), (260, seat + 560), (-260, seat + 560)]), coat, RIDER, z)
    _head(canvas, plane, stream, 0, seat + 730, RIDER, motor or stream.chance(80))
