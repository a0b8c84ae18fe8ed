"""Light and lens: textures, shadows on the ground, exposure, blur, noise. Whole pictures at a time."""

from __future__ import annotations

import functools

import cv2
import numpy as np
import numpy.typing as npt

from demo.camera import Camera
from demo.canvas import ONE, Canvas, Class, Points
from demo.stream import Stream

TILE = 512
IS_GROUND = np.isin(np.arange(256) & 31, (Class.ROAD, Class.SIDEWALK, Class.TERRAIN)).astype(np.uint8)  # by surface
TEXEL = 12  # millimetres of ground
# How strongly each texture shows, in sixteenths, from … to; one draw per image.
STRENGTHS = ((0, 2), (4, 8), (2, 5), (10, 16), (6, 11), (2, 5), (5, 9), (1, 3))


def _stretched(noise: npt.NDArray[np.uint8], contrast: int) -> npt.NDArray[np.int16]:
    """Smooth noise of a tile's size from a coarse grid; its opposite edges fit together."""
    step = TILE // len(noise)
    wrapped = np.pad(noise, 1, mode="wrap")
    size = tuple(step * count for count in reversed(wrapped.shape))
    large = cv2.resize(wrapped, size, interpolation=cv2.INTER_LINEAR_EXACT)[step:-step, step:-step]
    return (large.astype(np.int16) - 128) * contrast // 4


@functools.cache
def tiles() -> npt.NDArray[np.int8]:
    """One tile for each `canvas.Texture`, int8 8×TILE×TILE: the same for all images, which begin at random places."""
    stream = Stream(0x5E6B)
    fine = (stream.noise(TILE, TILE) >> 2).astype(np.int16) - 32
    two, four, eight, broad = (
        _stretched(stream.noise(TILE // step, TILE // step), contrast)
        for step, contrast in ((2, 3), (4, 3), (8, 3), (32, 3))
    )
    leaves = np.where(two + four > 25, 45, np.where(two + four < -35, -55, 0)) + fine
    streaks = np.repeat(_stretched(stream.noise(TILE // 2, TILE // 2), 2)[::16], 16, 0) + fine // 2
    kinds = (fine // 2, 2 * fine, four + fine // 2, leaves, streaks + 3 * fine // 2, eight, streaks, broad + eight // 2)
    return np.stack([np.clip(kind, -120, 120) for kind in kinds]).astype(np.int8)


def cast_shadows(canvas: Canvas, stream: Stream, polygons: list[Points]) -> None:
    """Darken the ground within the polygons, with soft edges."""
    height, width = canvas.pixels.shape[:2]
    if not polygons:
        return
    mask = np.zeros((height // 2 + 1, width // 2 + 1), np.uint8)
    for polygon in polygons:
        cv2.fillPoly(mask, [polygon // 2], (stream.between(60, 115),), cv2.LINE_8, 4)
    soft = cv2.resize(_blurred(mask, 4), (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    top = max(0, min(int(polygon[:, 1].min()) for polygon in polygons) >> 4)
    ground = canvas.pixels[top:]
    keep = 256 - soft[top:].astype(np.uint16) * IS_GROUND[ground[:, :, 3]]
    ground[:, :, :3] = ground[:, :, :3] * keep[:, :, None] >> 8


def _blurred(picture: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """Each pixel with its four neighbours' lines: `side`, 16 − 2·`side`, `side` sixteenths in either direction."""
    now = picture.astype(np.uint16)
    for axis in (0, 1):
        last = now.shape[axis] - 1
        one, rest = (slice(None),) * axis + (slice(0, 1),), (slice(None),) * axis + (slice(1, None),)
        end, most = (slice(None),) * axis + (slice(last, None),), (slice(None),) * axis + (slice(0, last),)
        around = np.concatenate([now[one], now[most]], axis) + np.concatenate([now[rest], now[end]], axis)
        now = (now * (16 - 2 * side) + around * side + 8) >> 4
    return now.astype(np.uint8)


def develop(canvas: Canvas, camera: Camera, stream: Stream) -> npt.NDArray[np.uint8]:
    """The finished picture, uint8 H×W×3."""
    picture = canvas.pixels[:, :, :3].astype(np.int16) + _texture(canvas, camera, stream)[:, :, None]
    lit = (
        (np.clip(picture, 0, 255).astype(np.uint16) * _light(canvas, stream)[:, :, None] >> 7)
        .clip(0, 255)
        .astype(np.uint8)
    )
    exposed = cv2.LUT(_blurred(lit, stream.between(0, 3)), _exposure(stream))
    noise = stream.noise(2, *exposed.shape).astype(np.int16).sum(0, dtype=np.int16) - 255
    strength = stream.between(2, 6)
    return np.clip(exposed + (noise * strength >> 7), 0, 255).astype(np.uint8)


def _texture(canvas: Canvas, camera: Camera, stream: Stream) -> npt.NDArray[np.int16]:
    """What to add to every pixel. On the ground the tiles lie in perspective, and fade with distance."""
    height, width = canvas.pixels.shape[:2]
    rows = (np.arange(height, dtype=np.int32) + stream.between(0, TILE - 1)) % TILE * TILE
    columns = (np.arange(width, dtype=np.int32) + stream.between(0, TILE - 1)) % TILE
    kind = canvas.pixels[:, :, 3] >> 5
    place = kind.astype(np.int32) * (TILE * TILE) + (rows[:, None] + columns)
    strength = np.array([stream.between(*ends) for ends in STRENGTHS], np.int16)
    strengths = strength[kind]
    top = min(height - 1, camera.horizon // ONE + 1)
    flat = IS_GROUND[canvas.pixels[top:, :, 3]] > 0
    depth = np.minimum(camera.focal * camera.eye // ((np.arange(top, height) - top + 1) * ONE), 60_000)
    step = (depth * (ONE << 8) // (camera.focal * TEXEL))[:, None].astype(np.int32)
    across = ((np.arange(width, dtype=np.int32) - camera.centre // ONE) * step >> 8) % TILE
    lying = (kind[top:].astype(np.int32) * TILE + (depth // TEXEL % TILE)[:, None].astype(np.int32)) * TILE + across
    place[top:] = np.where(flat, lying, place[top:])
    fade = np.clip(16 * 14_000 // depth, 2, 16).astype(np.int16)[:, None]
    strengths[top:] = np.where(flat, strengths[top:] * fade >> 4, strengths[top:])
    return tiles().ravel()[place] * strengths >> 4


def _light(canvas: Canvas, stream: Stream) -> npt.NDArray[np.uint8]:
    """Brightness over the picture, 128 for as it is: darker in the corners, uneven where the sun comes and goes."""
    height, width = canvas.pixels.shape[:2]
    across, down = np.arange(-8, 9) ** 2, np.arange(-4, 5) ** 2 * 4
    grid = 134 - (across + down[:, None]) * stream.between(0, 40) // 128 + stream.array(-8, 8, 9, 17)
    return np.asarray(
        cv2.resize(grid.astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR_EXACT), np.uint8
    )


def _exposure(stream: Stream) -> npt.NDArray[np.uint8]:
    """Brightness, contrast and colour cast, as a table 1×256×3."""
    gain, offset = stream.between(90, 114), stream.between(-4, 8)
    levels = np.arange(256)[:, None] * gain * np.array([stream.between(95, 105) for _ in range(3)]) // 10_000 + offset
    return np.clip(levels, 0, 255).astype(np.uint8)[None]
