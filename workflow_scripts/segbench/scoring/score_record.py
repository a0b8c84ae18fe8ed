"""The contents of score.json, computed from whole-number sums, so that images and shards add up exactly."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np

from segbench.scoring import bootstrap, objects
from segbench.scoring.confusion import Matrix, guessing, scores
from segbench.scoring.image_counts import ImageCounts, Packed
from segbench.scoring.objects import ByClass, LostObject
from segbench.scoring.unmet import unmet

WORST = 5  # images with the lowest agreement that are named
LOST = 0.5  # IoU with the reference's class below which the class counts as lost
LOST_SHARE = 0.5  # of a class's objects that the reference finds, from which a loss is a warning
NAMED = 12  # classes at most in a warning
NO_COMMON_IMAGE = "no image in common"  # why an agreement is not known


@dataclass(frozen=True)
class Judgement:
    """How sums are judged: what ignored pixels count as ("excluded" or "errors"), the share of agreeing pixels and the
    mean IoU with the reference's classes below which to warn, and the reference's name.
    """

    ignored_pixels: str
    agreement_bound: float
    class_agreement_bound: float
    reference_name: str


@dataclass
class Sums:
    """Sums over some images. They are the confusion matrix ((K+1)×(K+1), as `fold` makes it; None without labels) and
    what it is made of by image, the comparison with the reference (a matrix as `agreement_matrix` makes it; None where
    nothing was compared), and the [image id, agreement] of the worst images, lowest first.

    `boundary_counts` and `objects` are empty where they are not asked for, `instance_counts` without instance ids.
    """

    matrix: Matrix | None
    image_counts: ImageCounts
    images: int
    agreement: Matrix | None
    compared_images: int
    agreeing_pixels: int
    compared_pixels: int
    worst: list[list[Any]]
    boundary_counts: ImageCounts = field(default_factory=ImageCounts)
    objects: ByClass | None = None
    lost_objects: list[LostObject] = field(default_factory=list)
    single_agreeing_pixels: int = 0
    single_pixels: int = 0  # compared with the variant that runs one image after the other
    instance_counts: ImageCounts = field(default_factory=ImageCounts)


class Figures(TypedDict):
    """The figures of a score.json. None: not known."""

    miou: float | None
    classes_counted: int | None  # classes that `miou` is the mean of
    miou_labelled: float | None  # these five as `Scores` has them
    miou_all_classes: float | None
    unlabelled_share: float | None
    mean_dice: float | None
    frequency_weighted_iou: float | None
    boundary_iou: float | None  # mean over the classes that labels or predictions have
    iiou: float | None  # mean over the classes with instances that labels or predictions have
    iiou_per_class: dict[str, float] | None  # of these classes
    iou_per_class: dict[str, float | None] | None
    pixel_accuracy: float | None
    mean_class_accuracy: float | None
    confusion_matrix: list[list[int]] | None  # (K+1)×(K+1), as `fold` makes it
    image_counts: Packed | None
    boundary_counts: Packed | None  # the same of boundaries
    instance_counts: Packed | None  # the same of instances, as `instances.instance_counts` weighs them
    pixel_agreement: float | None  # share of compared pixels that have the reference's class
    class_agreement: float | None  # mean over the reference's classes of the IoU with the reference
    class_agreements: dict[str, float] | None  # that IoU of each of them
    agreement_matrix: list[list[int]] | None  # (K+1)×(K+1), as `agreement_matrix` makes it
    agreeing_pixels: int
    compared_pixels: int
    agrees: bool | None  # whether both are at or above their bounds
    single_agreement: float | None  # share of pixels that have the class of the variant that runs image after image
    single_agreeing_pixels: int
    single_pixels: int
    agreement_image_count: int
    objects: ByClass | None  # numbers of labelled objects by class and size
    lost_objects: list[list[Any]]  # those that cost most pixels, each with the fields of `LostObject`
    worst_images: list[list[Any]]  # [image id, agreement], lowest first
    image_count: int
    warnings: list[str]


class Score(Figures):
    """A score.json: how the scored run ended, its figures, and why some of them are not known ("" where all are)."""

    status: str  # the run's, with its reason, or `refused` or `bug` where a run could not be scored
    reason: str
    reference: str  # its name
    miou_reason: str
    agreement_reason: str
    scored_by: str  # "logits" or "class maps": what was resized to the labels' size; "": nothing
    scored_by_warning: str


def figures(sums: Sums, classes: list[str], judgement: Judgement) -> Figures:
    """Compute the figures of score.json."""
    found = None if sums.matrix is None else scores(sums.matrix, judgement.ignored_pixels)
    agreement = sums.agreeing_pixels / sums.compared_pixels if sums.compared_pixels else None
    warnings = []
    if agreement is not None and agreement < judgement.agreement_bound:
        below, bound = _below(agreement, judgement.agreement_bound), f"bound {judgement.agreement_bound:g}"
        warnings.append(f"agrees with {judgement.reference_name} on only {below} of pixels ({bound})")
    by_class = None if sums.agreement is None else _agreement_by_class(sums.agreement, classes)
    of_classes = float(np.mean(list(by_class.values()))) if by_class else None
    if by_class and of_classes is not None and of_classes < judgement.class_agreement_bound:
        below, bound = _below(of_classes, judgement.class_agreement_bound), f"bound {judgement.class_agreement_bound:g}"
        mean = f"agrees with {judgement.reference_name} by a mean class IoU of only {below} ({bound})"
        warnings.append(f"{mean}; {_lowest(by_class)}")
    agrees = None if agreement is None else not warnings
    warnings += [] if sums.objects is None else _lost_objects(sums.objects, judgement.reference_name)
    warnings += [] if sums.matrix is None else unmet(sums.matrix, classes)
    bottom = None if sums.matrix is None else guessing(sums.matrix)
    if found and found.miou is not None and bottom is not None and found.miou <= bottom:
        warnings.append(f"mIoU is no better than one class everywhere ({bottom:.4f}): {SUSPECTS}")
    return {
        "miou": found.miou if found else None,
        "classes_counted": sum(iou is not None for iou in found.iou) if found else None,
        "miou_labelled": found.miou_labelled if found else None,
        "miou_all_classes": found.miou_all_classes if found else None,
        "unlabelled_share": found.unlabelled_share if found else None,
        "mean_dice": found.mean_dice if found else None,
        "frequency_weighted_iou": found.frequency_weighted_iou if found else None,
        "boundary_iou": _mean_iou(sums.boundary_counts),
        "iiou": _mean_iou(sums.instance_counts),
        "iiou_per_class": _iou_by_class(sums.instance_counts, classes),
        "iou_per_class": dict(zip(classes, found.iou, strict=True)) if found else None,
        "pixel_accuracy": found.pixel_accuracy if found else None,
        "mean_class_accuracy": found.mean_class_accuracy if found else None,
        "confusion_matrix": None if sums.matrix is None else sums.matrix.tolist(),
        "image_counts": sums.image_counts.packed(),
        "boundary_counts": sums.boundary_counts.packed(),
        "instance_counts": sums.instance_counts.packed(),
        "pixel_agreement": agreement,
        "class_agreement": of_classes,
        "class_agreements": by_class,
        "agreement_matrix": None if sums.agreement is None else sums.agreement.tolist(),
        "agreeing_pixels": sums.agreeing_pixels,
        "compared_pixels": sums.compared_pixels,
        "agrees": agrees,
        "single_agreement": sums.single_agreeing_pixels / sums.single_pixels if sums.single_pixels else None,
        "single_agreeing_pixels": sums.single_agreeing_pixels,
        "single_pixels": sums.single_pixels,
        "agreement_image_count": sums.compared_images,
        "objects": sums.objects,
        "lost_objects": [list(one) for one in sums.lost_objects],
        "worst_images": sums.worst,
        "image_count": sums.images,
        "warnings": warnings,
    }


def added(records: list[Score]) -> Sums:
    """Return the sums over the images of several score.json."""
    matrices = [matrix for record in records if (matrix := record["confusion_matrix"]) is not None]
    agreements = [matrix for record in records if (matrix := record["agreement_matrix"]) is not None]
    named = [pair for record in records for pair in record["worst_images"]]
    worst = sorted(named, key=lambda pair: (-pair[1], pair[0]), reverse=True)
    return Sums(
        matrix=None if len(matrices) < len(records) else np.sum(matrices, axis=0, dtype=np.int64),
        image_counts=_merged(record["image_counts"] for record in records),
        boundary_counts=_merged(record["boundary_counts"] for record in records),
        instance_counts=_merged(record["instance_counts"] for record in records),
        agreement=np.sum(agreements, axis=0, dtype=np.int64) if agreements else None,
        images=sum(record["image_count"] for record in records),
        compared_images=sum(record["agreement_image_count"] for record in records),
        agreeing_pixels=sum(record["agreeing_pixels"] for record in records),
        compared_pixels=sum(record["compared_pixels"] for record in records),
        worst=worst[:WORST],
        single_agreeing_pixels=sum(record["single_agreeing_pixels"] for record in records),
        single_pixels=sum(record["single_pixels"] for record in records),
        objects=objects.added(counts for record in records if (counts := record["objects"]) is not None),
        lost_objects=objects.worst(LostObject(*one) for record in records for one in record["lost_objects"]),
    )


def _merged(parts: Iterable[Packed | None]) -> ImageCounts:
    return ImageCounts.merged(ImageCounts.unpacked(packed) for packed in parts if packed is not None)


def _mean_iou(counts: ImageCounts) -> float | None:
    mean = float(bootstrap.mean_iou(counts.total())) if counts.rows else math.nan
    return None if math.isnan(mean) else mean


def _iou_by_class(counts: ImageCounts, classes: list[str]) -> dict[str, float] | None:
    """Return the IoU of each class that occurs; None without counts."""
    if not counts.rows:
        return None
    values = bootstrap.iou(counts.total()).tolist()
    return {name: value for name, value in zip(classes, values, strict=True) if not math.isnan(value)}


def _agreement_by_class(matrix: Matrix, classes: list[str]) -> dict[str, float]:
    """Return the IoU with the reference of each class that the reference has somewhere, in the order of `classes`."""
    iou, here = scores(matrix, "errors").iou, matrix.sum(1) > 0  # "errors": outputs that are no class count as well
    return {name: value for name, value, has in zip(classes, iou, here, strict=False) if has and value is not None}


def _lowest(by_class: dict[str, float]) -> str:
    """Name the classes that are lost, or the lowest where none is, with their IoU."""
    rising = sorted(by_class, key=by_class.__getitem__)
    lost = [name for name in rising if by_class[name] < LOST]
    found = lost or rising[:1]
    named = ", ".join(f"{name} {by_class[name]:.4f}" for name in found[:NAMED])
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return f"{'lost' if lost else 'lowest'}: {named}{more}"


def _lost_objects(counts: ByClass, reference: str) -> list[str]:
    """Return a warning that names the classes of whose objects half or more are lost; none where there is no such."""
    lost, of = objects.by_class(counts, "lost"), objects.by_class(counts, "reference")
    named = [f"{lost[name]} of {of[name]} {name}" for name in lost if of[name] and lost[name] >= LOST_SHARE * of[name]]
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    return [f"loses objects that {reference} finds: {', '.join(named[:NAMED])}{more}"] if named else []


def _below(agreement: float, bound: float) -> str:
    """Write an agreement with four or more decimals, as many as it takes not to read like the bound."""
    return next((text for n in range(4, 17) if float(text := f"{agreement:.{n}f}") < bound), repr(agreement))


SUSPECTS = "check the model's preprocessing (channel_order, scale, mean, std), its class_map and the order of classes"
NO_FIGURES = figures(  # of a row that did not run
    Sums(None, ImageCounts(), 0, None, 0, 0, 0, []), [], Judgement("excluded", 0, 0, "")
)


def unscored(status: str, reason: str, reference: str) -> Score:
    """Return the score.json of a run that could not be scored, since an input was refused or our code failed."""
    about = {"reference": reference, "miou_reason": reason, "agreement_reason": reason}
    by = {"scored_by": "", "scored_by_warning": ""}
    return {"status": status, "reason": reason, **NO_FIGURES, **about, **by}  # type: ignore[typeddict-item]
