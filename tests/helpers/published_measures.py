"""Measures written out by their published formulas, slowly, to compare the project's own with."""

from __future__ import annotations

import math

import numpy as np


def eroded(mask, times):
    """Erode a mask as the code of Boundary IoU does: each time a pixel stays where its 3×3 neighbours are all set."""
    for _ in range(times):
        padded = np.pad(mask, 1)  # what is outside of the image is not set
        height, width = mask.shape
        mask = np.logical_and.reduce([padded[y : y + height, x : x + width] for y in range(3) for x in range(3)])
    return mask


def boundary_parts(label, prediction, classes, share):
    """Return the intersection and the union of each class's boundary regions: G_d ∩ G and P_d ∩ P of Cheng et al."""
    width = max(1, round(share * math.hypot(*label.shape)))
    found = []
    for number in range(classes):
        regions = [(one == number) & ~eroded(one == number, width) for one in (label, prediction)]
        found.append((int((regions[0] & regions[1]).sum()), int((regions[0] | regions[1]).sum())))
    return found


def mean_boundary_iou(pairs, classes, share, ignore=255):
    """Return the mean over classes of summed intersections over summed unions; ignored pixels are in neither map."""
    parts = [
        boundary_parts(label, np.where(label == ignore, ignore, prediction), classes, share)
        for label, prediction in pairs
    ]
    sums = np.sum(parts, axis=0)
    return float(np.mean([both / either for both, either in sums if either]))
