"""Confusion matrix and the scores from it. The definitions are those of cityscapesscripts' pixel-level evaluation."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segbench.arrays import ClassMap

# Pixels at a time. They stay in a core's cache, and keep cv2.calcHist's float32 exact (up to 2^24 in a bin).
BLOCK = 1 << 19
PIXELS_PER_RUN = 20  # above this, counting runs is faster than counting pixels (measured: 14 to 20)

Matrix = npt.NDArray[np.int64]


def pair_counts(label: ClassMap, prediction: ClassMap) -> Matrix:
    """Count how often each pair of values meets in two H×W maps: int64 256×256, rows labels, columns predictions.

    Raises ValueError when the sizes differ. A street scene of 1024×2048 takes 0.7 to 1.1 ms on one core.
    """
    if label.shape != prediction.shape:
        raise ValueError(f"label {label.shape} and prediction {prediction.shape} differ in size")
    counts = np.zeros(256 * 256, np.int64)
    rows, columns = label.ravel(), prediction.ravel()
    for start in range(0, rows.size, BLOCK):
        _count(rows[start : start + BLOCK], columns[start : start + BLOCK], counts)
    return counts.reshape(256, 256)


class _Scratch(threading.local):
    """Memory that each thread keeps between calls. Page faults of fresh memory take longer than counting (3.6
    against 1.1 ms).
    """

    def __init__(self) -> None:
        self._flags = np.zeros((2, BLOCK), np.bool_)

    def flags(self, size: int) -> npt.NDArray[np.bool_]:
        """Return two rows of `size` flags, not initialised. `size` is at most BLOCK."""
        return self._flags[:, :size]


_scratch = _Scratch()


def _count(rows: ClassMap, columns: ClassMap, counts: Matrix) -> None:
    """Add to `counts`. Class maps consist of runs of equal pixels. Where runs are long, their lengths are added."""
    size = rows.size
    change, other = _scratch.flags(size)
    np.not_equal(rows[1:], rows[:-1], out=change[:-1])
    np.not_equal(columns[1:], columns[:-1], out=other[:-1])
    change |= other
    change[-1] = False
    if np.count_nonzero(change) * PIXELS_PER_RUN > size:
        _count_pixels(rows, columns, counts)
        return
    change[-1] = True
    last = _places(change)
    pairs = rows[last].astype(np.intp) << 8 | columns[last]
    np.add.at(counts, pairs, np.diff(last, prepend=-1))


def _places(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Return where flags are set. Few are, so that most words of eight flags are passed over."""
    whole = flags.size // 8 * 8
    words = flags[:whole].view(np.uint64)
    some = np.flatnonzero(words != 0)
    places = np.flatnonzero(words[some].view(np.bool_))
    return np.append((some << 3)[places >> 3] + (places & 7), np.flatnonzero(flags[whole:]) + whole)


def _count_pixels(rows: ClassMap, columns: ClassMap, counts: Matrix) -> None:
    """Count pixel by pixel, for maps without runs. Pixels of the upper and the lower half are counted in turn, since
    a bin that is counted up twice in a row waits for itself (4.5 against 3 ms).
    """
    half = rows.size // 2
    planes = [cv2.merge((part[:half], part[half : 2 * half])).reshape(1, -1) for part in (rows, columns)]
    counts += cv2.calcHist(planes, [0, 1], None, [256, 256], [0, 256, 0, 256]).ravel().astype(np.int64)
    if rows.size % 2:
        counts[int(rows[-1]) << 8 | int(columns[-1])] += 1


def changed_counts(before: ClassMap, after: ClassMap, known: Matrix) -> Matrix:
    """Return `pair_counts` of two H×W maps that are much alike. `known` are those of another map and `after`.

    They tell how often `after` has each value, so that only pixels that differ have to be looked at.
    """
    if before.shape != after.shape:
        raise ValueError(f"maps of {before.shape} and {after.shape} differ in size")
    apart = _places(before.ravel() != after.ravel())
    if len(apart) * PIXELS_PER_RUN > after.size:
        return pair_counts(before, after)
    values = after.ravel()[apart].astype(np.intp)
    changed = np.bincount(before.ravel()[apart].astype(np.intp) << 8 | values, minlength=256 * 256)
    equal: Matrix = np.diag(known.sum(0) - np.bincount(values, minlength=256))
    return equal + changed.reshape(256, 256)


def fold(counts: Matrix, class_count: int, ignore: int, class_map: Any = None) -> Matrix:
    """Turn `pair_counts` of labels (trainIds) and a model's raw output into the confusion matrix, int64 (K+1)×(K+1).

    `class_map` gives the trainId of each output index (None: they are trainIds). The last row counts pixels labelled
    `ignore`. The last column counts predictions that are none of the K classes. Raises ValueError for a label that is
    neither a class nor `ignore`.
    """
    outside = class_count + 1  # a row for labels that must not occur
    to_row = np.full(256, outside)
    to_row[:class_count] = range(class_count)
    to_row[ignore] = class_count
    to_column = classes_of_outputs(class_count, class_map)
    matrix = np.zeros((class_count + 2, class_count + 1), np.int64)
    raw, output = _pairs(counts)
    np.add.at(matrix, (to_row[raw], to_column[output]), counts[raw, output])
    if matrix[outside].any():
        wrong = sorted({int(number) for number in raw if to_row[number] == outside})
        raise ValueError(f"label ids {wrong} are neither classes (0 to {class_count - 1}) nor ignored ({ignore})")
    return matrix[:outside]


def agreement_matrix(counts: Matrix, class_count: int, class_map: Any = None) -> Matrix:
    """Turn `pair_counts` of a reference's and a variant's raw output into int64 (K+1)×(K+1), rows the reference's.

    Both are outputs of one model, with its `class_map`. The last row and the last column count outputs that are none of
    the K classes.
    """
    to_class = classes_of_outputs(class_count, class_map)
    matrix = np.zeros((class_count + 1, class_count + 1), np.int64)
    raw, output = _pairs(counts)
    np.add.at(matrix, (to_class[raw], to_class[output]), counts[raw, output])
    return matrix


def _pairs(counts: Matrix) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the pairs of values that occur, as `np.nonzero` does, which takes ten times as long."""
    return np.divmod(np.flatnonzero(counts != 0), counts.shape[1])


def classes_of_outputs(class_count: int, class_map: Any) -> npt.NDArray[np.int64]:
    """Return the trainId of each of 256 output indices, and `class_count` where it is none of the classes."""
    outputs: Sequence[int] = range(class_count) if class_map is None else class_map
    found = np.full(256, class_count)
    found[: len(outputs)] = [train_id if train_id < class_count else class_count for train_id in outputs]
    return found


def confusion_matrix(label: ClassMap, prediction: ClassMap, class_count: int, ignore: int = 255) -> Matrix:
    """Count the pixels of two H×W maps of trainIds, int64 (K+1)×(K+1): `fold` of their `pair_counts`."""
    return fold(pair_counts(label, prediction), class_count, ignore)


@dataclass(frozen=True)
class Scores:
    """The scores of a confusion matrix, as fractions. IoU is None for a class that neither label nor prediction has.

    Three means of IoU differ where a class is not labelled: `miou` is over the classes that labels or predictions have,
    `miou_labelled` over those that labels have, and `miou_all_classes` over all, where a class that neither has counts
    as 0. `unlabelled_share` is the share of labelled pixels that are predicted as a class that no label has.
    `mean_dice` is over the classes of `miou`. `frequency_weighted_iou` weighs classes by their labelled pixels.
    """

    iou: list[float | None]
    miou: float | None
    miou_labelled: float | None
    miou_all_classes: float | None
    unlabelled_share: float | None
    mean_dice: float | None
    frequency_weighted_iou: float | None
    pixel_accuracy: float | None
    mean_class_accuracy: float | None


def iou_counts(matrix: Matrix, ignored_pixels: str = "excluded") -> Matrix:
    """Return what the IoU of each class is made of, int64 3×K: pixels that are rightly of it, labelled, predicted.

    Pixels labelled as ignored count nowhere ("excluded"), or as predicted ("errors").
    """
    classes = matrix.shape[0] - 1
    predicted = matrix[: classes + (ignored_pixels == "errors"), :classes].sum(0)
    return np.stack([np.diag(matrix)[:classes], matrix[:classes].sum(1), predicted])


def scores(matrix: Matrix, ignored_pixels: str = "excluded") -> Scores:
    """Return the scores of a (K+1)×(K+1) matrix of `confusion_matrix`.

    IoU = TP / (TP + FP + FN), Dice = 2 TP / (2 TP + FP + FN). `miou_all_classes` is the mean of PaddleSeg's
    `metrics.mean_iou`. A prediction that is no class misses its label's class. Pixels labelled as ignored count nowhere
    ("excluded"), or are false positives of the class predicted there ("errors").
    """
    classes = matrix.shape[0] - 1
    hits, labelled, predicted = iou_counts(matrix, ignored_pixels)
    union = labelled + predicted - hits
    iou = _shares(hits, union)
    present = [value for value in iou if value is not None]
    dice = [value for value in _shares(2 * hits, labelled + predicted) if value is not None]
    accuracies = [value for value in _shares(hits, labelled) if value is not None]
    of_labelled = [value for value, count in zip(iou, labelled, strict=True) if count]
    weighted = [value * int(count) for value, count in zip(iou, labelled, strict=True) if value is not None]
    pixels = int(labelled.sum())
    counted = pixels + (int(matrix[classes].sum()) if ignored_pixels == "errors" else 0)
    return Scores(
        iou=iou,
        miou=float(np.mean(present)) if present else None,
        miou_labelled=float(np.mean(of_labelled)) if of_labelled else None,
        miou_all_classes=sum(present) / classes if present else None,
        mean_dice=float(np.mean(dice)) if dice else None,
        frequency_weighted_iou=sum(weighted) / pixels if pixels else None,
        unlabelled_share=int(matrix[:classes, :classes][:, labelled == 0].sum()) / pixels if pixels else None,
        pixel_accuracy=int(hits.sum()) / counted if counted else None,
        mean_class_accuracy=float(np.mean(accuracies)) if accuracies else None,
    )


def guessing(matrix: Matrix) -> float | None:
    """Return the mIoU of predicting the most frequent class everywhere. None where at most one class is labelled."""
    labelled = matrix[:-1].sum(1)
    present = np.count_nonzero(labelled)
    return float(labelled.max() / labelled.sum() / present) if present > 1 else None


def _shares(part: Matrix, whole: Matrix) -> list[Any]:
    return [int(p) / int(w) if w else None for p, w in zip(part, whole, strict=True)]
