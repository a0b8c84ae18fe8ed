"""The contents of score.json, computed from whole-number sums, so that images and shards add up exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from segbench.scoring.confusion import Matrix, guessing, scores

WORST = 5  # images with the lowest agreement that are named
NO_COMMON_IMAGE = "no image in common"  # why an agreement is not known


@dataclass(frozen=True)
class Judgement:
    """How sums are judged: what ignored pixels count as ("excluded" or "errors"), the share of agreeing pixels below
    which to warn, and the reference's name.
    """

    ignored_pixels: str
    agreement_bound: float
    reference_name: str


@dataclass
class Sums:
    """Sums over some images. They are the confusion matrix ((K+1)×(K+1), as `fold` makes it; None without labels),
    the comparison with the reference, and the [image id, agreement] of the worst images, lowest first.
    """

    matrix: Matrix | None
    images: int
    compared_images: int
    agreeing_pixels: int
    compared_pixels: int
    worst: list[list[Any]]


class Figures(TypedDict):
    """The figures of a score.json. None: not known."""

    miou: float | None
    iou_per_class: dict[str, float | None] | None
    pixel_accuracy: float | None
    mean_class_accuracy: float | None
    confusion_matrix: list[list[int]] | None  # (K+1)×(K+1), as `fold` makes it
    pixel_agreement: float | None  # share of compared pixels that have the reference's class
    agreeing_pixels: int
    compared_pixels: int
    agreement_image_count: int
    worst_images: list[list[Any]]  # [image id, agreement], lowest first
    image_count: int
    warnings: list[str]


class Score(Figures):
    """A score.json: how the scored run ended, its figures, and why some of them are not known ("" where all are)."""

    status: str  # the run's, with its reason
    reason: str
    reference: str  # its name
    miou_reason: str
    agreement_reason: str


def figures(sums: Sums, classes: list[str], judgement: Judgement) -> Figures:
    """Compute the figures of score.json."""
    found = None if sums.matrix is None else scores(sums.matrix, judgement.ignored_pixels)
    agreement = sums.agreeing_pixels / sums.compared_pixels if sums.compared_pixels else None
    warnings = []
    if agreement is not None and agreement < judgement.agreement_bound:
        below, bound = _below(agreement, judgement.agreement_bound), f"bound {judgement.agreement_bound:g}"
        warnings.append(f"agrees with {judgement.reference_name} on only {below} of pixels ({bound})")
    bottom = None if sums.matrix is None else guessing(sums.matrix)
    if found and found.miou is not None and bottom is not None and found.miou <= bottom:
        warnings.append(f"mIoU is no better than one class everywhere ({bottom:.4f}): {SUSPECTS}")
    return {
        "miou": found.miou if found else None,
        "iou_per_class": dict(zip(classes, found.iou, strict=True)) if found else None,
        "pixel_accuracy": found.pixel_accuracy if found else None,
        "mean_class_accuracy": found.mean_class_accuracy if found else None,
        "confusion_matrix": None if sums.matrix is None else sums.matrix.tolist(),
        "pixel_agreement": agreement,
        "agreeing_pixels": sums.agreeing_pixels,
        "compared_pixels": sums.compared_pixels,
        "agreement_image_count": sums.compared_images,
        "worst_images": sums.worst,
        "image_count": sums.images,
        "warnings": warnings,
    }


def added(records: list[Score]) -> Sums:
    """Return the sums over the images of several score.json."""
    matrices = [matrix for record in records if (matrix := record["confusion_matrix"]) is not None]
    named = [pair for record in records for pair in record["worst_images"]]
    worst = sorted(named, key=lambda pair: (-pair[1], pair[0]), reverse=True)

    return Sums(
        matrix=None if len(matrices) < len(records) else np.sum(matrices, axis=0, dtype=np.int64),
        images=sum(record["image_count"] for record in records),
        compared_images=sum(record["agreement_image_count"] for record in records),
        agreeing_pixels=sum(record["agreeing_pixels"] for record in records),
        compared_pixels=sum(record["compared_pixels"] for record in records),
        worst=worst[:WORST],
    )


def _below(agreement: float, bound: float) -> str:
    """Write an agreement with four or more decimals, as many as it takes not to read like the bound."""
    return next((text for n in range(4, 17) if float(text := f"{agreement:.{n}f}") < bound), repr(agreement))


SUSPECTS = "check the model's preprocessing (channel_order, scale, mean, std), its class_map and the order of classes"
NO_FIGURES = figures(Sums(None, 0, 0, 0, 0, []), [], Judgement("excluded", 0, ""))  # of a row that did not run
