"""Score a variant's class maps: confusion matrix, IoU and mIoU against the labels, agreement with the reference."""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from segbench.arrays import ClassMap, LabelMap
from segbench.errors import InputError
from segbench.files import checked, read_json, write_record
from segbench.images.index import IndexEntry, index_rows
from segbench.images.labels import read_label, read_values
from segbench.images.shards import WHOLE, share
from segbench.process.lifetime import command
from segbench.process.status import attempt, read_status
from segbench.scoring.boundary import boundary_counts
from segbench.scoring.confusion import Matrix, agreement_matrix, changed_counts, fold, iou_counts, pair_counts
from segbench.scoring.image_counts import ImageCounts
from segbench.scoring.instances import instance_counts
from segbench.scoring.objects import Objects, ObjectSettings
from segbench.scoring.predictions import CLASS_MAPS, Predictions, key_of
from segbench.scoring.score_record import (
    NO_COMMON_IMAGE,
    NO_FIGURES,
    WORST,
    Judgement,
    Score,
    Sums,
    figures,
    unscored,
)

BATCH = 256  # rows handed to the threads at a time


@dataclass
class Scorer:
    """Adds up pixel counts and agreement over images, one at a time, from any thread.

    `fold` turns the `pair_counts` of an image's label and class map into its confusion matrix. It is None where class
    maps are not scored by labels. `id_map` is the data set's. `boundaries` counts what boundary IoU is made of, from a
    label and a class map. `objects` counts the objects that are lost. `single` has the class maps of the same variant
    where it runs one image after the other. `instances` counts what iIoU is made of, from ids of instances, a class map
    and the `iou_counts` of the image. Each is None where it is not asked for.
    """

    predictions: Path
    reference: Path | None
    fold: Callable[[Matrix], Matrix] | None
    ignored_pixels: str = "excluded"
    id_map: Mapping[Any, int] | None = None
    boundaries: Callable[[LabelMap, ClassMap], Matrix] | None = None
    objects: Objects | None = None
    single: Path | None = None
    instances: Callable[[Any, ClassMap, Matrix], Matrix] | None = None

    def __post_init__(self) -> None:
        self.matrix: Matrix | None = None
        self.image_counts, self.boundary_counts, self.instance_counts = ImageCounts(), ImageCounts(), ImageCounts()
        self.agreement = np.zeros((256, 256), np.int64)  # pair counts of raw outputs: the reference's and the variant's
        self.worst: list[tuple[float, str]] = []  # a heap of (disagreement, image id), the largest few
        self.images = self.compared_images = self.agreeing_pixels = self.compared_pixels = 0
        self.single_agreeing_pixels = self.single_pixels = 0
        self._lock, self._open = threading.Lock(), threading.local()

    def add(self, row: IndexEntry) -> None:
        """Score one row of the index."""
        image_id = row["image_id"]
        own = self._maps("predictions", self.predictions)
        class_map = own[image_id]
        reference = self._of_reference(image_id, own, class_map)
        alone = None if self.single is None else self._maps("single", self.single)[image_id] == class_map
        agreement = matrix = counts = boundary = weighted = seen = None
        if self.fold:
            label = read_label(row["label"], self.id_map, row.get("label_sha256"))
            pairs = pair_counts(label, class_map)
            matrix = self.fold(pairs)
            counts = iou_counts(matrix, self.ignored_pixels)
            boundary = self.boundaries(label, class_map) if self.boundaries else None
            seen = self.objects.seen(label, reference, class_map) if self.objects and reference is not None else None
            if self.instances and (path := row.get("instances")):
                weighted = self.instances(read_values(path, False, row.get("instances_sha256")), class_map, counts)
            agreement = None if reference is None else changed_counts(reference, class_map, pairs)
        elif reference is not None:
            agreement = pair_counts(reference, class_map)
        with self._lock:
            self.images += 1
            if matrix is not None and counts is not None:
                self.matrix = matrix if self.matrix is None else self.matrix + matrix
                self.image_counts.add(key_of(image_id), counts)
            if alone is not None:
                self.single_agreeing_pixels += int(np.count_nonzero(alone))
                self.single_pixels += alone.size
            if boundary is not None:
                self.boundary_counts.add(key_of(image_id), boundary)
            if weighted is not None:
                self.instance_counts.add(key_of(image_id), weighted)
            if self.objects and seen is not None:
                self.objects.add(image_id, seen)
            if agreement is not None:
                equal, pixels = int(np.trace(agreement)), int(agreement.sum())
                self._keep_if_bad(image_id, 1 - equal / pixels)
                self.agreement += agreement
                self.compared_images += 1
                self.agreeing_pixels += equal
                self.compared_pixels += pixels

    def _keep_if_bad(self, image_id: str, disagreement: float) -> None:
        heapq.heappush(self.worst, (disagreement, image_id))
        if len(self.worst) > WORST:
            heapq.heappop(self.worst)

    def _of_reference(self, image_id: str, own: Predictions, class_map: ClassMap) -> ClassMap | None:
        """Return the reference's class map; None for an image that the reference did not run."""
        if self.reference is None:
            return None
        other = self._maps("reference", self.reference)
        if image_id not in other:
            return None
        (height, width), theirs = own.shape(image_id), other.shape(image_id)
        if theirs != (height, width):
            raise InputError(
                f"{self.reference}: class map of {image_id} is of {theirs[0]}×{theirs[1]}, the variant's of"
                f" {height}×{width}; make the reference again with this model entry"
            )
        return class_map if own.digest(image_id) == other.digest(image_id) else other[image_id]

    def _maps(self, name: str, path: Path) -> Predictions:
        """Open the file once per thread, since threads that share an archive wait for each other."""
        if not hasattr(self._open, name):
            setattr(self._open, name, Predictions.open(path))
        opened: Predictions = getattr(self._open, name)
        return opened


def score(scorer: Scorer, rows: Iterable[IndexEntry], jobs: int) -> None:
    """Score all rows on `jobs` threads. Decoding and counting run outside the interpreter lock."""
    cv2.setNumThreads(1)
    remaining, printed = iter(rows), time.monotonic()
    with ThreadPoolExecutor(max(jobs, 1)) as pool:
        while batch := list(itertools.islice(remaining, BATCH)):  # bounded: an index may have millions of rows
            for _ in pool.map(scorer.add, batch):
                if time.monotonic() - printed >= 1:
                    printed = time.monotonic()
                    print(f"scoring: {scorer.images} images", file=sys.stderr, flush=True)


def sums_of(scorer: Scorer, class_count: int, class_map: list[int] | None) -> Sums:
    """Return what the scorer counted, with outputs mapped to trainIds."""
    return Sums(
        matrix=scorer.matrix,
        image_counts=scorer.image_counts,
        boundary_counts=scorer.boundary_counts,
        instance_counts=scorer.instance_counts,
        images=scorer.images,
        agreement=agreement_matrix(scorer.agreement, class_count, class_map) if scorer.compared_images else None,
        compared_images=scorer.compared_images,
        agreeing_pixels=scorer.agreeing_pixels,
        compared_pixels=scorer.compared_pixels,
        worst=[[image_id, 1 - apart] for apart, image_id in sorted(scorer.worst, reverse=True)],
        objects=scorer.objects.counts if scorer.objects else None,
        lost_objects=scorer.objects.lost if scorer.objects else [],
        single_agreeing_pixels=scorer.single_agreeing_pixels,
        single_pixels=scorer.single_pixels,
    )


def score_run(args: argparse.Namespace) -> Score:
    """Return the content of score.json for the files that the command line names."""
    run, model, dataset = read_json(args.run_status), read_json(args.model), read_json(args.dataset)
    miou_reason = _why_no_miou(model, dataset)
    record: Score = {
        "status": run["status"],
        "reason": run["reason"],
        "reference": args.reference_name,
        **NO_FIGURES,
        "miou_reason": miou_reason,
        "agreement_reason": "",
        "scored_by": run.get("scored_by", ""),
        "scored_by_warning": _doubt_of_protocol(run, args.agreement_bound),
    }
    if run["status"] != "ok":
        return record
    single = _single(args, run)
    if single is not None and (pixels := _same_pixels(checked(args.predictions, run), single)):
        print(f"all class maps are those of {args.single}: its score is this row's")
        copied: Score = cast(Score, read_json(args.single_score))
        return {
            **copied,
            "scored_by_warning": record["scored_by_warning"],
            "single_agreement": 1.0,
            "single_agreeing_pixels": pixels,
            "single_pixels": pixels,
        }
    reference, gap = _usable_reference(args, run)
    classes, class_map = dataset["classes"], model["class_map"]
    meaning = {"class_count": len(classes), "ignore": dataset["ignore_index"], "class_map": class_map}
    boundaries = None
    if args.boundary_width is not None:
        boundaries = partial(boundary_counts, share=args.boundary_width, ignored_pixels=args.ignored_pixels, **meaning)
    objects = None
    if args.objects is not None:
        objects = Objects(ObjectSettings.of(args.objects, classes), len(classes), class_map)
    instances = None
    if kinds := dataset.get("instances"):
        instances = partial(instance_counts, kinds=kinds, class_count=len(classes), class_map=class_map)
    scorer = Scorer(
        checked(args.predictions, run),
        reference,
        None if miou_reason else partial(fold, **meaning),
        args.ignored_pixels,
        dataset["id_map"],
        boundaries,
        objects,
        single,
        instances,
    )
    score(scorer, _rows(args.index, args.predictions, args.shard), args.jobs)
    judgement = Judgement(args.ignored_pixels, args.agreement_bound, args.class_agreement_bound, args.reference_name)
    found = figures(sums_of(scorer, len(classes), class_map), classes, judgement)
    if reference is not None and found["pixel_agreement"] is None:
        gap = NO_COMMON_IMAGE
    return {**record, **found, "agreement_reason": gap}


def _usable_reference(args: argparse.Namespace, run: dict[str, Any]) -> tuple[Path | None, str]:
    """Return the reference's predictions, or None and why there are none."""
    if args.reference is None:
        return None, "no reference"
    if not args.reference.exists():
        raise InputError(f"{args.reference}: no such file (config key reference)")
    other = read_json(args.reference_status) if args.reference_status else {"status": "ok"}
    if other["status"] != "ok":
        return None, f"{args.reference_name}: {other['status']}: {other['reason']}"
    own, theirs = run.get("scored_by", ""), other.get("scored_by", run.get("scored_by", ""))
    if own != theirs:
        return None, f"class maps of {args.reference_name} were made by resizing {theirs}, this row's by resizing {own}"
    return checked(args.reference, other), ""


def _single(args: argparse.Namespace, run: dict[str, Any]) -> Path | None:
    """Return the class maps of the same variant where it runs one image after the other; None: they are not known, or
    were resized in another way.
    """
    if args.single is None or read_json(args.single_score)["status"] != "ok":
        return None
    other = read_json(args.single_status)
    same = other["status"] == "ok" and other.get("scored_by", "") == run.get("scored_by", "")
    return checked(args.single, other) if same else None


def _same_pixels(own: Path, other: Path) -> int:
    """Return the number of pixels of all class maps where those of both files are equal; 0 where any differs."""
    mine, theirs, pixels = Predictions.open(own), Predictions.open(other), 0
    for image_id in mine.ids if len(mine) == len(theirs) else ():
        if image_id not in theirs or mine.digest(image_id) != theirs.digest(image_id):
            return 0
        height, width = mine.shape(image_id)
        pixels += height * width
    return pixels


def _rows(index: Path, predictions: Path, shard: str) -> Iterable[IndexEntry]:
    """Yield a shard's rows of the index. Raises InputError when the predictions are not of exactly these images."""
    written, count = Predictions.open(predictions), 0
    for row in share(index_rows(index), shard):
        if row["image_id"] not in written:
            raise InputError(f"{predictions}: has no class map of {row['image_id']} of {index}; run again")
        count += 1
        yield row
    if count < len(written):
        raise InputError(
            f"{predictions}: has {len(written) - count} class map(s) that {index} does not name; run again"
        )


def _doubt_of_protocol(run: dict[str, Any], bound: float) -> str:
    """Return why a run's scores are not those of PaddleSeg's protocol, where images are resized; "" where they are."""
    if run.get("scored_by") == CLASS_MAPS:
        return f"scored by resized class maps, which costs mIoU, and not by logits: {run['scored_by_reason']}"
    agreement = run.get("logits_agreement")
    if agreement is not None and agreement < bound:
        return f"the highest logits are the timed engine's classes on only {agreement:.4f} of pixels (bound {bound:g})"
    return ""


def _why_no_miou(model: dict[str, Any], dataset: dict[str, Any]) -> str:
    if not model["has_trained_weights"]:
        return "random weights"
    return "" if dataset["labelled"] else "no labels"


@command
def main() -> None:
    """Parse the command line and score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--predictions", type=Path, required=True, help="predictions.zip of the accuracy pass")
    parser.add_argument("--run-status", type=Path, required=True, help="its status.json")
    parser.add_argument("--model", type=Path, required=True, help="model.json")
    parser.add_argument("--dataset", type=Path, required=True, help="dataset.json of the validation split")
    parser.add_argument("--index", type=Path, required=True, help="index.csv of the validation split")
    parser.add_argument("--check", default="", help="the check of data set and model (none: not checked)")
    parser.add_argument("--shard", default=WHOLE, help="which images of the index were run, e.g. 2of7 (default: all)")
    parser.add_argument("--reference", type=Path, help="predictions.zip of the reference (none: no agreement)")
    parser.add_argument("--reference-status", default="", help="its status.json (none: a stored reference)")
    parser.add_argument("--reference-name", required=True, help="what the table calls it")
    parser.add_argument("--single", type=Path, help="predictions.zip of the variant that runs image after image")
    parser.add_argument("--single-status", type=Path, help="its status.json")
    parser.add_argument("--single-score", type=Path, help="its score.json")
    parser.add_argument("--agreement-bound", type=float, required=True, help="share of pixels below which to warn")
    parser.add_argument("--class-agreement-bound", type=float, required=True, help="mean class IoU below which to warn")
    parser.add_argument("--ignored-pixels", choices=("excluded", "errors"), default="excluded", help="of the labels")
    parser.add_argument(
        "--boundary-width", type=json.loads, help="of boundaries, a share of the diagonal (none: not scored)"
    )
    parser.add_argument("--objects", type=json.loads, help="JSON: the data set's objects (none: not counted)")
    parser.add_argument("--out", type=Path, required=True, help="score.json to write")
    parser.add_argument("--jobs", type=int, default=1, help="threads")
    args = parser.parse_args()
    outcome = attempt(lambda: dict(score_run(args)), [read_status(args.check)])
    write_record(args.out, outcome.result or unscored(outcome.status, outcome.reason, args.reference_name))


if __name__ == "__main__":
    main()
