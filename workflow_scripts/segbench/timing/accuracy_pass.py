"""Run every image of a split once and keep the class maps. Nothing is timed."""

from __future__ import annotations

from typing import Any

from segbench.images.index import read_index
from segbench.machine.environment import environment_record
from segbench.process.supervise import progress
from segbench.scoring.predictions import PredictionsWriter
from segbench.timing import clock
from segbench.timing.image_size import NOT_RESIZED, any_resized, keep_class_maps_of_image_size
from segbench.timing.job import Entries, TimedSession, open_engine
from segbench.timing.request import PassRequest


def infer(request: PassRequest) -> dict[str, Any]:
    """Open the engine, run the images in the index's order, and write their class maps."""
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
