"""Judge what INT8 loses by one half of the held-out images, and confirm it by the other.

A search that stops at its first good reading often stops at a lucky one, and that reading is too low. So a reading is
good only where the upper end of its interval is within the bound, and the half that chose is not the half that reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from segbench.calibration.images import CalibrationImages, Entries, split_rows
from segbench.calibration.mixed_precision import Candidate, Predict, worst_first
from segbench.images.labels import read_label
from segbench.images.normalize import class_map_at
from segbench.process.supervise import progress
from segbench.scoring.bootstrap import MIN_IMAGES, Counts, change_interval, mean_iou, mean_iou_change
from segbench.scoring.confusion import agreement_matrix, fold, iou_counts, pair_counts, scores

MIN_IMAGES_OF_CLASS = 3  # in each half: the IoU of a class that fewer images show hangs on one of them
LAYER_IMAGES = 4  # that each layer is ranked by


class Loss(NamedTuple):
    """The mIoU that INT8 loses over the labelled classes, and the upper end of its 95% interval over images.

    Both are NaN where no class is labelled. The end is the loss itself where there are too few images for an interval.
    """

    drop: float
    high: float


class HeldOut:
    """Labelled training images to judge by. `calibrated`: calibration sees them too, since there are no others."""

    def __init__(self, rows: Entries, model: dict[str, Any], dataset: dict[str, Any], calibrated: bool = False) -> None:
        self.rows, self.calibrated = [row for row in rows if row.get("label")], calibrated
        self.images = CalibrationImages(self.rows, model, "measuring the loss")
        self.classes: list[str] = dataset.get(
            "classes", []
        )  # images.json, of a calibrator that needs no label, has none
        self.class_map = model["class_map"]
        self._dataset = dataset

    def counts(self, predict: Predict, numbers: Sequence[int]) -> Counts:
        """Return `iou_counts` of `predict` for the images of these numbers: N×3×K.

        `predict` takes 1×3×H×W float32 and returns H×W uint8 output channels.
        """
        return np.stack([self._counts(predict, number) for number in numbers])

    def _counts(self, predict: Predict, number: int) -> Counts:
        row, facts = self.rows[number], self._dataset
        label = read_label(row["label"], facts["id_map"], row.get("label_sha256"))
        inputs, placement = self.images.inputs_of(number)
        maps = np.concatenate([predict(inputs[place : place + 1]) for place in range(len(inputs))])
        counts = pair_counts(label, class_map_at(maps, placement, *label.shape))
        return iou_counts(fold(counts, len(self.classes), facts["ignore_index"], self.class_map))

    def judge(self, exact: Predict) -> Judge:
        """Return a judge of what is lost compared with `exact`, the FP32 network."""
        return Judge(self, exact)


class Judge:
    """The held-out images in two halves (their numbers), and what the FP32 network makes of them."""

    def __init__(self, held_out: HeldOut, exact: Predict) -> None:
        self._held_out, self._exact = held_out, exact
        self._counts = held_out.counts(exact, range(len(held_out.rows)))
        self.choosing, self.confirming = halves(self._counts[:, 1] > 0)

    def loss(self, predict: Predict, half: list[int]) -> Loss:
        """Return what `predict` loses on a half, compared with FP32."""
        judged, exact = self._held_out.counts(predict, half), self._counts[half]
        drop = -float(mean_iou_change(np.stack([judged.sum(0), exact.sum(0)])))
        interval = change_interval(judged, exact)
        return Loss(drop, max(drop, -interval.low) if interval else drop)

    def choose(self, candidates: Iterator[Candidate], bound: float) -> tuple[Candidate, dict[str, Any]]:
        """Take the first candidate whose loss is shown to be within the bound. If none is, take that of the lowest end.

        No candidate is asked for after one within the bound, so that candidates can be made one by one. Returned with
        the candidate are facts for the record.
        """
        taken = next(candidates)
        first = lowest = self._reading(taken)
        while lowest.high > bound and (candidate := next(candidates, None)):
            loss = self._reading(candidate)
            if loss.high < lowest.high:
                taken, lowest = candidate, loss
        confirmed = self.loss(taken.predict, self.confirming)
        return taken, {
            "fp32_layers": taken.fp32_layers,
            "fp32_miou": _known(float(mean_iou(self._counts.sum(0)))),
            "drop_before": _known(first.drop),
            "drop_choosing": _known(lowest.drop),
            "drop_choosing_high": _known(lowest.high),
            "drop": _known(confirmed.drop),
            "drop_high": _known(confirmed.high) if len(self.confirming) >= MIN_IMAGES else None,
            "max_drop": bound,
            "choosing_images": [self._held_out.rows[number]["image_id"] for number in self.choosing],
            "confirming_images": [self._held_out.rows[number]["image_id"] for number in self.confirming],
            "warnings": [*self._doubts(), *_misses(lowest, confirmed, bound)],
        }

    def _reading(self, candidate: Candidate) -> Loss:
        loss = self.loss(candidate.predict, self.choosing)
        kept = f"{len(candidate.fp32_layers)} layers in FP32"
        print(f"{kept}: INT8 loses {loss.drop:.4f} mIoU (at most {loss.high:.4f})", flush=True)
        return loss

    def layers_worst_first(self, layers: list[str], with_only: Callable[[str], Predict]) -> list[str]:
        """Rank layers by what is lost of the class maps when one alone is quantised, the worst first.

        The loss is 1 minus the mean IoU with FP32 over the classes that FP32 predicts, so that a rare class counts as
        much as another. LAYER_IMAGES images of the choosing half are used, which show its rarest classes. `with_only`
        makes the network in which only the named layer is quantised.
        """
        inputs = [self._held_out.images.inputs_of(number)[0] for number in self.choosing[:LAYER_IMAGES]]
        images = [one[place : place + 1] for one in inputs for place in range(len(one))]
        expected = [self._exact(image) for image in images]
        losses = {}
        for done, layer in enumerate(layers, 1):
            alone = with_only(layer)
            losses[layer] = self._lost(expected, [alone(image) for image in images])
            progress("finding the layers that hurt most", done, len(layers))
        return worst_first(losses)

    def _lost(self, expected: list[Any], found: list[Any]) -> float:
        counts = np.sum([pair_counts(*maps) for maps in zip(expected, found, strict=True)], axis=0)
        matrix = agreement_matrix(counts, len(self._held_out.classes), self._held_out.class_map)
        agreement = scores(matrix).miou_labelled
        return 0.0 if agreement is None else 1 - agreement

    def _doubts(self) -> list[str]:
        """Return reasons to distrust what the images say."""
        found, more = [], "raise calibration.judging_images"
        if self._held_out.calibrated:
            found.append("INT8 was judged on the images that it was calibrated with: the training split has no others")
        if len(self.confirming) < MIN_IMAGES:
            count = f"{len(self._held_out.rows)} images, too few for an interval (below {2 * MIN_IMAGES}; {more})"
            return [*found, f"INT8 was judged on {count}"]
        shown = [(self._counts[half, 1] > 0).sum(0) for half in (self.choosing, self.confirming)]
        rare = np.flatnonzero((np.maximum(*shown) > 0) & (np.minimum(*shown) < MIN_IMAGES_OF_CLASS))
        if rare.size:
            names = ", ".join(self._held_out.classes[number] for number in rare)
            found.append(f"fewer than {MIN_IMAGES_OF_CLASS} images of a half that judged INT8 show {names} ({more})")
        return found


def _misses(chosen: Loss, confirmed: Loss, bound: float) -> list[str]:
    """Return in which ways the bound was missed."""
    found, asked = [], f"calibration.max_drop is {bound:g}"
    if chosen.high > bound:
        found.append(f"INT8 may lose {chosen.high:.4f} mIoU, whichever layers stay in FP32 ({asked})")
    if confirmed.drop > bound:
        found.append(f"INT8 loses {confirmed.drop:.4f} mIoU on the images that confirm its layers ({asked})")
    return found


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def halves(shown: npt.NDArray[np.bool_]) -> tuple[list[int], list[int]]:
    """Deal images to two halves, so that each class occurs in both about as often. `shown` is N×K: which show which.

    The images of the rarest class are dealt first, each to the half that has fewer of that class (iterative
    stratification: Sechidis, Tsoumakas, Vlahavas, "On the Stratification of Multi-Label Data", 2011). So each half
    begins with its rarest classes. A single image is both halves.
    """
    parts: tuple[list[int], list[int]] = ([], [])
    left = list(range(len(shown)))
    while left:
        of_class = shown[left].sum(0)
        rarest = int(np.argmin(np.where(of_class > 0, of_class, len(shown) + 1)))
        number = next(one for one in left if shown[one, rarest] or not of_class.any())
        room = [part for part in parts if 2 * len(part) < len(shown)]
        min(room, key=lambda part: (shown[part, rarest].sum(), len(part))).append(number)
        left.remove(number)
    return parts[0], parts[1] or parts[0]


def held_out(index: Path, count: int, model: dict[str, Any], dataset: dict[str, Any]) -> HeldOut:
    """Return the images of an index that judge what was calibrated with its first `count`."""
    seen, others = split_rows(index, count)
    return HeldOut(others, model, dataset, calibrated=seen == others)
