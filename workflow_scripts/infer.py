"""Time one round of a variant, image by image, and keep its class maps.

Round 1 runs every image once, in order, and its class maps are scored; later rounds time a seeded subset and keep
digests. With `--untimed` nothing is timed: that is how a reference that is not a variant of the table is made.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

from segbench.files import atomic, read_json, sha256_of, write_record
from segbench.images.index import read_index
from segbench.images.shards import WHOLE
from segbench.machine.cpu import this_machine
from segbench.machine.environment import config_hash, environment_record
from segbench.process.lifetime import command
from segbench.process.limits import Limits, configured_limits
from segbench.process.supervise import progress, stage, supervise
from segbench.scoring.predictions import PredictionsWriter
from segbench.timing import clock
from segbench.timing.disturbance import Disturbance
from segbench.timing.job import Opened, Rows, choose_images, disturbed, open_engine

COLUMNS = ("image", "compute_s", "end_to_end_s")


def infer(request: dict[str, Any]) -> dict[str, Any]:
    """In the child: open the engine, warm up, time the round's images, write latencies and predictions."""
    opened, timing = open_engine(request), request["timing"]
    rows = choose_images(
        read_index(request["index"], request.get("shard", WHOLE)), request["round"], timing, request["images"]
    )
    work = Round(opened, rows, request)
    facts = {"environment": environment_record(opened.machine, opened.threads, opened.cpus)}
    if timing is None:
        work.run(clock.Stop())
        return facts
    return facts | work.run_undisturbed(timing)


class Round:
    """One round on an opened engine: the images of `rows`, timed one by one."""

    def __init__(self, opened: Opened, rows: Rows, request: dict[str, Any]) -> None:
        self._opened, self._rows, self._request = opened, rows, request

    def run_undisturbed(self, timing: dict[str, Any]) -> dict[str, Any]:
        """Warm up and run; run again, within a bound, when something else took the machine. Returns facts."""
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
            "busy_threads": tries[-1].busy_threads,
            "repeats": len(tries) - 1,
            "disturbances": [one.record() for one in tries],
        }

    def run(self, stop: clock.Stop) -> Disturbance:
        """Run the images, until `stop`; write latencies and class maps (a repeat replaces them)."""
        request = self._request
        doing = "running" if request["timing"] is None else "timing"
        size = self._opened.normalize.height, self._opened.normalize.width
        times: list[float] = []
        with (
            atomic(request["latencies"]) as latencies,
            open(latencies, "w", newline="") as stream,
            PredictionsWriter(request["predictions"], *size, keep_maps=request["round"] == 1) as predictions,
            self._opened.feed(self._rows, predictions) as feed,
            clock.quiet(),
        ):
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(COLUMNS)
            watch = self._opened.watch(feed.helpers)
            for done, (row, image) in enumerate(feed.images(), 1):
                timed = clock.time_once(self._opened.session, image)
                times.append(timed.compute_s)
                table.writerow((row["image_id"], f"{timed.compute_s:.9f}", f"{timed.end_to_end_s:.9f}"))
                feed.save(row["image_id"], timed.class_map)
                progress(doing, done, len(self._rows))
                if stop.reached(times):
                    break
            feed.finish()
            return watch.stop()


def run_round(request: dict[str, Any], limits: Limits, outputs: dict[str, Path]) -> None:
    """In the parent: run the round under supervision; write all its files, empty but valid where it could not run."""
    built = read_json(request["engine_status"])
    name = f"{Path(request['model']).parent.name} {request['variant']['name']}"
    name += " as reference" if request["timing"] is None else f" round {request['round']}"
    name += "" if request["shard"] == WHOLE else f" shard {request['shard']}"
    with atomic(outputs["latencies"]) as latencies, atomic(outputs["predictions"]) as predictions:
        files = {"latencies": str(latencies), "predictions": str(predictions)}
        if built["status"] == "ok":
            outcome = supervise(__file__, {**request, **files}, limits, name)
            status, reason, result = outcome.status, outcome.reason, outcome.result
            peak = outcome.peak_rss_bytes
        else:
            status, reason, result, peak = built["status"], built["reason"], {}, None
        if status != "ok":
            latencies.write_text(",".join(COLUMNS) + "\n")
            with PredictionsWriter(predictions, 0, 0):
                pass
    environment = result.pop("environment", None) or environment_record(this_machine(), request["threads"] or 0)
    write_record(outputs["environment"], {**environment, "config_hash": config_hash(request)})
    record = {"status": status, "reason": reason, "variant": request["variant"], "peak_rss_bytes": peak, **result}
    manifest = {path.name: sha256_of(path) for key, path in outputs.items() if key != "status"}
    write_record(outputs["status"], {**record, "manifest": manifest})
    print(f"{name}: {status} {reason}".strip())


@command
def main() -> None:
    """Parse the command line and run the round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", type=Path, required=True, help="folder of the built engine")
    parser.add_argument("--engine-status", type=Path, required=True, help="its status.json")
    parser.add_argument("--model", type=Path, required=True, help="model.json of the exported model")
    parser.add_argument("--index", type=Path, required=True, help="index.csv of the images to run")
    parser.add_argument("--decoded", type=Path, help="decoded.json of these images (none: decode them when used)")
    parser.add_argument("--variant", type=json.loads, required=True, help="JSON: name, engine, precision")
    parser.add_argument("--options", type=json.loads, default={}, help="JSON: the engine's run options")
    parser.add_argument("--timing", type=json.loads, default=None, help="JSON: seed, images_per_round, warm_up")
    parser.add_argument("--untimed", action="store_true", help="predictions only: no warm-up, no later rounds")
    parser.add_argument("--images", type=int, default=0, help="with --untimed: the first N images only (0: all)")
    parser.add_argument("--threads", type=int, default=0, help="engine threads (0: one per core of a socket)")
    parser.add_argument("--round", type=int, default=1, help="number of this round, from 1")
    parser.add_argument("--shard", default=WHOLE, help="which images, e.g. 2of7 (default: all)")
    for name in ("latencies", "predictions", "environment", "status"):
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"{name} file to write")
    a = parser.parse_args()
    request = {
        "engine": str(a.engine), "engine_status": str(a.engine_status), "model": str(a.model), "index": str(a.index),
        "variant": a.variant, "options": a.options, "timing": None if a.untimed else a.timing, "threads": a.threads,
        "round": a.round, "shard": a.shard, "images": a.images, "decoded": a.decoded and str(a.decoded),
    }  # fmt: skip
    outputs = {name: getattr(a, name) for name in ("latencies", "predictions", "environment", "status")}
    run_round(request, configured_limits(), outputs)


if __name__ == "__main__":
    stage(main, infer)
