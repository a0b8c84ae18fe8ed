"""Compare every accuracy measure of score.json with other packages' own, on stored class maps; and time boundary IoU.

The packages have their own environment (make env-peers). Boundary IoU is computed by its authors' own code, of which
--boundary-iou names a clone (bowenc0221/boundary-iou-api); it needs pycocotools. Packages that are missing are named.
"""

from __future__ import annotations

import argparse
import importlib
import math
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

sys.path[:0] = [str(Path(__file__).parents[2] / folder) for folder in (".", "workflow_scripts")]  # run by its path

from score import Scorer
from segbench.errors import InputError
from segbench.files import read_json
from segbench.images.index import index_rows
from segbench.images.labels import read_label
from segbench.images.pictures import train_ids
from segbench.process.lifetime import command
from segbench.scoring import bootstrap
from segbench.scoring.boundary import boundary_counts
from segbench.scoring.confusion import fold, pair_counts, scores
from segbench.scoring.predictions import Predictions, PredictionsWriter
from segbench.table.markdown import table

Map = npt.NDArray[np.uint8]
Pairs = list[tuple[Map, Map]]  # label and class map, both trainIds
SHARE = 0.02
LARGE = (2048, 1024)  # width and height of the images that are timed


def ours(pairs: Pairs, classes: int, ignore: int) -> dict[str, float]:
    """Return our measures, by the names of the table's columns."""
    kind: dict[str, Any] = {"class_count": classes, "ignore": ignore}
    found = scores(np.sum([fold(pair_counts(*pair), **kind) for pair in pairs], axis=0))
    near = np.sum([boundary_counts(*pair, share=SHARE, **kind) for pair in pairs], axis=0)
    return {
        "miou": found.miou or 0.0,
        "mean_dice": found.mean_dice or 0.0,
        "fw_iou": found.frequency_weighted_iou or 0.0,
        "pixel_accuracy": found.pixel_accuracy or 0.0,
        "mean_class_accuracy": found.mean_class_accuracy or 0.0,
        "boundary_iou": float(bootstrap.mean_iou(near)),
    }


def by_torchmetrics(pairs: Pairs, classes: int, ignore: int) -> dict[str, float]:
    """Compute by torchmetrics' classification metrics, which count over all pixels of all images, as we do."""
    torch, metrics = importlib.import_module("torch"), importlib.import_module("torchmetrics.classification")
    of: dict[str, Any] = {"num_classes": classes + 1, "ignore_index": ignore}  # the last class: none of the classes
    made = {
        "miou": metrics.MulticlassJaccardIndex(average="none", **of),
        "mean_dice": metrics.MulticlassF1Score(average="none", **of),
        "fw_iou": metrics.MulticlassJaccardIndex(average="weighted", **of),
        "pixel_accuracy": metrics.MulticlassAccuracy(average="micro", **of),
        "mean_class_accuracy": metrics.MulticlassAccuracy(average="none", **of),
    }
    seen, labelled = np.zeros(256, np.bool_), np.zeros(256, np.bool_)
    for label, prediction in pairs:
        guess = np.minimum(prediction, classes)
        seen[np.unique(guess[label != ignore])] = labelled[np.unique(label[label != ignore])] = True
        for one in made.values():
            one.update(torch.from_numpy(guess.astype(np.int64)), torch.from_numpy(label.astype(np.int64)))
    occurs = {"mean_class_accuracy": labelled[:classes]}
    found = {}
    for name, one in made.items():
        value = one.compute().double().numpy()
        mask = occurs.get(name, (seen | labelled)[:classes])
        found[name] = float(value if value.ndim == 0 else value[:classes][mask].mean())
    return found


def by_scikit_learn(pairs: Pairs, classes: int, ignore: int) -> dict[str, float]:
    """Compute by scikit-learn, on the pixels of all images at once."""
    metrics = importlib.import_module("sklearn.metrics")
    truth = np.concatenate([label[label != ignore] for label, _ in pairs])
    guess = np.concatenate([prediction[label != ignore] for label, prediction in pairs])
    guess = np.minimum(guess, classes)
    labelled = np.unique(truth)
    present = [number for number in np.union1d(truth, guess) if number < classes]
    mean = {"labels": present, "average": "macro", "zero_division": 0}
    return {
        "miou": float(metrics.jaccard_score(truth, guess, **mean)),
        "mean_dice": float(metrics.f1_score(truth, guess, **mean)),
        "fw_iou": float(metrics.jaccard_score(truth, guess, labels=present, average="weighted", zero_division=0)),
        "pixel_accuracy": float(metrics.accuracy_score(truth, guess)),
        "mean_class_accuracy": float(metrics.recall_score(truth, guess, labels=labelled, average="macro")),
    }


def by_cityscapesscripts(pairs: Pairs, classes: int, ignore: int) -> dict[str, float]:
    """Compute by cityscapesscripts' evaluator, for its own 19 classes."""
    from validation.peers.other_packages import LABEL_IDS, cityscapesscripts

    if classes != len(LABEL_IDS):
        raise ImportError("its evaluator has Cityscapes' 19 classes only")
    scorer, whole = cityscapesscripts(), None
    for label, prediction in pairs:
        ids = np.where(label == ignore, 255, label).astype(np.uint8)
        matrix = np.asarray(scorer.count(scorer.prepare(ids, prediction)))
        whole = matrix if whole is None else whole + matrix
    peer = importlib.import_module("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    by_class = [peer.getIouScoreForLabel(number, whole, peer.args) for number in LABEL_IDS]
    return {"miou": float(np.nanmean(by_class))}


def by_its_authors(pairs: Pairs, classes: int, ignore: int) -> dict[str, float]:
    """Compute boundary IoU by its authors' function, mask by mask. What is ignored is taken out of both maps."""
    to_boundary: Callable[..., Any] = importlib.import_module("boundary_iou.utils.boundary_utils").mask_to_boundary
    sums = np.zeros((classes, 2), np.int64)
    for label, prediction in pairs:
        guess = np.where(label == ignore, ignore, prediction)
        for number in range(classes):
            truth, own = (to_boundary((one == number).astype(np.uint8), SHARE) for one in (label, guess))
            sums[number] += (int((truth & own).sum()), int((truth | own).sum()))
    return {"boundary_iou": float(np.mean([both / either for both, either in sums if either]))}


PEERS = {
    "scikit-learn": by_scikit_learn,
    "torchmetrics": by_torchmetrics,
    "cityscapesscripts": by_cityscapesscripts,
    "boundary-iou-api": by_its_authors,
}


def read_pairs(results: Path, dataset: str, row: str, limit: int) -> tuple[Pairs, int, int]:
    """Return labels and class maps of a row, as trainIds, the number of classes and the ignored id."""
    facts = read_json(results / "data" / dataset / "val" / "dataset.json")
    model = read_json(results / "models" / row.split("/", maxsplit=1)[0] / "model.json")
    maps = Predictions.open(results / "predictions" / dataset / row / "0" / "predictions.zip")
    pairs = []
    for entry in list(index_rows(results / "data" / dataset / "val" / "index.csv"))[:limit]:
        label = read_label(entry["label"], facts["id_map"])
        pairs.append((label, train_ids(maps[entry["image_id"]], model, facts)))
    return pairs, len(facts["classes"]), facts["ignore_index"]


def cpu_ms(work: Callable[[], Any], runs: int = 15) -> float:
    """Return the least CPU time of a call on this thread, in milliseconds."""
    times = []
    for _ in range(runs):
        start = time.thread_time()
        work()
        times.append(time.thread_time() - start)
    return min(times) * 1000


def costs(pair: tuple[Map, Map], classes: int, ignore: int) -> str:
    """Say what scoring an image of 1024×2048 takes with and without boundaries: a pair that is enlarged to this size.

    It is all that `Scorer.add` does: label and class maps are read, and the reference is another class map.
    """
    cv2.setNumThreads(1)
    label, own = (np.asarray(cv2.resize(one, LARGE, interpolation=cv2.INTER_NEAREST), np.uint8) for one in pair)
    of: dict[str, Any] = {"class_count": classes, "ignore": ignore}
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("label.png", "own.zip", "reference.zip")]
        cv2.imwrite(str(files[0]), label)
        for file, class_map in zip(files[1:], (own, label), strict=True):
            with PredictionsWriter(file, *LARGE[::-1]) as writer:
                writer.add("image", class_map)
        entry: Any = {"image_id": "image", "label": str(files[0])}
        scorer = Scorer(files[1], files[2], partial(fold, **of))
        without = cpu_ms(lambda: scorer.add(entry))
        scorer.boundaries = partial(boundary_counts, share=SHARE, **of)
        with_them = cpu_ms(lambda: scorer.add(entry))
    return f"CPU ms to score an image of 1024×2048: {without:.1f}; with boundaries {with_them:.1f}"


@command
def main() -> None:
    """Parse the command line, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"), help="results folder (default: %(default)s)")
    parser.add_argument("--dataset", default="demo", help="its data set (default: %(default)s)")
    parser.add_argument("--rows", nargs="+", default=["pspnet_demo/openvino-int8"], help="rows, MODEL/VARIANT each")
    parser.add_argument("--images", type=int, default=1000, help="number of first images (default: %(default)s)")
    parser.add_argument("--boundary-iou", default="", help="clone of bowenc0221/boundary-iou-api")
    args = parser.parse_args()
    sys.path[:0] = [args.boundary_iou] if args.boundary_iou else []
    cells, apart = [], 0.0
    for row in args.rows:
        pairs, classes, ignore = read_pairs(args.results, args.dataset, row, args.images)
        own = ours(pairs, classes, ignore)
        for name, peer in PEERS.items():
            try:
                theirs = peer(pairs, classes, ignore)
            except ImportError as error:
                cells.append([row, name, "", "", "", f"not compared: {error}"])
                continue
            for measure, value in theirs.items():
                apart = max(apart, abs(own[measure] - value)) if name != "torchmetrics" else apart
                cells.append([row, name, measure, repr(own[measure]), repr(value), f"{abs(own[measure] - value):.1e}"])
    print(table(["row", "package", "measure", "ours", "theirs", "apart"], cells))
    print(
        f"\n{len(pairs)} images. Greatest difference, but for torchmetrics' float32: {apart:.1e}\n"
        f"{costs(pairs[0], classes, ignore)}"
    )
    if not math.isfinite(apart) or apart > 1e-12:
        raise InputError(f"measures differ by {apart:.1e} (bound 1e-12)")


if __name__ == "__main__":
    main()
