"""Test whether an engine's times contain the device's work: `make gpu-check` runs it on every row's engine."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from segbench.files import write_json
from segbench.images.index import read_index
from segbench.process.lifetime import command
from segbench.process.limits import configured_limits
from segbench.process.supervise import progress, stage, supervise
from segbench.timing import clock, synchronization
from segbench.timing.job import open_engine


def check(request: dict[str, Any]) -> dict[str, Any]:
    """In the child: open the engine and test its session on the first image."""
    opened = open_engine(request)
    image = opened.image(read_index(request["index"])[0])
    progress("testing the synchronisation")
    with clock.quiet():
        return synchronization.check(opened.session, image)


@command
def main() -> None:
    """Parse the command line and test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", type=Path, required=True, help="folder of the built engine")
    parser.add_argument("--engine-status", type=Path, required=True, help="its status.json")
    parser.add_argument("--model", type=Path, required=True, help="model.json of the exported model")
    parser.add_argument("--index", type=Path, required=True, help="index.csv; its first image is run")
    parser.add_argument("--variant", type=json.loads, required=True, help="JSON: name, engine, precision")
    parser.add_argument("--options", type=json.loads, default={}, help="JSON: the engine's run options")
    parser.add_argument("--threads", type=int, default=0, help="engine threads (0: all physical cores)")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args()
    request = {
        "engine": str(args.engine), "engine_status": str(args.engine_status), "model": str(args.model),
        "index": str(args.index), "variant": args.variant, "options": args.options, "threads": args.threads,
        "timing": None,
    }  # fmt: skip
    name = f"{args.model.parent.name} {args.variant['name']} synchronisation"
    outcome = supervise(__file__, request, configured_limits(), name)
    write_json(args.out, {"status": outcome.status, "reason": outcome.reason, **outcome.result})
    print(
        f"{name}: {outcome.status} {outcome.reason or outcome.result['say'] or outcome.result['without_synchronizing']}"
    )


if __name__ == "__main__":
    stage(main, check)
