"""The contents of score.json, computed from whole-number sums, so that images and shards add up exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from segbench.scoring.confusion import Matrix, guessing, scores

WORST = 5  # images with the lowest agreement that are named
NO_COMMON_IMAGE = "no image in common"  # why an agreement is not known


@dataclass(frozen=True)
class Judgement:
    """How sums are read: pixels labelled as ignored ("excluded" or "errors"), the share of agreeing pixels below which
    to warn, and the reference's name."""

    ignored_pixels: str
    agreement_bound: float
    reference_name: str


@dataclass
class Sums:
    """Of some images: the confusion matrix ((K+1)×(K+1), as `fold` makes it; None without labels), what was compared
    with the reference, and the [image id, agreement] of the worst, lowest first."""

    matrix: Matrix | None
    images: int
    compared_images: int
    agreeing_pixels: int
    compared_pixels: int
    worst: list[list[Any]]


def figures(sums: Sums, classes: list[str], judgement: Judgement) -> dict[str, Any]:
    """The figures of score.json."""
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
        "miou": found and found.miou,
        "iou_per_class": found and dict(zip(classes, found.iou, strict=True)),
        "pixel_accuracy": found and found.pixel_accuracy,
        "mean_class_accuracy": found and found.mean_class_accuracy,
        "confusion_matrix": None if sums.matrix is None else sums.matrix.tolist(),
        "pixel_agreement": agreement,
        "agreeing_pixels": sums.agreeing_pixels,
        "compared_pixels": sums.compared_pixels,
        "agreement_image_count": sums.compared_images,
        "worst_images": sums.worst,
        "image_count": sums.images,
        "warnings": warnings,
    }


def added(records: list[dict[str, Any]]) -> Sums:
    """The sums of all images of several score.json."""
    matrices = [record["confusion_matrix"] for record in records]
    named = [pair for record in records for pair in record["worst_images"]]
    worst = sorted(named, key=lambda pair: (-pair[1], pair[0]), reverse=True)

    def total(name: str) -> int:
        return sum(record[name] for record in records)

    return Sums(
        matrix=None if None in matrices else np.sum(matrices, axis=0, dtype=np.int64),
        images=total("image_count"),
        compared_images=total("agreement_image_count"),
        agreeing_pixels=total("agreeing_pixels"),
        compared_pixels=total("compared_pixels"),
        worst=worst[:WORST],
    )


def _below(agreement: float, bound: float) -> str:
    """With as many decimals, from four, as it takes not to read like the bound."""
    return next((text for n in range(4, 17) if float(text := f"{agreement:.{n}f}") < bound), repr(agreement))


SUSPECTS = "check the model's preprocessing (channel_order, scale, mean, std), its class_map and the order of classes"
NOTHING = figures(Sums(None, 0, 0, 0, 0, []), [], Judgement("excluded", 0, ""))  # of a row that did not run
