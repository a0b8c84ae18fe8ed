"""Colours, BGR. Each kind of thing has its usual ones, as on a real street, and sometimes any other."""

from __future__ import annotations

from typing import TypeAlias

from demo.stream import Stream

Colour: TypeAlias = tuple[int, int, int]

# What each kind of thing is usually painted with.
HOUSES = [(140, 172, 200), (112, 148, 192), (68, 84, 150), (120, 182, 208), (150, 160, 214), (80, 100, 168)]
CABS, BUSES, TRAMS = [(35, 105, 215), (150, 75, 35)], [(40, 190, 235), (40, 42, 195)], [(125, 140, 25), (75, 140, 40)]
COATS = [(88, 52, 36), (42, 40, 40), (46, 40, 108), (70, 66, 62), (58, 72, 66)]
JACKETS = [(40, 220, 235), (30, 140, 240), (60, 235, 190)]
MOTORCYCLES, BICYCLES = [(32, 30, 150), (40, 38, 42)], [(165, 160, 60), (190, 190, 110)]
BLACK, DARK, WHITE = (18, 18, 18), (45, 42, 40), (225, 225, 225)
RED, AMBER, GREEN = (40, 35, 200), (40, 150, 225), (90, 190, 60)
SKINS = [(120, 150, 205), (95, 125, 185), (60, 85, 140), (40, 55, 90), (140, 175, 220)]
TIMBER = [(45, 65, 90), (60, 75, 85), (75, 80, 85), (35, 45, 60), (95, 105, 115)]
METAL = [(90, 92, 92), (115, 117, 115), (70, 72, 70), (75, 95, 70), (55, 56, 58)]


def shade(colour: Colour, percent: int) -> Colour:
    """The colour at `percent` of its brightness."""
    b, g, r = (min(255, channel * percent // 100) for channel in colour)
    return b, g, r


def mix(one: Colour, other: Colour, share: int) -> Colour:
    """`share` of 256 parts of `other`, the rest of `one`."""
    b, g, r = (a + ((b - a) * share >> 8) for a, b in zip(one, other, strict=True))
    return b, g, r


def vivid(stream: Stream, low: int = 30, high: int = 215) -> Colour:
    """A colour of any hue, from greyish to saturated."""
    middle, spread = stream.between(low, high), stream.between(0, 75)
    b, g, r = (max(8, min(245, middle + stream.between(-spread, spread))) for _ in range(3))
    return b, g, r


def stone(stream: Stream, low: int = 70, high: int = 200) -> Colour:
    """Grey, with some warmth or coolness: asphalt, concrete, plaster, sandstone, weathered brick."""
    middle, warmth = stream.between(low, high), stream.between(-8, 14)
    return max(0, middle - warmth), middle, min(255, middle + warmth)


def glazing(stream: Stream) -> Colour:
    """Glass: dark, or light where it mirrors the sky; greenish to bluish."""
    dark = stream.between(24, 95) if stream.chance(80) else stream.between(100, 175)
    return dark + stream.between(-4, 18), dark + stream.between(-2, 8), dark


def brick(stream: Stream) -> Colour:
    """Red to brown."""
    red = stream.between(85, 170)
    return red * stream.between(40, 70) // 100, red * stream.between(48, 75) // 100, red


def usual(stream: Stream, colours: list[Colour], percent: int = 85) -> Colour:
    """One of these colours, more or less, in `percent` of 100 cases; else any."""
    if not stream.chance(percent):
        return vivid(stream)
    b, g, r = (max(5, min(250, channel + stream.between(-14, 14))) for channel in stream.pick(colours))
    return b, g, r


def paint(stream: Stream) -> Colour:
    """What vehicles are painted with: half of them white, grey or black."""
    if stream.chance(50):
        return stone(stream, 25, 225)
    return vivid(stream, 25, 190)


def foliage(stream: Stream) -> Colour:
    """Green, olive, dark, or yellow and brown as in autumn."""
    green = stream.between(48, 135)
    if stream.chance(4):
        return green * stream.between(25, 55) // 100, green * stream.between(70, 100) // 100, green * 115 // 100
    return green * stream.between(35, 75) // 100, green, green * stream.between(55, 100) // 100
