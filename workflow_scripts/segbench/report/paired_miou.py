"""Compare the mIoU of any two rows on the same draws of images."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from segbench.files import read_json
from segbench.scoring import bootstrap
from segbench.scoring.image_counts import ImageCounts
from segbench.table.row import Row


class Draws(NamedTuple):
    """What the mean IoU of a row is on each draw of images. Where `labels` are equal, draws are of the same images."""

    values: bootstrap.Values
    images: int
    labels: bytes  # the images' keys, and the labelled pixels of each class in each


class PairedMiou:
    """The mIoU of the rows below `results`, over the labelled classes, drawn once for each row and then compared.

    The labels of two rows are the same, and so are the draws. The mean over classes of a difference is therefore the
    difference of two means.
    """

    def __init__(self, results: Path) -> None:
        self._results = results
        self._drawn: dict[tuple[str, str, str], Draws | None] = {}
        self._changes: dict[tuple[int, int], bootstrap.Interval | None] = {}

    def change(self, judged: Row, other: Row) -> bootstrap.Interval | None:
        """Return the 95% interval of the judged row's mIoU minus the other's. None: too few images, other images, or no
        labels.
        """
        own, others = self._draws(judged), self._draws(other)
        if own is None or others is None or own.labels != others.labels:
            return None
        pair = id(own), id(others)
        if pair not in self._changes:
            self._changes[pair] = bootstrap.interval_of(own.values - others.values, own.images)
        return self._changes[pair]

    def _draws(self, row: Row) -> Draws | None:
        key = row["dataset"], row["model"], row["variant"]
        if key not in self._drawn:
            packed = read_json(self._results / "scores" / "/".join(key[:2]) / f"{key[2]}.json").get("image_counts")
            self._drawn[key] = _drawn(ImageCounts.unpacked(packed)) if packed else None
        return self._drawn[key]


def _drawn(counts: ImageCounts) -> Draws | None:
    keys, images = counts.arrays()
    values = bootstrap.resampled(images, bootstrap.mean_labelled_iou)
    return None if values is None else Draws(values, len(images), keys.tobytes() + images[:, 1].tobytes())
