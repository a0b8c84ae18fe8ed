"""Time the stages of an image one after the other: decode, resize and normalise, copy in, network, copy out.

The images are those of the timed rounds, from their own files. No latency of the table comes from here.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segbench.arrays import Float32Image
from segbench.engines.base import Session, load
from segbench.images.index import IndexEntry, read_index
from segbench.images.read import read_image
from segbench.machine.environment import environment_record
from segbench.process.lifetime import command
from segbench.process.limits import configured_limits
from segbench.process.status import read_status, run_stage, write_status
from segbench.process.supervise import progress, stage
from segbench.timing import clock
from segbench.timing.job import Entries, TimedSession, choose_images, disturbed, open_engine
from segbench.timing.request import Request, engine_arguments, job_arguments, request_of
from segbench.timing.stages import STAGES, StageTimes, summary_of

NETWORK = STAGES.index("network")
PASSES = 2  # over the images, at least: each image then runs once in stages first, and once as a whole


def in_stages(opened: TimedSession, row: IndexEntry) -> list[float]:
    """Run an image with a clock around each stage. Return the seconds of `STAGES`.

    The device is synchronised behind each stage. Of an image that a window slides over, a stage has the sum over its
    windows.
    """
    image, decode_s = clock.with_seconds(lambda: read_image(row["image"]))
    inputs, normalize_s = clock.with_seconds(lambda: opened.normalize(image, row["image"]))
    ran = [_input_in_stages(opened.session, inputs[number : number + 1]) for number in range(len(inputs))]
    return [decode_s, normalize_s, *map(sum, zip(*ran, strict=True))]


def _input_in_stages(session: Session, inputs: Float32Image) -> list[float]:
    """Run one 1×3×H×W input. Return the seconds of copy in, network, copy out."""

    def copy_in() -> None:
        session.upload(inputs)
        session.synchronize()

    def network() -> None:
        session.execute()
        session.synchronize()

    return [clock.elapsed_s(call) for call in (copy_in, network, session.download)]


def as_a_whole(opened: TimedSession, row: IndexEntry) -> float:
    """Run an image as a program does that times nothing inside, with one clock around everything. Return the seconds.

    The device is waited for once, before the class map is copied.
    """

    def run() -> None:
        inputs = opened.normalize(read_image(row["image"]), row["image"])
        for number in range(len(inputs)):
            opened.session.upload(inputs[number : number + 1])
            opened.session.execute()
            opened.session.synchronize()
            opened.session.download()

    return clock.elapsed_s(run)


def stages_of(opened: TimedSession, rows: Entries, timing: dict[str, Any]) -> StageTimes:
    """Warm up, then time whole passes for as long as a round. Do it again, within the bound of a round, when something
    else took the machine.
    """
    for row in rows:
        read_image(row["image"], row["image_sha256"])  # it checks the file, and leaves it in the page cache
    with clock.quiet():
        progress("warming up")
        again = itertools.cycle(rows)
        clock.warm_up(lambda: in_stages(opened, next(again))[NETWORK], clock.WarmUp(**timing["warm_up"]))
        for _ in range(1 + timing["max_repeats"]):
            watch = opened.watch()
            staged, wholes = _passes(opened, rows, timing["round_min_s"])
            seen = watch.stop()
            if not disturbed(seen, timing):
                break
    by_stage = dict(zip(STAGES, zip(*staged, strict=True), strict=True))
    return {
        "runs": len(wholes),
        "file_kinds": sorted({Path(row["image"]).suffix.lower().lstrip(".") for row in rows}),
        "file_bytes": int(statistics.median(Path(row["image"]).stat().st_size for row in rows)),
        "head": opened.head,
        "stages": {name: summary_of(list(times)) for name, times in by_stage.items()},
        "sum": summary_of([sum(times) for times in staged]),
        "end_to_end": summary_of(wholes),
        "contended": seen.contended(timing["contention_share"]),
        "throttled": seen.throttled,
    }


def _passes(opened: TimedSession, rows: Entries, least_s: float) -> tuple[list[list[float]], list[float]]:
    """Run every image in stages and as a whole, PASSES times at least, until the latter took `least_s` seconds. Return
    both times of each run.

    The order is stages, whole, whole, stages, and the other way round in every second pass, so that neither a drift nor
    the caches that a run leaves behind favour one of them.
    """
    staged: list[list[float]] = []
    wholes: list[float] = []
    ways: list[tuple[list[Any], Callable[[TimedSession, IndexEntry], Any]]]
    ways, passes = [(staged, in_stages), (wholes, as_a_whole)], 0
    while passes < PASSES or sum(wholes) < least_s:
        for number, row in enumerate(rows):
            for times, run in ways if (number + passes) % 2 == 0 else reversed(ways):
                times.append(run(opened, row))
        passes += 1
        progress("timing stages", len(wholes))
    return staged, wholes


def time_stages(request: Request) -> dict[str, Any]:
    """Open the engine in the child, and time the stages of the images of the rounds."""
    opened, timing = open_engine(request), request["timing"]
    facts = stages_of(opened, choose_images(read_index(request["index"]), timing), timing)
    return {**facts, "environment": environment_record(opened.machine, opened.threads, opened.cpus)}


@command
def main() -> None:
    """Parse the command line, and time under supervision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    engine_arguments(parser)
    job_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="record to write: a status, and the stages")
    args = parser.parse_args()
    name = f"{args.model.parent.name} {args.variant['name']} stages"
    variables = load(args.variant["engine"]).child_variables()
    outcome = run_stage(
        __file__, request_of(args), configured_limits(), name, [read_status(args.engine_status)], variables
    )
    write_status(args.out, name, outcome, {"model": args.model.parent.name, "variant": args.variant})


if __name__ == "__main__":
    stage(main, time_stages)
