"""What lies behind everything: sky with clouds, and a far line of houses and woods."""

from __future__ import annotations

import cv2
import numpy as np

from demo import frontage, plants
from demo.camera import FAR, Camera
from demo.canvas import ONE, Canvas, Class, Texture, surface
from demo.colours import Colour, mix, stone
from demo.stream import Stream


def sky_colours(stream: Stream) -> tuple[Colour, Colour]:
    """Zenith and horizon: blue, overcast, or evening."""
    kind = stream.between(0, 9)
    if kind < 6:
        blue = stream.between(175, 240)
        zenith = blue, blue * stream.between(60, 85) // 100, blue * stream.between(35, 70) // 100
        return zenith, mix(zenith, (235, 232, 228), 150)
    if kind < 9:
        return stone(stream, 165, 235), stone(stream, 190, 240)
    dusk = stream.between(150, 205)
    return (dusk, dusk * 75 // 100, dusk * 65 // 100), (dusk * 70 // 100, dusk, min(250, dusk * 125 // 100))


def draw_sky(canvas: Canvas, camera: Camera, stream: Stream, zenith: Colour, low: Colour) -> None:
    """A gradient down to the horizon, and clouds with soft edges."""
    height, width = canvas.pixels.shape[:2]
    rows = min(height, camera.horizon // ONE + 2)
    share = (np.arange(rows, dtype=np.int32) * 256 // rows)[:, None, None]
    ends = np.array([zenith, low], np.int32)
    sky = np.broadcast_to(ends[0] + ((ends[1] - ends[0]) * share >> 8), (rows, width, 3))
    if stream.chance(65):
        coarse = stream.noise(5, 9)
        fine = cv2.resize(stream.noise(10, 18), (width, rows), interpolation=cv2.INTER_LINEAR_EXACT).astype(np.int32)
        cloud = cv2.resize(coarse, (width, rows), interpolation=cv2.INTER_LINEAR_EXACT).astype(np.int32) * 2 + fine
        cover = np.clip((cloud - stream.between(330, 480)) * 2, 0, 200)[:, :, None]
        sky = sky + ((np.array(stone(stream, 185, 248), np.int32) - sky) * cover >> 8)
    canvas.pixels[:rows, :, :3] = sky
    canvas.pixels[:rows, :, 3] = surface(Class.SKY, stream.pick((Texture.SMOOTH, Texture.CLOUDY)))


def draw_skyline(canvas: Canvas, camera: Camera, stream: Stream) -> None:
    """Houses and woods at the end of the street, far enough to be pale."""
    for _ in range(stream.between(3, 8)):
        x, z = stream.between(-70_000, 60_000), stream.between(FAR, FAR + 30_000)
        wide = stream.between(9000, 24_000)
        if stream.chance(45):
            high = stream.between(4000, 11_000)
            plants.greenery(canvas, stream, camera.quad((x, x + wide), (0, high), (z, z)), z)
        else:
            house = frontage.House.random(stream)
            frontage.draw_wall_of_house(canvas, camera, stream, house, (x, x + wide), (z, z))
