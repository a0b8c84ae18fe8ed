"""Time a variant by MLCommons LoadGen (SingleStream) and by our own clock in one process, and compare the two.

Ours, LoadGen, LoadGen, ours, again and again: a drift of the machine hits both alike. LoadGen's latency runs from its
query to our answer and contains the copies of the input and of the class map, so it is compared with `end_to_end_s`;
the runs that LoadGen times are also timed by our clock. All images are normalised before.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
from pathlib import Path
from typing import Any

from segbench.arrays import Float32Image
from segbench.engines.base import Session
from segbench.errors import Unsupported
from segbench.files import read_json, write_record
from segbench.images.index import read_index
from segbench.machine.cpu import package_version, this_machine
from segbench.machine.environment import config_hash, environment_record
from segbench.process.lifetime import command
from segbench.process.limits import Limits, configured_limits
from segbench.process.supervise import Outcome, progress, stage, supervise
from segbench.timing import clock
from segbench.timing.job import choose_images, open_engine

PACKAGE = "mlcommons-loadgen"
LIBRARY_IMAGES = 16  # held in memory at once: 25 MB each at 1024×2048
TURNS = 2  # ours, LoadGen, LoadGen, ours
MEDIAN = "result_50.00_percentile_latency_ns"


def time_loadgen(request: dict[str, Any]) -> dict[str, Any]:
    """In the child: warm up, then time `queries` runs four times in each of `turns`. Returns medians in seconds and
    their ratios (LoadGen's over ours), of runs that alternate and of the runs that both timed."""
    if package_version(PACKAGE) is None:
        raise Unsupported(f"package {PACKAGE} is not installed (make env-loadgen)")
    timing = request["timing"]
    opened = open_engine(request)
    chosen = {**timing, "images_per_round": LIBRARY_IMAGES}
    # The normaliser reuses its buffer: each image is kept as a copy.
    images = [opened.image(row).copy() for row in choose_images(read_index(request["index"]), 2, chosen, 0)]
    progress("warming up")
    runs, steady = clock.warm_up(opened.session, images[0], clock.WarmUp(**timing["warm_up"]))
    watch = opened.watch()
    clocks = {"ours": by_us, "LoadGen": by_loadgen}
    medians: dict[str, list[float]] = {name: [] for name in ("ours", "LoadGen", "same runs")}
    order = ("ours", "LoadGen", "LoadGen", "ours") * request.get("turns", TURNS)
    for number, name in enumerate(order):
        with clock.quiet():
            by_clock = clocks[name](opened.session, images, timing["queries"])
        for key, median in by_clock.items():
            medians[key].append(median)
        progress("timing", number + 1, len(order))
    seen = watch.stop()
    return {
        "ours_s": medians["ours"],
        "loadgen_s": medians["LoadGen"],
        "loadgen_by_us_s": medians["same runs"],
        "ratio": math.exp(_log_mean(medians["LoadGen"]) - _log_mean(medians["ours"])),
        "ratio_of_same_runs": math.exp(_log_mean(medians["LoadGen"]) - _log_mean(medians["same runs"])),
        "queries": timing["queries"],
        "warm_up_runs": runs,
        "steady": steady,
        "contended": seen.contended(timing["contention_share"]),
        "throttled": seen.throttled,
        "loadgen_version": package_version(PACKAGE),
        "environment": environment_record(opened.machine, opened.threads, opened.cpus),
    }


def _log_mean(values: list[float]) -> float:
    return statistics.fmean(math.log(value) for value in values)


def by_us(session: Session, images: list[Float32Image], count: int) -> dict[str, float]:
    """Median `end_to_end_s` of `count` runs, the images in turn."""
    times = [clock.time_once(session, images[number % len(images)]).end_to_end_s for number in range(count)]
    return {"ours": statistics.median(times)}


def by_loadgen(session: Session, images: list[Float32Image], count: int) -> dict[str, float]:
    """LoadGen's own median latency in seconds of `count` queries, each for one of the images at its choice, and the
    median `end_to_end_s` of these same runs."""
    import mlperf_loadgen as loadgen

    times: list[float] = []

    def answer(queries: Any) -> None:
        for query in queries:
            timed = clock.time_once(session, images[query.index])
            times.append(timed.end_to_end_s)
            class_map = timed.class_map
            response = loadgen.QuerySampleResponse(query.id, class_map.ctypes.data, class_map.nbytes)
            loadgen.QuerySamplesComplete([response])

    settings = loadgen.TestSettings()
    settings.scenario = loadgen.TestScenario.SingleStream
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.min_query_count = settings.max_query_count = count
    settings.min_duration_ms = 0
    with tempfile.TemporaryDirectory() as folder:
        log = loadgen.LogSettings()
        log.log_output.outdir = folder
        log.enable_trace = False
        library = loadgen.ConstructQSL(len(images), len(images), lambda _: None, lambda _: None)
        system = loadgen.ConstructSUT(answer, lambda: None)
        loadgen.StartTestWithLogSettings(system, library, settings, log, "")
        loadgen.DestroySUT(system)
        loadgen.DestroyQSL(library)
        theirs = median_of_log((Path(folder) / "mlperf_log_detail.txt").read_text(encoding="utf-8"))
    return {"LoadGen": theirs, "same runs": statistics.median(times)}


def median_of_log(text: str) -> float:
    """Median latency in seconds from the text of LoadGen's mlperf_log_detail.txt. Raises ValueError without one."""
    for line in text.splitlines():
        _, _, entry = line.partition(":::MLLOG ")
        if MEDIAN in entry:
            return float(json.loads(entry)["value"]) * 1e-9
    raise ValueError(f"LoadGen's log has no {MEDIAN}")


def run(request: dict[str, Any], limits: Limits, out: Path) -> None:
    """In the parent: time under supervision, write the record."""
    name = f"{Path(request['model']).parent.name} {request['variant']['name']} by LoadGen"
    built = read_json(request["engine_status"])
    outcome = Outcome(built["status"], built["reason"])
    if built["status"] == "ok":
        outcome = supervise(__file__, request, limits, name)
    facts = {"status": outcome.status, "reason": outcome.reason, "config_hash": config_hash(request)}
    write_record(out, {**facts, "environment": environment_record(this_machine(), 0), **outcome.result})
    told = f"{outcome.result['ratio']:.4f} of our own median" if outcome.status == "ok" else outcome.reason
    print(f"{name}: {outcome.status}: {told}")


@command
def main() -> None:
    """Parse the command line and time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", type=Path, required=True, help="folder of the built engine")
    parser.add_argument("--engine-status", type=Path, required=True, help="its status.json")
    parser.add_argument("--model", type=Path, required=True, help="model.json of the exported model")
    parser.add_argument("--index", type=Path, required=True, help="index.csv of the images to run")
    parser.add_argument("--variant", type=json.loads, required=True, help="JSON: name, engine, precision")
    parser.add_argument("--options", type=json.loads, default={}, help="JSON: the engine's run options")
    parser.add_argument("--timing", type=json.loads, required=True, help="JSON: section timing, with queries")
    parser.add_argument("--threads", type=int, default=0, help="engine threads (0: one per core of a socket)")
    parser.add_argument("--out", type=Path, required=True, help="record to write")
    a = parser.parse_args()
    request = {
        "engine": str(a.engine), "engine_status": str(a.engine_status), "model": str(a.model), "index": str(a.index),
        "variant": a.variant, "options": a.options, "timing": a.timing, "threads": a.threads,
    }  # fmt: skip
    run(request, configured_limits(), a.out)


if __name__ == "__main__":
    stage(main, time_loadgen)
