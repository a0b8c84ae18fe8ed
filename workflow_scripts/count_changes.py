"""Count what a quantised engine classifies otherwise than FP32 does, on training images that calibration has not seen.

Each image's counts are those of an IoU of every class, with the class map of FP32 in the place of labels. So a class
that few pixels have counts as much as another, no label is needed, and no image of val is used.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from segbench.calibration.images import split_rows
from segbench.engines.base import load, run_once
from segbench.files import read_json
from segbench.process.lifetime import command
from segbench.process.limits import Limits, configured_limits
from segbench.process.status import read_status, run_stage, write_status
from segbench.process.supervise import progress, stage
from segbench.scoring.confusion import agreement_matrix, iou_counts, pair_counts
from segbench.timing.job import open_engine
from segbench.timing.request import EngineRequest, JobRequest

IMAGES = 16  # at most; each runs in both engines


class CountRequest(TypedDict):
    """The child's request: a mix, then FP32, and the images."""

    sides: list[EngineRequest]
    model: str
    index: str
    calibrated: int  # first images of the index, which calibration sees
    threads: int


def count(request: CountRequest) -> dict[str, Any]:
    """Run the images in both engines. Return the counts of each image, 3×K: pixels of a class in both maps, in FP32's,
    and in the mix's.
    """
    common: JobRequest = {
        "model": request["model"], "index": request["index"], "decoded": None, "timing": None,
        "threads": request["threads"],
    }  # fmt: skip
    mix, exact = (open_engine({**common, **side}) for side in request["sides"])
    rows = split_rows(Path(request["index"]), request["calibrated"])[1][:IMAGES]
    facts = read_json(request["model"])
    found = []
    for done, row in enumerate(rows, 1):
        images = mix.image(row)
        counts = np.zeros((256, 256), np.int64)
        for place in range(len(images)):
            image = images[place : place + 1]
            counts += pair_counts(run_once(exact.session, image), run_once(mix.session, image))
        found.append(iou_counts(agreement_matrix(counts, facts["class_count"])).tolist())
        progress("counting changed pixels", done, len(rows))
    return {"images": [row["image_id"] for row in rows], "counts": found}


def run(request: CountRequest, limits: Limits, out: Path) -> None:
    """Count under supervision in the parent."""
    name = f"{Path(request['model']).parent.name} {request['sides'][0]['variant']['name']} changes"
    built = [read_status(side["engine_status"], side["variant"]["name"]) for side in request["sides"]]
    variables = load(request["sides"][0]["variant"]["engine"]).child_variables()
    outcome = run_stage(__file__, request, limits, name, built, variables)
    write_status(out, name, outcome, {})


@command
def main() -> None:
    """Parse the command line and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=json.loads, required=True, help="JSON: mix and FP32: variant, options")
    parser.add_argument("--engines", type=Path, nargs=2, required=True, help="folders of the built engines")
    parser.add_argument("--statuses", type=Path, nargs=2, required=True, help="their status.json")
    parser.add_argument("--model", type=Path, required=True, help="model.json of the exported model")
    parser.add_argument("--index", type=Path, required=True, help="images.csv of the training images")
    parser.add_argument("--calibrated", type=int, required=True, help="how many of them calibration sees")
    parser.add_argument("--threads", type=int, default=0, help="engine threads (0: one per fast core of a socket)")
    parser.add_argument("--out", type=Path, required=True, help="record to write")
    args = parser.parse_args()
    sides: list[EngineRequest] = [
        {"engine": str(engine), "engine_status": str(status), "variant": side["variant"], "options": side["options"]}
        for side, engine, status in zip(args.sides, args.engines, args.statuses, strict=True)
    ]
    request: CountRequest = {
        "sides": sides, "model": str(args.model), "index": str(args.index), "calibrated": args.calibrated,
        "threads": args.threads,
    }  # fmt: skip
    run(request, configured_limits(), args.out)


if __name__ == "__main__":
    stage(main, count)
