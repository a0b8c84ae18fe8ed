"""Test whether an engine's times contain the device's work: `make gpu-check` runs it on every row's engine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from segbench.images.index import read_index
from segbench.process.lifetime import command
from segbench.process.limits import configured_limits
from segbench.process.status import read_status, run_stage, write_status
from segbench.process.supervise import progress, stage
from segbench.timing import clock, synchronization
from segbench.timing.job import open_engine
from segbench.timing.request import Request, engine_arguments, job_arguments, request_of


def check(request: Request) -> dict[str, Any]:
    """In the child: open the engine and test its session on the first image."""
    opened = open_engine(request)
    image = opened.image(read_index(request["index"])[0])[:1]
    progress("testing the synchronisation")
    with clock.quiet():
        return synchronization.check(opened.session, image)


@command
def main() -> None:
    """Parse the command line and test."""
    parser = argparse.ArgumentParser(description=__doc__)
    engine_arguments(parser)
    job_arguments(parser, timing=False)
    parser.add_argument("--out", type=Path, required=True, help="record to write")
    args = parser.parse_args()
    request = request_of(args)
    name = f"{Path(request['model']).parent.name} {request['variant']['name']} synchronisation"
    outcome = run_stage(__file__, request, configured_limits(), name, [read_status(request["engine_status"])])
    write_status(args.out, name, outcome, {})
    if outcome.status == "ok":
        print(f"{name}: {outcome.result['say'] or outcome.result['without_synchronizing']}")


if __name__ == "__main__":
    stage(main, check)
