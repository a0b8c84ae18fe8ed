"""Find the preprocessing with which a network that hardly does better than guessing scores well, if a usual one does.

Four labelled images run with the usual channel orders, scales, means and deviations. Where the model's row is fine,
nothing runs. Nothing is timed, and no row's figure changes: what is found is a warning of the row.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from segbench.calibration.judging import HeldOut
from segbench.calibration.mixed_precision import Predict
from segbench.engines import paddle
from segbench.engines.base import run_once
from segbench.errors import Failed
from segbench.files import read_json
from segbench.images.index import read_index
from segbench.models.exported import ExportedModel
from segbench.process.lifetime import command
from segbench.process.limits import Limits, configured_limits
from segbench.process.status import attempt, read_status, run_stage, write_status
from segbench.process.supervise import Outcome, stage
from segbench.runtimes import onnxruntime
from segbench.scoring.bootstrap import mean_iou
from segbench.scoring.confusion import guessing

IMAGES = 4
FINALISTS = 3  # settings that run on all images, beside the model's own; all settings run on the first
HARDLY = 0.1  # mIoU above guessing, as a share of what is left to 1, up to which a search is worth its time
GAIN = 0.1  # mIoU that a setting has to gain to be named
AT_FAULT = 0.3  # mIoU by which the network does better here than in its row: the row's engine is at fault, not this
NEAR = 0.02  # mIoU by which two settings may differ and count as equally good
BYTE = 1 / 255
# Usual means and deviations in the order R, G, B, with the scale that they belong to.
USUAL = (
    (BYTE, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),  # ImageNet's, as torchvision has them
    (BYTE, [0.5] * 3, [0.5] * 3),
    (BYTE, [0.0] * 3, [1.0] * 3),
    (1.0, [0.0] * 3, [1.0] * 3),
    (1.0, [123.675, 116.28, 103.53], [1.0] * 3),  # Caffe's: ImageNet's mean alone
)
Setting = dict[str, Any]  # keys of a model's `preprocessing`


class Request(TypedDict):
    """The child's request: paths as texts."""

    model: str
    index: str
    dataset: str
    miou: float  # of the row


def settings(own: Setting) -> Iterator[Setting]:
    """Yield the model's own setting, then the others that are tried: each order with each usual mean, and its own mean
    with each order and scale.
    """
    kept = {key: own[key] for key in ("channel_order", "scale", "mean", "std")}
    tried = [kept]
    yield kept
    usual = [*USUAL, *((scale, own["mean"], own["std"]) for scale in (BYTE, 1.0))]
    for order, (scale, mean, std) in itertools.product(("rgb", "bgr"), usual):
        turn = -1 if order == "bgr" and mean is not own["mean"] else 1
        setting = {"channel_order": order, "scale": scale, "mean": mean[::turn], "std": std[::turn]}
        if setting not in tried:
            tried.append(setting)
            yield setting


def search(request: Request) -> dict[str, Any]:
    """Try the settings in the child. Return the model's own mIoU on the images, and the best setting with its mIoU."""
    model, dataset = ExportedModel.open(Path(request["model"])), read_json(request["dataset"])
    labelled = [row for row in read_index(request["index"]) if row["label"]]
    rows = labelled[:: max(len(labelled) // IMAGES, 1)][:IMAGES]
    predict = _opened(model)

    def miou(setting: Setting, count: int) -> float:
        preprocessing = {**model.facts["preprocessing"], **setting}
        images = HeldOut(rows, {**model.facts, "preprocessing": preprocessing}, dataset)
        return float(np.nan_to_num(mean_iou(images.counts(predict, range(count)).sum(0))))

    own, *others = settings(model.facts["preprocessing"])
    own_miou = miou(own, len(rows))
    if own_miou - request["miou"] >= AT_FAULT:
        return {"own_miou": own_miou, "warnings": []}
    first = {number: miou(setting, 1) for number, setting in enumerate(others)}
    finalists = _best_first(first, own, others)[:FINALISTS]
    scores = {number: miou(others[number], len(rows)) for number in finalists}
    best = _best_first(scores, own, others)[0]
    return {
        "images": [row["image_id"] for row in rows], "tried": 1 + len(others), "own_miou": own_miou,
        "best_miou": scores[best], "best": others[best],
        "warnings": [told(own, others[best], own_miou, scores[best], len(rows), len(others))],
    }  # fmt: skip


def _best_first(scores: dict[int, float], own: Setting, others: list[Setting]) -> list[int]:
    """Return the numbers of settings, the best mIoU first. Of nearly equal ones, that first which changes least."""

    def changes(number: int) -> int:
        return sum(others[number][key] != own[key] for key in own)

    return sorted(scores, key=lambda number: (-round(scores[number] / NEAR), changes(number)))


def told(own: Setting, best: Setting, own_miou: float, best_miou: float, images: int, others: int) -> str:
    """Say which setting works, as a person writes it, or that none does."""
    if best_miou - own_miou < GAIN:
        scores = f"mIoU {best_miou:.2f}, with its own {own_miou:.2f} on {images} images"
        said = f"none of {others} other usual preprocessings does better ({scores})"
        return f"{said}: check class_map and the order of classes, or give that of its training"
    keys = ", ".join(f"{key}: {_written(best[key])}" for key in best if best[key] != own[key])
    return f"mIoU {best_miou:.2f} instead of {own_miou:.2f} with preprocessing: {{{keys}}} on {images} images"


def _written(value: Any) -> str:
    """Write a value as YAML; a mean or deviation that is the same for all channels once."""
    if isinstance(value, list):
        return f"[{', '.join(f'{number:g}' for number in (value[:1] if len(set(value)) == 1 else value))}]"
    return str(value)


def _opened(model: ExportedModel) -> Predict:
    """Return what computes the model's class maps: native Paddle, or ONNX Runtime for a model that is an ONNX file."""
    if (program := model.file("model.pdmodel")) is not None:
        return partial(run_once, paddle.native_session(program, 0, paddle.RunOptions()))
    path = model.file("model.onnx")
    if path is None:
        raise Failed("the model has no form that is run here")
    return onnxruntime.class_maps(path)


def is_suspect(score: dict[str, Any]) -> bool:
    """Return whether a row's mIoU is hardly better than guessing, or its class maps are not the stored reference's."""
    if score["status"] != "ok" or score["miou"] is None or score["confusion_matrix"] is None:
        return False
    if score["agrees"] is False and str(score["reference"]).endswith(".zip"):
        return True
    bottom = guessing(np.array(score["confusion_matrix"]))
    return bottom is not None and bool(score["miou"] <= bottom + HARDLY * (1 - bottom))


def find(score: Path, model: Path, index: Path, dataset: Path, limits: Limits, out: Path) -> None:
    """Search in a child where the row is suspect, and write the record."""
    name = f"{model.parent.name} preprocessing"
    found = Outcome("ok", result={"warnings": []})

    def work() -> dict[str, Any]:
        nonlocal found
        if is_suspect(row := read_json(score)):
            paths = {"model": str(model), "index": str(index), "dataset": str(dataset)}
            found = run_stage(__file__, {**paths, "miou": row["miou"]}, limits, name, [read_status(model)])
        return {}

    ended = attempt(work)
    write_status(out, name, found if ended.status == "ok" else ended, {})


@command
def main() -> None:
    """Parse the command line and search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--score", type=Path, required=True, help="score of the model's row that tells whether to search"
    )
    parser.add_argument("--model", type=Path, required=True, help="model.json of the exported model")
    parser.add_argument("--index", type=Path, required=True, help=f"index.csv of val; {IMAGES} labelled images are run")
    parser.add_argument("--dataset", type=Path, required=True, help="dataset.json beside it")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write: what was found")
    args = parser.parse_args()
    find(args.score, args.model, args.index, args.dataset, configured_limits(), args.out)


if __name__ == "__main__":
    stage(main, search)
