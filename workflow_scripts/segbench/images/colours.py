"""Choose a colour for each class: Cityscapes' own by name (cityscapesscripts/helpers/labels.py), else hues far
apart.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

CITYSCAPES = {
    "road": (128, 64, 128), "sidewalk": (244, 35, 232), "building": (70, 70, 70), "wall": (102, 102, 156),
    "fence": (190, 153, 153), "pole": (153, 153, 153), "traffic light": (250, 170, 30), "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35), "terrain": (152, 251, 152), "sky": (70, 130, 180), "person": (220, 20, 60),
    "rider": (255, 0, 0), "car": (0, 0, 142), "truck": (0, 0, 70), "bus": (0, 60, 100), "train": (0, 80, 100),
    "motorcycle": (0, 0, 230), "bicycle": (119, 11, 32),
}  # fmt: skip
GOLDEN_RATIO = 0.618034


def palette(classes: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Return 256×3 RGB colours, one per trainId. What is no class is black."""
    table = np.zeros((256, 3), np.uint8)
    for number, name in enumerate(classes):
        hue = colorsys.hsv_to_rgb(number * GOLDEN_RATIO % 1, 0.75, 0.9)
        table[number] = CITYSCAPES.get(name, tuple(round(255 * part) for part in hue))
    return table
