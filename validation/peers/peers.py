"""Compare what SegBench does outside the model with other packages, in turn (A B A B), on the same data.

Scoring and preprocessing are measured by CPU time on one thread. The whole evaluation is measured by wall time from the
images to the mIoU, and its part outside the model. The other packages have their own environment (make env-peers).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path[:0] = [str(Path(__file__).parents[2] / folder) for folder in (".", "workflow_scripts")]  # run by its path

from score import Scorer, score
from segbench.errors import InputError
from segbench.files import read_json, write_json, write_text
from segbench.images.decoded import ImageReader
from segbench.images.index import read_index
from segbench.images.labels import read_label
from segbench.images.normalize import Normalizer
from segbench.machine.cpu import this_machine
from segbench.machine.environment import environment_record
from segbench.process.lifetime import command
from segbench.process.limits import configured_limits
from segbench.process.supervise import progress, stage, supervise
from segbench.scoring.confusion import fold, scores
from segbench.scoring.predictions import Predictions
from segbench.table.markdown import table
from segbench.timing import clock
from segbench.timing.accuracy_pass import keep_class_maps
from segbench.timing.job import open_engine
from segbench.timing.request import engine_arguments, job_arguments, request_of

from validation.peers import other_packages as peers

PARTS_REPEATS, EVALUATION_REPEATS = 5, 2
Request = Any  # a timed job's, and what the peers need


def measure(request: Request) -> dict[str, Any]:
    """Make one of the two measurements, in a child in the peers' environment."""
    return parts(request) if request["what"] == "parts" else evaluation(request)


def evaluation(request: Request) -> dict[str, Any]:
    """Time the whole evaluation of all images, ours and PaddleSeg's in turn, each after one image that is not timed."""
    from segbench.models import architectures
    from segbench.models.checkpoint import read_arrays

    opened, rows = open_engine(request), read_index(request["index"])
    entry = request["entry"]
    layer = architectures.build(entry, entry["input"]["height"], entry["input"]["width"])
    architectures.load(layer, read_arrays(Path(request["checkpoint"])), request["model"])
    with tempfile.TemporaryDirectory() as folder:

        def ours() -> dict[str, float]:
            start = time.perf_counter()
            model_s = keep_class_maps(opened, rows, request["predictions"])
            folding = partial(fold, class_count=peers.CLASSES, ignore=peers.IGNORE)
            scorer = Scorer(Path(request["predictions"]), None, folding)
            score(scorer, rows, opened.threads)
            miou = None if scorer.matrix is None else scores(scorer.matrix).miou
            whole = time.perf_counter() - start
            return {"whole_s": whole, "model_s": model_s, "miou": float(miou or 0)}

        clock.time_once(opened.session, opened.image(rows[0]))
        peers.paddleseg_evaluation(layer, rows[:1], folder)()
        theirs = peers.paddleseg_evaluation(layer, rows, folder)
        found: dict[str, list[dict[str, float]]] = {"SegBench": [], "PaddleSeg": []}
        for number in range(EVALUATION_REPEATS):
            progress("evaluating", number, EVALUATION_REPEATS)
            found["SegBench"].append(ours())
            found["PaddleSeg"].append(theirs())
    return {"images": len(rows), "runs": found}


def parts(request: Request) -> dict[str, Any]:
    """Time scoring and preprocessing, ours and each peer's in turn: median CPU ms of an image, ratios, equality."""
    clock.settle_threads(1, pin=True)
    cv2.setNumThreads(1)
    rows, read = read_index(request["index"]), ImageReader(request["decoded"])
    predictions = Predictions.open(request["predictions"])
    pairs = [(read_label(row["label"], None), predictions[row["image_id"]]) for row in rows]
    ours = peers.segbench()
    mine = [ours.prepare(*pair) for pair in pairs]
    expected = [ours.areas(ours.count(pair)) for pair in mine]
    scoring = {}
    for name, make in peers.SCORERS.items():
        progress(f"scoring beside {name}")
        peer = make()
        theirs = [peer.prepare(*pair) for pair in pairs]
        same = all(peer.areas(peer.count(p)).same(areas) for p, areas in zip(theirs, expected, strict=True))
        scoring[name] = {**in_turn(ours.count, mine, peer.count, theirs), "same": same}
    reading = in_turn(_read, pairs, ours.count, mine)
    progress("preprocessing beside PaddleSeg")
    images, model = [read(row) for row in rows], read_json(request["model"])
    size, transform = model["input"], peers.paddleseg_transforms()
    normalize = Normalizer(model["preprocessing"], size["height"], size["width"])
    same = all(normalize(image)[0].tobytes() == np.ascontiguousarray(transform(image)).tobytes() for image in images)
    preprocessing = {"PaddleSeg": {**in_turn(normalize, images, transform, images), "same": same}}
    return {"images": len(rows), "scoring": scoring, "reading": reading, "preprocessing": preprocessing}


def _read(pair: Any) -> Any:
    """Read both arrays once, at the speed of the memory."""
    return pair[0].max(), pair[1].max()


def in_turn(
    ours: Callable[[Any], Any], mine: Sequence[Any], theirs: Callable[[Any], Any], yours: Sequence[Any]
) -> dict[str, Any]:
    """Run ours over all of `mine` and theirs over all of `yours`, repeatedly. Return medians of CPU ms per image,
    ratios.
    """
    times = []
    for _ in range(PARTS_REPEATS):
        times.append([_cpu_ms(ours, mine), _cpu_ms(theirs, yours)])
    ratios = [b / a for a, b in times]
    return {
        "ours_ms": statistics.median(a for a, _ in times),
        "peer_ms": statistics.median(b for _, b in times),
        "ratio": statistics.median(ratios),
        "ratios": ratios,
    }


def _cpu_ms(work: Callable[[Any], Any], items: Sequence[Any]) -> float:
    start = time.process_time()
    for item in items:
        work(item)
    return (time.process_time() - start) * 1000 / len(items)


def markdown(record: dict[str, Any]) -> str:
    """Return the text of results/peers.md."""
    found, whole = record["parts"], record["evaluation"]
    names = ["peer", "ours ms", "peer's ms", "ratio", "lowest to highest", "same result"]
    runs = {name: _medians(of, whole["images"]) for name, of in whole["runs"].items()}
    return "\n".join(
        [
            f"# Beside other packages\n\n{found['images']} images of {record['size']}; in turn, {PARTS_REPEATS} times."
            " CPU milliseconds per image on one thread.\n",
            f"## Scoring a label and a class map in memory\n\n{table(names, _cells(found['scoring']))}\n",
            f"Reading both arrays once (their maxima): {found['reading']['ours_ms']:.3f} ms; scoring takes"
            f" {found['reading']['ratio']:.1f} times that.\n",
            f"## Preprocessing a decoded image\n\n{table(names, _cells(found['preprocessing']))}\n",
            f"## A whole evaluation: image files to mIoU\n\n{record['model']} by Paddle, native, on"
            f" {record['threads']} threads; wall seconds per image, medians of {EVALUATION_REPEATS} runs in turn."
            f" Ours runs the exported model on images {record['kept']}, PaddleSeg's evaluate the same weights as a"
            " layer.\n",
            table(["by", "whole s", "inside the model s", "outside s", "whole ÷ inside", "mIoU"], _evaluations(runs)),
            "",
        ]
    )


def _cells(found: dict[str, Any]) -> list[list[str]]:
    return [
        [
            name,
            f"{one['ours_ms']:.2f}",
            f"{one['peer_ms']:.1f}",
            f"{one['ratio']:.1f}",
            f"{min(one['ratios']):.1f} to {max(one['ratios']):.1f}",
            "yes" if one["same"] else "NO",
        ]
        for name, one in found.items()
    ]


def _medians(runs: list[dict[str, float]], images: int) -> dict[str, float]:
    whole, inside = (statistics.median(run[key] for run in runs) / images for key in ("whole_s", "model_s"))
    outside = statistics.median(run["whole_s"] - run["model_s"] for run in runs) / images
    return {"whole": whole, "inside": inside, "outside": outside, "miou": runs[0]["miou"]}


def _evaluations(runs: dict[str, dict[str, float]]) -> list[list[str]]:
    return [
        [
            name,
            *(f"{one[key]:.3f}" for key in ("whole", "inside", "outside")),
            f"{one['whole'] / one['inside']:.3f}",
            f"{one['miou']:.4f}",
        ]
        for name, one in runs.items()
    ]


@command
def main() -> None:
    """Parse the command line, measure in the peers' environment, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="interpreter of the peers' environment")
    engine_arguments(parser)
    job_arguments(parser, timing=False)
    parser.add_argument("--entry", type=json.loads, required=True, help="JSON: the model's entry")
    parser.add_argument("--checkpoint", type=Path, required=True, help="its weights")
    parser.add_argument("--markdown", type=Path, required=True, help="tables to write")
    parser.add_argument("--json", type=Path, required=True, help="figures to write")
    a = parser.parse_args()
    if not Path(a.python).exists():
        raise InputError(f"{a.python}: the other packages are not installed; run: make env-peers")
    machine = this_machine()
    request = {**request_of(a), "checkpoint": str(a.checkpoint), "entry": a.entry}
    record: dict[str, Any] = {"model": a.model.parent.name, "threads": machine.physical_cores}
    size = a.entry["input"]
    kept = "that are kept decoded" if a.decoded and read_json(a.decoded)["images"] else "in their files"
    record |= {"size": f"{size['height']}×{size['width']}", "kept": kept}
    with tempfile.TemporaryDirectory() as folder:
        request["predictions"] = f"{folder}/predictions.zip"
        for what in ("evaluation", "parts"):
            outcome = supervise(__file__, {**request, "what": what}, configured_limits(), what, a.python)
            if outcome.status != "ok":
                raise InputError(f"{what}: {outcome.status}: {outcome.reason}")
            record[what] = outcome.result
    write_json(a.json, {**record, "environment": environment_record(machine, machine.physical_cores)})
    write_text(a.markdown, markdown(record))
    print(markdown(record))


if __name__ == "__main__":
    stage(main, measure)
