"""Boundary IoU: the IoU of what lies near the boundary of each class, in the label and in the prediction.

The definition is that of B. Cheng, R. Girshick, P. Dollár, A. Berg and A. Kirillov ("Boundary IoU: Improving
Object-Centric Image Segmentation Evaluation", CVPR 2021) and of their code. A pixel of a mask is on its boundary where
a pixel outside of the mask or of the image is at most `width` pixels away. A diagonal step counts as one pixel. Counts
are summed over images, as those of mIoU are.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segbench.arrays import ClassMap, LabelMap
from segbench.scoring.confusion import Matrix, classes_of_outputs, pair_counts

NO_CLASS = 255  # no class has this id

Flags = npt.NDArray[np.uint64]  # a flag in each bit of each word, from the lowest bit on


def width_in_pixels(share: float, height: int, width: int) -> int:
    """Return the width of boundaries in an image, a share of its diagonal; at least one pixel."""
    return max(1, round(share * math.hypot(height, width)))


class _Scratch(threading.local):
    """Memory that each thread keeps between calls. Page faults of fresh memory take twice as long as the rest."""

    def __init__(self) -> None:
        self._maps = np.empty((4, 0, 0), np.uint8)

    def maps(self, height: int, width: int) -> npt.NDArray[np.uint8]:
        """Return four H×W maps, not initialised."""
        if self._maps.shape[1:] != (height, width):
            self._maps = np.empty((4, height, width), np.uint8)
        return self._maps


_scratch = _Scratch()


def keep_boundaries(class_map: ClassMap, width: int, out: ClassMap) -> None:
    """Write to `out` an H×W map that has its class where a pixel is on the boundary of its class, else NO_CLASS.

    All classes are done at once. A pixel is not on the boundary where the window of 2·`width` + 1 pixels around it lies
    in the image and has one class: no pixel of it differs from the next one in its row or its column. Whether pixels
    differ takes one bit each, so that 64 of them are compared at once. A street scene of 1024×2048 takes 1 ms; eroding
    the mask of each class, as the definition reads, takes 107 ms.
    """
    height, columns = class_map.shape
    if min(height, columns) <= 2 * width:
        np.copyto(out, class_map)
        return
    pixels, spare = class_map.ravel(), out.view(np.bool_).ravel()
    differ = _packed(np.not_equal(pixels[:-1], pixels[1:], out=spare[:-1]))
    below = _packed(np.not_equal(pixels[:-columns], pixels[columns:], out=spare[:-columns]))
    np.copyto(out, class_map)
    _spread(differ, 2, columns)  # a window has one row more than pairs of rows
    differ[: len(below)] |= below
    for step in (columns, 1):
        _spread(differ, 2 * width, step)
    # A bit is now set where a window that begins there has two classes.
    begins = np.unpackbits(differ.view(np.uint8), count=class_map.size, bitorder="little").reshape(class_map.shape)
    begins -= 1  # NO_CLASS where it has one class
    inner = out[width:-width, width:-width]
    np.bitwise_or(inner, begins[: height - 2 * width, : columns - 2 * width], out=inner)


def _packed(flags: npt.NDArray[np.bool_]) -> Flags:
    words = np.zeros(-(-flags.size // 64), np.uint64)
    packed = np.packbits(flags, bitorder="little")
    words.view(np.uint8)[: len(packed)] = packed
    return words


def _spread(flags: Flags, count: int, step: int) -> None:
    """Set each flag where one of `count` flags is set: itself, and those that are a multiple of `step` after it."""
    reached = 1
    while reached < count:
        more = min(reached, count - reached)
        words, bits = divmod(more * step, 64)
        later = flags[words:] >> np.uint64(bits)
        if bits:
            later[:-1] |= flags[words + 1 :] << np.uint64(64 - bits)
        flags[: len(later)] |= later
        reached += more


def boundary_counts(
    label: LabelMap,
    prediction: ClassMap,
    *,
    share: float,
    class_count: int,
    ignore: int,
    class_map: Any = None,
    ignored_pixels: str = "excluded",
) -> Matrix:
    """Count what the boundary IoU of each class is made of, int64 3×K as `iou_counts` does. See `fold` for the maps.

    The label has nothing but classes and ignored pixels. Ignored pixels are taken out of both maps before boundaries
    are looked for ("excluded"), or out of the label alone ("errors").
    """
    to_class = np.arange(256, dtype=np.uint8)
    to_class[ignore] = NO_CLASS
    of_outputs = classes_of_outputs(class_count, class_map)
    of_outputs[of_outputs == class_count] = NO_CLASS
    width = width_in_pixels(share, *label.shape)
    *spare, near_label, near_prediction = _scratch.maps(*label.shape)
    labelled = _looked_up(label, to_class, spare[0])
    predicted = _looked_up(prediction, of_outputs.astype(np.uint8), spare[1])
    if ignored_pixels == "excluded" and labelled.max() == NO_CLASS:
        cv2.threshold(labelled, NO_CLASS - 1, NO_CLASS, cv2.THRESH_BINARY, dst=near_label)
        predicted = np.asarray(cv2.bitwise_or(predicted, near_label, dst=spare[1]), np.uint8)
    keep_boundaries(labelled, width, near_label)
    keep_boundaries(predicted, width, near_prediction)
    counts, classes = pair_counts(near_label, near_prediction), slice(class_count)
    return np.stack([np.diag(counts)[classes], counts[classes].sum(1), counts[:, classes].sum(0)])


def _looked_up(values: ClassMap, table: npt.NDArray[np.uint8], out: ClassMap) -> ClassMap:
    """Return the table's entry of each value: `values` itself where no entry differs, else `out`."""
    used = int(values.max()) + 1
    return values if (table[:used] == np.arange(used)).all() else np.asarray(cv2.LUT(values, table, dst=out), np.uint8)
