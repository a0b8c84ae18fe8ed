"""Time a variant by MLCommons LoadGen (SingleStream) and by our own clock in one process, and compare the two.

The order is ours, LoadGen, LoadGen, ours, again and again, so that a drift of the machine hits both alike. LoadGen's
latency runs from its query to our answer. It contains the copies of the input and of the class map, so it is compared
with `end_to_end_s`. Our clock also times the runs that LoadGen times. All images are normalised before.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from segbench.arrays import Float32Image
from segbench.engines.base import Session, load
from segbench.errors import Unsupported
from segbench.images.index import read_index
from segbench.machine.cpu import package_version, this_machine
from segbench.machine.environment import config_hash, environment_record
from segbench.process.lifetime import command
from segbench.process.limits import Limits, configured_limits
from segbench.process.status import read_status, run_stage, write_status
from segbench.process.supervise import progress, stage
from segbench.timing import clock
from segbench.timing.job import choose_images, open_engine
from segbench.timing.request import Request, engine_arguments, job_arguments, request_of

PACKAGE = "mlcommons-loadgen"
LIBRARY_IMAGES = 16  # held in memory at once; each takes 25 MB at 1024×2048
TURNS = 2  # ours, LoadGen, LoadGen, ours
MEDIAN = "result_50.00_percentile_latency_ns"


class LoadgenRequest(Request):
    """The child's request."""

    turns: int  # of four stretches each


def time_loadgen(request: LoadgenRequest) -> dict[str, Any]:
    """Warm up in the child, then time `queries` runs four times in each of `turns`. Return medians in seconds and
    their ratios (LoadGen's over ours), of runs that alternate and of the runs that both timed.
    """
    if package_version(PACKAGE) is None:
        raise Unsupported(f"package {PACKAGE} is not installed (make env-loadgen)")
    timing = request["timing"]
    opened = open_engine(request)
    chosen = {**timing, "images_per_round": LIBRARY_IMAGES}
    # The normaliser reuses its buffer: each image is kept as a copy.
    images = [opened.image(row).copy() for row in choose_images(read_index(request["index"]), chosen)]
    progress("warming up")
    runs, steady = clock.warm_up_on(opened.session, images[0], clock.WarmUp(**timing["warm_up"]))
    watch = opened.watch()
    clocks = {"ours": by_us, "LoadGen": by_loadgen}
    medians: dict[str, list[float]] = {name: [] for name in ("ours", "LoadGen", "same runs")}
    order = ("ours", "LoadGen", "LoadGen", "ours") * request["turns"]
    for number, name in enumerate(order):
        with clock.quiet():
            by_clock = clocks[name](opened.session, images, timing["queries"])
        for key, median in by_clock.items():
            medians[key].append(median)
        progress("timing", number + 1, len(order))
    seen = watch.stop()
    means = {name: statistics.geometric_mean(found) for name, found in medians.items()}
    return {
        "ours_s": medians["ours"],
        "loadgen_s": medians["LoadGen"],
        "loadgen_by_us_s": medians["same runs"],
        "ratio": means["LoadGen"] / means["ours"],
        "ratio_of_same_runs": means["LoadGen"] / means["same runs"],
        "queries": timing["queries"],
        "warm_up_runs": runs,
        "steady": steady,
        "contended": seen.contended(timing["contention_share"]),
        "throttled": seen.throttled,
        "loadgen_version": package_version(PACKAGE),
        "environment": environment_record(opened.machine, opened.threads, opened.cpus),
    }


def by_us(session: Session, images: list[Float32Image], count: int) -> dict[str, float]:
    """Return the median `end_to_end_s` of `count` runs on the images in turn."""
    times = [clock.time_once(session, images[number % len(images)]).end_to_end_s for number in range(count)]
    return {"ours": statistics.median(times)}


def by_loadgen(session: Session, images: list[Float32Image], count: int) -> dict[str, float]:
    """Return LoadGen's own median latency in seconds of `count` queries, and the median `end_to_end_s` of the same
    runs. LoadGen chooses the image of each query.
    """
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
    """Read the median latency in seconds from LoadGen's mlperf_log_detail.txt. Raises ValueError without one."""
    for line in text.splitlines():
        _, _, entry = line.partition(":::MLLOG ")
        if MEDIAN in entry:
            return float(json.loads(entry)["value"]) * 1e-9
    raise ValueError(f"LoadGen's log has no {MEDIAN}")


def run(request: LoadgenRequest, limits: Limits, out: Path) -> None:
    """Time under supervision in the parent, and write the record."""
    name = f"{Path(request['model']).parent.name} {request['variant']['name']} by LoadGen"
    variables = load(request["variant"]["engine"]).child_variables()
    outcome = run_stage(__file__, request, limits, name, [read_status(request["engine_status"])], variables)
    facts = {"config_hash": config_hash(request), "environment": environment_record(this_machine(), 0)}
    write_status(out, name, outcome, facts)
    if outcome.status == "ok":
        print(f"{name}: {outcome.result['ratio']:.4f} of our own median")


@command
def main() -> None:
    """Parse the command line and time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    engine_arguments(parser)
    job_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="record to write")
    args = parser.parse_args()
    run({**request_of(args), "turns": TURNS}, configured_limits(), args.out)


if __name__ == "__main__":
    stage(main, time_loadgen)
