"""Name the images that a variant costs most: what the mean IoU of an image loses against the reference's class map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segbench.files import read_json
from segbench.images.index import index_rows
from segbench.report.derived import Facts
from segbench.scoring import bootstrap
from segbench.scoring.image_counts import MAX_ROWS, ImageCounts
from segbench.scoring.predictions import key_of
from segbench.table.formats import change, miou
from segbench.table.row import place_of_reference

COUNT = 10
HEADER = ["image", "Δ mIoU of the image", "reference", "this row"]


@dataclass(frozen=True)
class WorstImages:
    """The worst images of a row: the cells of each, how many images lose and gain, and how many there are."""

    row: Facts
    cells: list[tuple[str, list[str]]]
    lose: int
    gain: int
    images: int


def worst_images(results: Path, rows: list[Facts]) -> list[WorstImages]:
    """Return the worst images of each row that is compared with its reference, where score.json has each image.

    The mean is over the classes that the label of the image has.
    """
    names: dict[int, str] = {}
    found = []
    for row, own, reference in compared_counts(results, rows):
        names = names or {key_of(entry["image_id"]): entry["image_id"] for entry in index_rows(index_of(results, row))}
        keys, counts = own.arrays()
        of_own, of_reference = (bootstrap.mean_labelled_iou(part) for part in (counts, reference.arrays()[1]))
        lost = of_own - of_reference  # NaN where nothing is labelled
        order = [n for n in np.lexsort((keys, lost)).tolist() if lost[n] < 0][:COUNT]
        lines = [[names[int(keys[n])], change(lost[n]), miou(of_reference[n]), miou(of_own[n])] for n in order]
        cells = [("", line) for line in lines]
        found.append(WorstImages(row, cells, int((lost < 0).sum()), int((lost > 0).sum()), own.images))
    return found


def index_of(results: Path, row: Facts) -> Path:
    """Return the index of the images that a row was scored on."""
    return results / "data" / row["dataset"] / "val" / "index.csv"


def compared_counts(results: Path, rows: list[Facts]) -> Iterator[tuple[Facts, ImageCounts, ImageCounts]]:
    """Yield each row that is compared with its reference, with the counts of both, where score.json has each image."""
    for row in rows:
        if row["miou_delta"] is None or row["variant"] == row["reference"]:
            continue
        places = (row["model"], row["variant"]), place_of_reference(row["model"], row["reference"])
        own, reference = (_counts(results, row["dataset"], *place) for place in places)
        if own.images <= MAX_ROWS and own.rows and own.rows.keys() == reference.rows.keys():
            yield row, own, reference


def _counts(results: Path, dataset: str, model: str, variant: str) -> ImageCounts:
    packed = read_json(results / "scores" / dataset / model / f"{variant}.json")["image_counts"]
    return ImageCounts.unpacked(packed) if packed else ImageCounts()
