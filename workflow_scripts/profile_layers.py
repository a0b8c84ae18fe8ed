"""Let an engine time its own layers, to say where a row's time goes. No latency of the table comes from here.

The engine's profiler is on, which costs time too. The script runs the images of the timed rounds, one pass to warm up
and then whole passes for as long as a round.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from segbench.engines.base import ProfiledSession, load
from segbench.images.index import read_index
from segbench.process.lifetime import command
from segbench.process.limits import configured_limits
from segbench.process.status import read_status, run_stage, write_status
from segbench.process.supervise import progress, stage
from segbench.timing import clock
from segbench.timing.job import Entries, TimedSession, choose_images, open_engine
from segbench.timing.layers import Profile, profile_of
from segbench.timing.request import Request, engine_arguments, job_arguments, request_of

PASSES = 2  # timed ones, at least: quartiles need two runs


def run_each(opened: TimedSession, rows: Entries) -> Iterator[float]:
    """Run every input of the images, each window of a sliding one by itself. Yield the seconds of each."""
    for row in rows:
        inputs = opened.image(row)
        for number in range(len(inputs)):
            yield clock.time_once(opened.session, inputs[number : number + 1]).compute_s


def profile(request: Request) -> Profile:
    """Open the engine in the child with its profiler on, and run the images."""
    opened, timing = open_engine(request, profiled=True), request["timing"]
    rows = choose_images(read_index(request["index"]), timing)
    runs_s: list[float] = []
    with clock.quiet():
        list(run_each(opened, rows))
        passes = 0
        while passes < PASSES or sum(runs_s) < timing["round_min_s"]:
            runs_s += run_each(opened, rows)
            passes += 1
            progress("timing layers", len(runs_s))
    layers = cast(ProfiledSession, opened.session).layers()
    return profile_of(layers, runs_s)


@command
def main() -> None:
    """Parse the command line, and profile under supervision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    engine_arguments(parser)
    job_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="layers.json to write: a status, and the layers")
    args = parser.parse_args()
    request = request_of(args)
    name = f"{args.model.parent.name} {args.variant['name']} layers"
    variables = load(args.variant["engine"]).child_variables()
    outcome = run_stage(__file__, request, configured_limits(), name, [read_status(args.engine_status)], variables)
    write_status(args.out, name, outcome, {"variant": args.variant})


if __name__ == "__main__":
    stage(main, profile)
