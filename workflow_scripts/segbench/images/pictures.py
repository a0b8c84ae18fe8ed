"""Draw class maps and their differences: trainIds, colours, red where something is wrong."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segbench.images.index import IndexEntry, read_index

Picture = npt.NDArray[np.uint8]
RED = (40, 40, 220)  # BGR


def train_ids(raw: npt.NDArray[np.uint8], model: dict[str, Any], dataset: dict[str, Any]) -> npt.NDArray[np.uint8]:
    """Turn a model's raw class map into trainIds of the data set, H×W uint8. What is none is ignored."""
    table = np.arange(256, dtype=np.uint8)
    table[len(dataset["classes"]) :] = dataset["ignore_index"]
    if model["class_map"] is not None:
        table[: len(model["class_map"])] = model["class_map"]
    return np.asarray(cv2.LUT(raw, table), np.uint8)


def fade(image: Picture) -> Picture:
    """Return the BGR image faded, so that marks in it stand out."""
    return np.asarray(image // 3 + 150, np.uint8)


def marked(faded: Picture, where: npt.NDArray[np.bool_]) -> Picture:
    """Return a copy of the BGR image `faded`, red where H×W `where` is true."""
    found = faded.copy()
    found[where] = RED
    return found


def choose(index: Path, count: int, seed: int) -> list[IndexEntry]:
    """Choose `count` rows of an index.csv by seed, in its order."""
    rows = read_index(index)
    return [rows[i] for i in sorted(random.Random(seed).sample(range(len(rows)), min(count, len(rows))))]
