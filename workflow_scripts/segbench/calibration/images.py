"""Read the training images that calibration sees. Images of val are never used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segbench.arrays import ColourImage, Float32Image
from segbench.errors import InputError
from segbench.images.index import IndexEntry, index_rows
from segbench.images.normalize import Normalizer
from segbench.images.placement import Placement
from segbench.images.read import read_image
from segbench.process.supervise import progress

Entries = list[IndexEntry]


class CalibrationImages:
    """Network inputs, float32 1×3×H×W, read one by one. Each pass reads them again, so that memory stays flat.

    An image over which a window slides gives one for each place of the window.
    """

    def __init__(self, rows: Entries, model: dict[str, Any], doing: str = "calibrating") -> None:
        self.rows, self._doing = rows, doing
        self._normalize = Normalizer(model["preprocessing"], model["input"]["height"], model["input"]["width"])
        self._places = [(row, place) for row in range(len(rows)) for place in range(self._normalize.count(rows[row]))]
        self._read: tuple[int, Float32Image] | None = None  # the image that was read last

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> Float32Image:
        """Return the network's input of that number, as an array of its own."""
        if number >= len(self):
            raise IndexError(number)
        progress(self._doing, number + 1, len(self))
        row, place = self._places[number]
        if self._read is None or self._read[0] != row or place == 0:
            self._read = row, self._normalize(*self._decoded(row))
        return self._read[1][place : place + 1].copy()

    def __iter__(self) -> Iterator[Float32Image]:
        return (self[number] for number in range(len(self)))

    def name(self, number: int) -> str:
        """Return the image id of the input of that number."""
        return self.rows[self._places[number][0]]["image_id"]

    def inputs_of(self, row: int) -> tuple[Float32Image, Placement]:
        """Return all inputs (N×3×H×W) of the image of that row, as an array of their own, and where they lie in it."""
        progress(self._doing, row + 1, len(self.rows))
        self._read = None
        image, name = self._decoded(row)
        return self._normalize(image, name).copy(), self._normalize.place((image.shape[0], image.shape[1]), name)

    def _decoded(self, number: int) -> tuple[ColourImage, str]:
        row = self.rows[number]
        return read_image(row["image"], row.get("image_sha256")), row["image"]


def split_rows(index: Path, count: int) -> tuple[Entries, Entries]:
    """Return the rows to calibrate with, the first `count` of the (shuffled) index, and the others, to judge by.

    If there are no others, the first serve both purposes. Raises InputError for an empty index.
    """
    rows = list(index_rows(index))
    if not rows:
        raise InputError(f"{index}: names no image: calibration needs images of the training split")
    return rows[:count], rows[count:] or rows
