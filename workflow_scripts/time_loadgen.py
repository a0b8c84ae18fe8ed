"""Time a variant by MLCommons LoadGen and by our own clock in one process, and compare the two.

LoadGen's scenario is SingleStream for single images, MultiStream for batches (a query is a batch), and Offline for
streams: all samples come at once, and a stream takes the next one when it is done with one. Any variant can be timed
in Offline (`--scenario`).

The order is ours, LoadGen, LoadGen, ours, again and again, so that a drift of the machine hits both alike. LoadGen's
latency runs from its query to our answer. It contains the copies of the input and of the class map, so it is compared
with `end_to_end_s`. Our clock also times the runs that LoadGen times. All images are normalised before, and lie in
memory in the order of LoadGen's samples: a batch is a view of them, so that neither clock sees it copied together.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from segbench.arrays import ClassMap, Float32Image
from segbench.config.options import Variant
from segbench.engines.base import Session, load
from segbench.errors import InputError, Unsupported
from segbench.images.index import read_index
from segbench.machine.cpu import package_version, this_machine
from segbench.machine.environment import config_hash, environment_record
from segbench.process.lifetime import command
from segbench.process.limits import Limits, configured_limits
from segbench.process.status import read_status, run_stage, write_status
from segbench.process.supervise import progress, stage
from segbench.timing import clock
from segbench.timing.job import TimedSession, choose_images, open_engine
from segbench.timing.request import Request, engine_arguments, job_arguments, request_of

PACKAGE = "mlcommons-loadgen"
LIBRARY_IMAGES = 16  # held in memory at once; each takes 25 MB at 1024×2048
TURNS = 2  # ours, LoadGen, LoadGen, ours
OFFLINE = "Offline"


class Scenario(NamedTuple):
    """What one of LoadGen's scenarios measures: the key of its figure in the log, the figure's unit here, and how many
    of these units are 1 in the log.
    """

    key: str
    unit: str
    scale: float


SCENARIOS = {
    "SingleStream": Scenario("result_50.00_percentile_latency_ns", "s", 1e-9),
    "MultiStream": Scenario("result_50.00_percentile_per_query_latency_ns", "s", 1e-9),
    OFFLINE: Scenario("result_samples_per_second", "images_per_s", 1),
}
OF_VARIANT = {"single": "SingleStream", "batch": "MultiStream", "streams": OFFLINE}

# What answers a query: its samples as (id, index), and the call that hands over finished ones with their class maps.
Sample = tuple[int, int]
Complete = Callable[[Sequence[Sample], Sequence[ClassMap]], None]


class LoadgenRequest(Request):
    """The child's request."""

    turns: int  # of four stretches each
    scenario: str | None  # of SCENARIOS; None: the variant's own


def time_loadgen(request: LoadgenRequest) -> dict[str, Any]:
    """Warm up in the child, then time `queries` queries four times in each of `turns`. Return the figures of both
    clocks, in `unit`, and the ratios of LoadGen's time to ours, of runs that alternate and of the runs that both timed.
    A ratio above 1 says that LoadGen's is slower, whatever the unit.
    """
    if package_version(PACKAGE) is None:
        raise Unsupported(f"package {PACKAGE} is not installed (make env-loadgen)")
    scenario = scenario_of(Variant(**request["variant"]), request["scenario"])
    timing = request["timing"]
    opened = open_engine(request, one_by_one=False)
    chosen = choose_images(read_index(request["index"]), {**timing, "images_per_round": LIBRARY_IMAGES})
    # The normaliser reuses its buffer: each image is kept as a copy.
    both = Both(opened, [opened.image(row).copy() for row in chosen], scenario, timing["queries"])
    progress("warming up")
    runs, steady = clock.warm_up(both.warm, clock.WarmUp(**timing["warm_up"]))
    watch = opened.watch()
    clocks = {"ours": both.by_us, "LoadGen": both.by_loadgen}
    figures: dict[str, list[float]] = {name: [] for name in ("ours", "LoadGen", "same runs")}
    order = ("ours", "LoadGen", "LoadGen", "ours") * request["turns"]
    for number, name in enumerate(order):
        with clock.quiet():
            by_clock = clocks[name]()
        for key, figure in by_clock.items():
            figures[key].append(figure)
        progress("timing", number + 1, len(order))
    seen = watch.stop()
    unit = SCENARIOS[scenario].unit
    means = {name: statistics.geometric_mean(found) for name, found in figures.items()}
    return {
        "scenario": scenario,
        "unit": unit,
        "ours": figures["ours"],
        "loadgen": figures["LoadGen"],
        "loadgen_by_us": figures["same runs"],
        "ratio": slower(means["LoadGen"], means["ours"], unit),
        "ratio_of_same_runs": slower(means["LoadGen"], means["same runs"], unit),
        "queries": timing["queries"],
        "images": both.images,
        "warm_up_runs": runs,
        "steady": steady,
        "contended": seen.contended(timing["contention_share"]),
        "throttled": seen.throttled,
        "loadgen_version": package_version(PACKAGE),
        "environment": environment_record(opened.machine, opened.threads, opened.cpus),
    }


def scenario_of(variant: Variant, asked: str | None) -> str:
    """Return LoadGen's scenario for a variant. Raises InputError for one that does not run images as it does."""
    own = OF_VARIANT[variant.scenario]
    if asked not in (None, own, OFFLINE):
        known = " or ".join(dict.fromkeys((own, OFFLINE)))
        raise InputError(f"--scenario: {asked} is not how {variant.name} runs images; give {known}")
    return asked or own


def slower(theirs: float, ours: float, unit: str) -> float:
    """Return the ratio of their time to ours, from figures in `unit`."""
    return theirs / ours if unit == "s" else ours / theirs


class Library:
    """The images that all stretches run, in the order of LoadGen's samples. `batch` of them run at once."""

    def __init__(self, images: Sequence[Float32Image], batch: int) -> None:
        self._images, self._batch = dict(enumerate(images)), batch
        self._order: list[int] = []
        self.lay_out(range(len(images)))

    def lay_out(self, samples: Iterable[int]) -> None:
        """Take on the order of `samples`. For a batch the images then lie one behind the other in it, and the first
        ones once more behind the last: LoadGen's queries are consecutive samples.
        """
        order = list(dict.fromkeys(samples))
        if order == self._order:
            return
        self._order = order
        if self._batch > 1:
            row = [*order, *(order[at % len(order)] for at in range(self._batch - 1))]
            self._laid = np.concatenate([self._images[index] for index in row])
            self._images = {index: self._laid[at : at + 1] for at, index in enumerate(order)}

    def __len__(self) -> int:
        return len(self._images)

    def inputs(self, indices: Sequence[int]) -> Float32Image:
        """Return the inputs of `indices`, which run at once, uncopied. Raises ValueError for a batch of samples that do
        not follow each other.
        """
        if self._batch == 1:
            return self._images[indices[0]]
        at = self._order.index(indices[0])
        if list(indices) != self._following(at):
            raise ValueError(f"LoadGen's query {list(indices)} is not of consecutive samples of {self._order}")
        return self._laid[at : at + self._batch]

    def in_turn(self, count: int) -> Iterator[Float32Image]:
        """Yield the inputs of `count` runs, all images in turn, again and again."""
        for number in range(count):
            yield self.inputs(self._following(number * self._batch))

    def _following(self, at: int) -> list[int]:
        return [self._order[number % len(self._order)] for number in range(at, at + self._batch)]


class Both:
    """Times stretches of runs of an opened engine, by our clock and by LoadGen's. `images`: how many a stretch has."""

    def __init__(self, opened: TimedSession, images: list[Float32Image], scenario: str, queries: int) -> None:
        self._opened, self._scenario, self._queries = opened, scenario, queries
        if (opened.batch > 1 or opened.streams) and any(len(image) > 1 for image in images):
            raise Unsupported("a window slides over this model's images; batches and streams are of whole images")
        self._library = Library(images, opened.batch)
        self.images = queries * opened.batch
        if scenario == OFFLINE:  # one query of so many samples; no batch is left half full, and no stream without one
            together = opened.batch * max(1, len(opened.streams))
            self.images = -(-queries // together) * together

    def warm(self) -> float:
        """Run once, in each stream. Return the seconds of an image."""
        if self._opened.streams:
            return 1 / self._rate_of_streams(len(self._opened.streams))
        (inputs,) = self._library.in_turn(1)
        return clock.time_once(self._opened.session, inputs, self._opened.batch).compute_s / self._opened.batch

    def by_us(self) -> dict[str, float]:
        """Return our own figure of a stretch: the median `end_to_end_s` of a run, or images per second."""
        if self._opened.streams:
            return {"ours": self._rate_of_streams(self.images)}
        session, batch = self._opened.session, self._opened.batch
        coming = self._library.in_turn(self.images // batch)
        return {"ours": self._figure([clock.time_once(session, inputs, batch).end_to_end_s for inputs in coming])}

    def by_loadgen(self) -> dict[str, float]:
        """Return LoadGen's own figure of a stretch, and ours of the same runs. LoadGen chooses the images."""
        import mlperf_loadgen as loadgen

        same: list[float] = []

        def complete(samples: Sequence[Sample], class_maps: Sequence[ClassMap]) -> None:
            loadgen.QuerySamplesComplete(
                [
                    loadgen.QuerySampleResponse(number, one.ctypes.data, one.nbytes)
                    for (number, _), one in zip(samples, class_maps, strict=True)
                ]
            )

        def issue(query: Any) -> None:
            same.extend(self.answer([(one.id, one.index) for one in query], complete))

        settings = loadgen.TestSettings()
        settings.scenario = getattr(loadgen.TestScenario, self._scenario)
        settings.mode = loadgen.TestMode.PerformanceOnly
        settings.min_query_count = settings.max_query_count = self._queries
        settings.multi_stream_samples_per_query = self._opened.batch
        if self._scenario == OFFLINE:
            settings.min_query_count = settings.max_query_count = self.images  # LoadGen makes one query of them
        settings.min_duration_ms = 0
        with tempfile.TemporaryDirectory() as folder:
            log = loadgen.LogSettings()
            log.log_output.outdir = folder
            log.enable_trace = False
            count = len(self._library)
            library = loadgen.ConstructQSL(count, count, self._library.lay_out, lambda _: None)
            system = loadgen.ConstructSUT(issue, lambda: None)
            loadgen.StartTestWithLogSettings(system, library, settings, log, "")
            loadgen.DestroySUT(system)
            loadgen.DestroyQSL(library)
            text = (Path(folder) / "mlperf_log_detail.txt").read_text(encoding="utf-8")
        return {"LoadGen": figure_of_log(text, self._scenario), "same runs": self._figure(same)}

    def answer(self, query: Sequence[Sample], complete: Complete) -> list[float]:
        """Run the samples of a query, a batch at a time, and hand each batch over when it is done. Streams take the
        next one from a queue. Return the seconds of each run; of streams, the seconds of all.
        """
        batch, streams = self._opened.batch, self._opened.streams
        queue = iter([query[at : at + batch] for at in range(0, len(query), batch)])

        def serve(session: Session) -> list[float]:
            times = []
            for samples in queue:
                inputs = self._library.inputs([index for _, index in samples])
                ran = clock.time_once(session, inputs, batch)
                complete(samples, list(ran.class_map) if batch > 1 else [ran.class_map])
                times.append(ran.end_to_end_s)
            return times

        if not streams:  # in LoadGen's own thread, as our clock runs them in its own
            return serve(self._opened.session)
        with ThreadPoolExecutor(len(streams)) as threads:
            return [clock.elapsed_s(lambda: list(threads.map(serve, streams)))]

    def _rate_of_streams(self, count: int) -> float:
        """Run `count` images in the streams. Return the images per second until the last one of them is finished."""
        images = list(self._library.in_turn(count))
        finished = [one for group in clock.time_streams(self._opened.streams, images, 0.0) for one in group]
        return len(finished) / finished[-1].at_s

    def _figure(self, times: list[float]) -> float:
        """Return the figure of a stretch from the seconds of its runs. LoadGen's median of an even number is the upper
        one.
        """
        return self.images / sum(times) if self._scenario == OFFLINE else statistics.median_high(times)


def figure_of_log(text: str, scenario: str) -> float:
    """Read a scenario's figure, in its unit, from LoadGen's mlperf_log_detail.txt. Raises ValueError without one."""
    key, _, scale = SCENARIOS[scenario]
    for line in text.splitlines():
        _, _, entry = line.partition(":::MLLOG ")
        if f'"{key}"' in entry:
            return float(json.loads(entry)["value"]) * scale
    raise ValueError(f"LoadGen's log has no {key}")


def run(request: LoadgenRequest, limits: Limits, out: Path) -> None:
    """Time under supervision in the parent, and write the record."""
    name = f"{Path(request['model']).parent.name} {request['variant']['name']} by LoadGen"
    variables = load(request["variant"]["engine"]).child_variables()
    outcome = run_stage(__file__, request, limits, name, [read_status(request["engine_status"])], variables)
    facts = {"config_hash": config_hash(request), "environment": environment_record(this_machine(), 0)}
    write_status(out, name, outcome, facts)
    if outcome.status == "ok":
        print(f"{name}, {outcome.result['scenario']}: {outcome.result['ratio']:.4f} of our own time")


@command
def main() -> None:
    """Parse the command line and time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    engine_arguments(parser)
    job_arguments(parser)
    parser.add_argument("--scenario", choices=SCENARIOS, help="LoadGen's scenario (default: the variant's own)")
    parser.add_argument("--out", type=Path, required=True, help="record to write")
    args = parser.parse_args()
    run({**request_of(args), "turns": TURNS, "scenario": args.scenario}, configured_limits(), args.out)


if __name__ == "__main__":
    stage(main, time_loadgen)
