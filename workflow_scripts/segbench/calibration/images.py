"""Read the training images that calibration sees. Images of val are never used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segbench.arrays import Float32Image
from segbench.errors import InputError
from segbench.images.index import IndexEntry, index_rows
from segbench.images.normalize import Normalizer
from segbench.images.read import read_image
from segbench.process.supervise import progress

Entries = list[IndexEntry]


class CalibrationImages:
    """Network inputs, float32 1×3×H×W, read one by one. Each pass reads them again, so that memory stays flat."""

    def __init__(self, rows: Entries, model: dict[str, Any], doing: str = "calibrating") -> None:
        self.rows, self._doing = rows, doing
        self._normalize = Normalizer(model["preprocessing"], model["input"]["height"], model["input"]["width"])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> Float32Image:
        """Return the network's input of image `number`, as an array of its own."""
        if number >= len(self.rows):
            raise IndexError(number)
        progress(self._doing, number + 1, len(self.rows))
        row = self.rows[number]
        return self._normalize(read_image(row["image"], row.get("image_sha256")), row["image"]).copy()

    def __iter__(self) -> Iterator[Float32Image]:
        return (self[number] for number in range(len(self)))


def split_rows(index: Path, count: int) -> tuple[Entries, Entries]:
    """Return the rows to calibrate with, the first `count` of the (shuffled) index, and the others, to judge by.

    If there are no others, the first serve both purposes. Raises InputError for an empty index.
    """
    rows = list(index_rows(index))
    if not rows:
        raise InputError(f"{index}: names no image: calibration needs images of the training split")
    return rows[:count], rows[count:] or rows
