"""Trees, bushes and hedges: lumps of many small lumps, trunks included."""

from __future__ import annotations

import numpy as np

from demo.camera import ROUND, Camera, circle
from demo.canvas import Canvas, Class, Points, Texture, surface
from demo.colours import TIMBER, Colour, foliage, shade
from demo.stream import Stream

LEAVES = surface(Class.VEGETATION, Texture.LEAVES)
BARK = surface(Class.VEGETATION, Texture.STREAKS)
ROUGH_CIRCLE, SMALL_CIRCLE = np.array(circle(6), np.int64), np.array(circle(2), np.int64)


def lump(
    canvas: Canvas, stream: Stream, middle: tuple[int, int], radii: tuple[int, int], colour: Colour, z: int
) -> None:
    """A crown or bush: ragged outline, clumps of leaves lighter above and darker below. Sixteenths of a pixel."""
    size = np.array(radii, np.int64)
    outline = np.array(middle) + ROUGH_CIRCLE * size * stream.array(68, 112, 24, 1) // (100 * ROUND)
    canvas.fill(outline.astype(np.int32), colour, LEAVES, z)
    if min(radii) < 64:
        return
    for tone, low, high in ((62, -30, 85), (82, -80, 70), (122, -85, 10), (142, -75, -10)):
        shift = np.stack([stream.array(-75, 75, 7), stream.array(low, high, 7)], -1)
        centres = np.array(middle) + shift * size // 100
        clumps = SMALL_CIRCLE * stream.array(12, 30, 7, 8, 1) * int(size.min()) // (100 * ROUND)
        canvas.fill((centres[:, None] + clumps).astype(np.int32), shade(colour, tone), LEAVES, z)


def tree(canvas: Canvas, camera: Camera, stream: Stream, x: int, z: int) -> None:
    """A tree with one to three lumps for a crown."""
    height = stream.between(3500, 9500)
    plane = camera.upright(x, z)
    trunk, crown = stream.between(110, 330), height * stream.between(32, 55) // 100
    lean = stream.between(-200, 200)
    canvas.fill(plane.bar(0, 0, lean, crown + 500, trunk), stream.pick(TIMBER), BARK, z)
    colour = foliage(stream)
    spread, high = height * stream.between(20, 36) // 100, (height - crown) // 2
    for _ in range(stream.between(1, 3)):
        aside, up = stream.between(-spread, spread) // 2, stream.between(-high, high) // 3
        middle = plane.map([(lean + aside, crown + high + up)])[0]
        radii = camera.focal * spread // z, camera.focal * high // z
        lump(canvas, stream, (int(middle[0]), int(middle[1])), radii, shade(colour, stream.between(88, 112)), z)


def bush(canvas: Canvas, camera: Camera, stream: Stream, x: int, z: int) -> None:
    """A bush that stands on the ground."""
    wide, high = stream.between(500, 1500), stream.between(400, 1100)
    middle = camera.upright(x, z).map([(0, high * 8 // 10)])[0]
    radii = camera.focal * wide // z, camera.focal * high // z
    lump(canvas, stream, (int(middle[0]), int(middle[1])), radii, foliage(stream), z)


def greenery(canvas: Canvas, stream: Stream, quad: Points, depth: int) -> None:
    """A hedge or wood that fills a `Camera.quad`, with a ragged upper edge."""
    corners = quad.astype(np.int64)
    count = max(6, min(40, abs(int(corners[1, 0] - corners[0, 0])) // 80))
    steps = np.arange(count + 1)[:, None]
    lower = corners[0] + (corners[1] - corners[0]) * steps // count
    rise = corners[3] - corners[0] + (corners[2] - corners[1] - corners[3] + corners[0]) * steps // count
    top = lower + rise * stream.array(72, 106, count + 1, 1) // 100
    colour = foliage(stream)
    canvas.fill(np.concatenate([lower, top[::-1]]).astype(np.int32), colour, LEAVES, depth)
    for tone, low, high in ((62, 5, 45), (84, 20, 80), (125, 50, 90)):
        middles = lower + rise * stream.array(low, high, count + 1, 1) // 100
        clumps = SMALL_CIRCLE * stream.array(5, 16, count + 1, 8, 1) * -rise[:, None, 1:] // (100 * ROUND)
        canvas.fill((middles[:, None] + clumps).astype(np.int32), shade(colour, tone), LEAVES, depth)
