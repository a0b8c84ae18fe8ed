"""The training images that calibration sees, and those that judge its result. Images of val are never used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from segbench.arrays import ClassMap, Float32Image
from segbench.errors import InputError
from segbench.images.index import IndexEntry, index_rows
from segbench.images.normalize import Normalizer, resize_class_map
from segbench.images.read import read_image, read_label
from segbench.process.supervise import progress
from segbench.scoring.confusion import fold, pair_counts, scores

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


class HeldOut:
    """Labelled training images that no calibration sees, as long as there are enough."""

    def __init__(self, rows: Entries, model: dict[str, Any], dataset: dict[str, Any]) -> None:
        self.rows = [row for row in rows if row["label"]]
        self.images = CalibrationImages(self.rows, model, "measuring the loss")
        self._model, self._dataset = model, dataset

    def miou(self, predict: Callable[[Float32Image], ClassMap]) -> float | None:
        """Return the mIoU of `predict` (1×3×H×W float32 to H×W uint8 output channels); None where nothing is
        labelled.
        """
        counts = np.zeros((256, 256), np.int64)
        for row, image in zip(self.rows, self.images, strict=True):
            label = read_label(row["label"], None, row.get("label_sha256"))
            counts += pair_counts(label, resize_class_map(predict(image), *label.shape))
        facts = self._dataset
        matrix = fold(counts, len(facts["classes"]), facts["ignore_index"], facts["id_map"], self._model["class_map"])
        return scores(matrix, "excluded").miou


def split_rows(index: Path, count: int) -> tuple[Entries, Entries]:
    """Return the rows to calibrate with, the first `count` of the (shuffled) index, and the others, to judge by.

    If there are no others, the first serve both purposes. Raises InputError for an empty index.
    """
    rows = list(index_rows(index))
    if not rows:
        raise InputError(f"{index}: names no image: calibration needs images of the training split")
    return rows[:count], rows[count:] or rows
