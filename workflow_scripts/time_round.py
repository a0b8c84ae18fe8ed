"""Time one round of a variant: a process that warms up, and then times the same images as every other round.

It keeps every latency, and a digest of each class map, which shows whether the accuracy pass computed the same.
"""

from __future__ import annotations

import argparse
import json
import os
from contextlib import ExitStack
from pathlib import Path

from segbench.engines.base import load
from segbench.files import atomic, sha256_of, write_record
from segbench.machine.cpu import this_machine
from segbench.machine.environment import config_hash, environment_record
from segbench.process.lifetime import command
from segbench.process.limits import Limits, configured_limits
from segbench.process.status import read_status, run_stage, write_status
from segbench.process.supervise import stage
from segbench.timing.latencies import write_latencies
from segbench.timing.request import RoundFacts, RoundRequest, engine_arguments, job_arguments, request_of

WRITTEN = ("latencies", "replaced", "predictions")  # files that the child writes


def time_round(request: RoundRequest) -> RoundFacts:
    """Time the round in the child. The parent, which only waits, does without what that imports."""
    from segbench.timing.rounds import time_round

    return time_round(request)


def run_round(request: RoundRequest, limits: Limits, outputs: dict[str, Path], beside: str) -> None:
    """Run the round under supervision in the parent. Write all its files, empty but valid where it could not run."""
    name = f"{Path(request['model']).parent.name} {request['variant']['name']} round {request['round']}"
    name += f", the control beside {beside}" if beside else ""
    with ExitStack() as stack:
        paths = {key: stack.enter_context(atomic(outputs[key])) for key in WRITTEN}
        asked = {**request, **{key: str(path) for key, path in paths.items()}}
        variables = load(request["variant"]["engine"]).child_variables()
        outcome = run_stage(__file__, asked, limits, name, [read_status(request["engine_status"])], variables)
        if outcome.status != "ok":
            from segbench.scoring.predictions import PredictionsWriter

            # Nothing was timed: the files are empty, but valid.
            for key in ("latencies", "replaced"):
                write_latencies(paths[key], [])
            with PredictionsWriter(paths["predictions"], 0, 0, keep_maps=False):
                pass
    environment = outcome.result.pop("environment", None) or environment_record(this_machine(), request["threads"])
    write_record(outputs["environment"], {**environment, "config_hash": config_hash(request)})
    manifest = {path.name: sha256_of(path) for key, path in outputs.items() if key != "status"}
    facts = {"variant": request["variant"], "peak_rss_bytes": outcome.peak_rss_bytes, "manifest": manifest}
    block = None if beside else os.environ.get("SEGBENCH_BLOCK")
    write_status(outputs["status"], name, outcome, {**facts, "block": block, "wall_s": outcome.wall_s})


@command
def main() -> None:
    """Parse the command line and run the round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    engine_arguments(parser)
    job_arguments(parser)
    parser.add_argument("--round", type=int, default=1, help="number of this round, from 1")
    parser.add_argument("--energy", type=json.loads, help="JSON: the section energy (none: it is not measured)")
    parser.add_argument("--beside", default="", help="for the log, where this is a control: the model of its block")
    outputs = (*WRITTEN, "environment", "status")
    for name in outputs:
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"{name} file to write")
    args = parser.parse_args()
    request: RoundRequest = {
        **request_of(args),
        "round": args.round,
        "energy": args.energy,
        "latencies": "",  # the parent names them
        "replaced": "",
        "predictions": "",
    }
    run_round(request, configured_limits(), {name: getattr(args, name) for name in outputs}, args.beside)


if __name__ == "__main__":
    stage(main, time_round)
