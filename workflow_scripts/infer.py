"""Time one round of a variant, image by image, and keep its class maps.

Round 1 runs every image once, in order, and its class maps are scored. Later rounds time a seeded subset and keep
digests. With `--untimed` nothing is timed, to make a reference that is not a variant of the table.
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
from segbench.timing.disturbance import Disturbance
from segbench.timing.job import (
    Entries,
    RoundFacts,
    RoundRequest,
    TimedSession,
    choose_images,
    disturbed,
    engine_arguments,
    job_arguments,
    open_engine,
    request_of,
)
from segbench.timing.latencies import LatencyLine, latencies_writer


def infer(request: RoundRequest) -> RoundFacts:
    """Open the engine in the child, warm up, time the round's images, and write latencies and predictions."""
    opened, timing = open_engine(request), request["timing"]
    rows = choose_images(read_index(request["index"], request["shard"]), request["round"], timing, request["images"])
    work = Round(opened, rows, request)
    facts: RoundFacts = {"environment": environment_record(opened.machine, opened.threads, opened.cpus)}
    if timing is None:
        work.run(clock.Stop())
        return facts
    return {**facts, **work.run_undisturbed(timing)}


class Round:
    """One round on an opened engine: the images of `rows`, timed one by one."""

    def __init__(self, opened: TimedSession, rows: Entries, request: RoundRequest) -> None:
        self._opened, self._rows, self._request = opened, rows, request

    def run_undisturbed(self, timing: dict[str, Any]) -> RoundFacts:
        """Warm up and run. Run again, within a bound, when something else took the machine. Return facts."""
        progress("warming up")
        image = self._opened.image(self._rows[0])
        runs, steady = clock.warm_up(self._opened.session, image, clock.WarmUp(**timing["warm_up"]))
        stop = clock.Stop() if self._request["round"] == 1 else clock.Stop(timing["half_width"], timing["round_s"])
        tries: list[Disturbance] = []
        while not tries or (disturbed(tries[-1], timing) and len(tries) <= timing["max_repeats"]):
            tries.append(self.run(stop))
        return {
            "warm_up_runs": runs,
            "steady": steady,
            "contended": tries[-1].contended(timing["contention_share"]),
            "throttled": tries[-1].throttled,
            "contention_share": timing["contention_share"],
            "busy_threads": tries[-1].busy_threads,
            "repeats": len(tries) - 1,
            "disturbances": [one.record() for one in tries],
        }

    def run(self, stop: clock.Stop) -> Disturbance:
        """Run the images until `stop`. Write latencies and class maps, which a repeat replaces."""
        request = self._request
        doing = "running" if request["timing"] is None else "timing"
        size = self._opened.normalize.height, self._opened.normalize.width
        times: list[float] = []
        with (
            atomic(request["latencies"]) as latencies,
            latencies_writer(latencies) as add_line,
            PredictionsWriter(request["predictions"], *size, keep_maps=request["round"] == 1) as predictions,
            self._opened.image_source(self._rows, predictions) as source,
            clock.quiet(),
        ):
            watch = self._opened.watch(source.helpers)
            for done, (row, image) in enumerate(source.images(), 1):
                timed = clock.time_once(self._opened.session, image)
                times.append(timed.compute_s)
                add_line(LatencyLine(row["image_id"], timed.compute_s, timed.end_to_end_s, timed.device_s))
                source.save(row["image_id"], timed.class_map)
                progress(doing, done, len(self._rows))
                if stop.reached(times):
                    break
            source.finish()
            return watch.stop()


def run_round(request: RoundRequest, limits: Limits, outputs: dict[str, Path]) -> None:
    """Run the round under supervision in the parent. Write all its files, empty but valid where it could not run."""
    name = f"{Path(request['model']).parent.name} {request['variant']['name']}"
    name += " as reference" if request["timing"] is None else f" round {request['round']}"
    name += "" if request["shard"] == WHOLE else f" shard {request['shard']}"
    with atomic(outputs["latencies"]) as latencies, atomic(outputs["predictions"]) as predictions:
        asked = {**request, "latencies": str(latencies), "predictions": str(predictions)}
        variables = load(request["variant"]["engine"]).child_variables()
        outcome = run_stage(__file__, asked, limits, name, [read_status(request["engine_status"])], variables)
        if outcome.status != "ok":
            with latencies_writer(latencies), PredictionsWriter(predictions, 0, 0):
                pass  # no image: empty, but valid
    environment = outcome.result.pop("environment", None) or environment_record(this_machine(), request["threads"])
    write_record(outputs["environment"], {**environment, "config_hash": config_hash(request)})
    manifest = {path.name: sha256_of(path) for key, path in outputs.items() if key != "status"}
    facts = {"variant": request["variant"], "peak_rss_bytes": outcome.peak_rss_bytes, "manifest": manifest}
    write_status(outputs["status"], name, outcome, facts)


@command
def main() -> None:
    """Parse the command line and run the round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    engine_arguments(parser)
    job_arguments(parser, timing=False)
    parser.add_argument("--untimed", action="store_true", help="predictions only: no warm-up, no later rounds")
    parser.add_argument("--images", type=int, default=0, help="with --untimed: the first N images only (0: all)")
    parser.add_argument("--round", type=int, default=1, help="number of this round, from 1")
    parser.add_argument("--shard", default=WHOLE, help="which images, e.g. 2of7 (default: all)")
    for name in ("latencies", "predictions", "environment", "status"):
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"{name} file to write")
    args = parser.parse_args()
    request: RoundRequest = {
        **request_of(args),
        "round": args.round,
        "shard": args.shard,
        "images": args.images,
        "latencies": "",  # the parent names them
        "predictions": "",
    }
    if args.untimed:
        request["timing"] = None
    outputs = {name: getattr(args, name) for name in ("latencies", "predictions", "environment", "status")}
    run_round(request, configured_limits(), outputs)


if __name__ == "__main__":
    stage(main, infer)
