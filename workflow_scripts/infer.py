"""Run every image of a split once through a variant and keep the class maps: the accuracy pass. Nothing is timed.

With `--images` only the first images run, for a reference that is not a variant of the table.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from segbench.engines.base import load
from segbench.files import atomic, sha256_of, write_record
from segbench.images.index import read_index
from segbench.images.shards import WHOLE
from segbench.machine.cpu import this_machine
from segbench.machine.environment import config_hash, environment_record
from segbench.process.lifetime import command
from segbench.process.limits import Limits, configured_limits
from segbench.process.status import read_status, run_stage, write_status
from segbench.process.supervise import progress, stage
from segbench.scoring.predictions import PredictionsWriter
from segbench.timing import clock
from segbench.timing.image_size import NOT_RESIZED, any_resized, keep_class_maps_of_image_size
from segbench.timing.job import (
    Entries,
    PassRequest,
    TimedSession,
    engine_arguments,
    job_arguments,
    open_engine,
    request_of,
)


def infer(request: PassRequest) -> dict[str, Any]:
    """Open the engine in the child, run the images in the index's order, and write their class maps."""
    opened = open_engine(request, one_by_one=False)
    rows = read_index(request["index"], request["shard"])
    rows = rows[: request["images"]] if request["images"] else rows
    protocol = NOT_RESIZED
    if any_resized(opened, rows):
        protocol = keep_class_maps_of_image_size(opened, rows, request)
    else:
        keep_class_maps(opened, rows, request["predictions"])
    return {"environment": environment_record(opened.machine, opened.threads, opened.cpus), **protocol}


def keep_class_maps(opened: TimedSession, rows: Entries, path: str) -> float:
    """Run the images of `rows`, write their class maps to `path`, and return the seconds that the network ran.

    Of streams, one runs. Timed rounds show whether all together compute the same.
    """
    size, spent, done = (opened.normalize.height, opened.normalize.width), 0.0, 0
    with PredictionsWriter(path, *size) as predictions, opened.image_source(rows, predictions) as source:
        progress("running")  # the first image may crash: that is not the opening's fault
        for together, inputs in opened.batches(source.images()):
            ran = clock.time_once(opened.session, inputs, opened.batch)
            for row, class_map in zip(together, opened.class_maps(ran, together), strict=True):
                source.save(row["image_id"], class_map)
            spent += ran.compute_s
            done += len(together)
            progress("running", done, len(rows))
        source.finish()
    return spent


def run_pass(request: PassRequest, limits: Limits, outputs: dict[str, Path]) -> None:
    """Run the pass under supervision in the parent. Write all its files, empty but valid where it could not run."""
    name = f"{Path(request['model']).parent.name} {request['variant']['name']}"
    name += "" if request["shard"] == WHOLE else f" shard {request['shard']}"
    with atomic(outputs["predictions"]) as predictions:
        asked = {**request, "predictions": str(predictions)}
        variables = load(request["variant"]["engine"]).child_variables()
        outcome = run_stage(__file__, asked, limits, name, [read_status(request["engine_status"])], variables)
        if outcome.status != "ok":
            with PredictionsWriter(predictions, 0, 0):
                pass  # no image: empty, but valid
    environment = outcome.result.pop("environment", None) or environment_record(this_machine(), request["threads"])
    write_record(outputs["environment"], {**environment, "config_hash": config_hash(request)})
    manifest = {path.name: sha256_of(path) for key, path in outputs.items() if key != "status"}
    facts = {"variant": request["variant"], "peak_rss_bytes": outcome.peak_rss_bytes, "manifest": manifest}
    write_status(outputs["status"], name, outcome, {**facts, "wall_s": outcome.wall_s})


@command
def main() -> None:
    """Parse the command line and run the pass."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    engine_arguments(parser)
    job_arguments(parser, timing=False)
    parser.add_argument("--logits", default="", help="folder of the engine that ends in logits, for resized images")
    parser.add_argument("--logits-status", default="", help="its status.json")
    parser.add_argument("--images", type=int, default=0, help="the first N images only (0: all)")
    parser.add_argument("--shard", default=WHOLE, help="which images, e.g. 2of7 (default: all)")
    outputs = ("predictions", "environment", "status")
    for name in outputs:
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"{name} file to write")
    args = parser.parse_args()
    request: PassRequest = {
        **request_of(args),
        "logits": args.logits,
        "logits_status": args.logits_status,
        "shard": args.shard,
        "images": args.images,
        "predictions": "",  # the parent names it
    }
    run_pass(request, configured_limits(), {name: getattr(args, name) for name in outputs})


if __name__ == "__main__":
    stage(main, infer)
