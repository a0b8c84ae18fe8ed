"""Draw class maps and their differences: trainIds, colours, red where something is wrong."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

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
    found: npt.NDArray[np.uint8] = table[raw]
    return found


def marked(image: Picture, where: npt.NDArray[np.bool_]) -> Picture:
    """Return the BGR image faded, and red where H×W `where` is true."""
    faded = (image // 3 + 150).astype(np.uint8)
    faded[where] = RED
    return faded


def choose(index: Path, count: int, seed: int) -> list[IndexEntry]:
    """Choose `count` rows of an index.csv by seed, in its order."""
    rows = read_index(index)
    return [rows[i] for i in sorted(random.Random(seed).sample(range(len(rows)), min(count, len(rows))))]
