"""Run one timed round on an opened engine: warm up, time equal passes over the same images, look for disturbances."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from segbench.arrays import Float32Image
from segbench.images.index import IndexEntry, read_index
from segbench.machine.environment import environment_record
from segbench.process.supervise import progress
from segbench.scoring.predictions import PredictionsWriter
from segbench.timing import clock
from segbench.timing.disturbance import Disturbance
from segbench.timing.job import Entries, TimedSession, choose_images, disturbed, open_engine
from segbench.timing.latencies import LatencyLine, write_latencies
from segbench.timing.prefetch import InlineSource, PrefetchingSource
from segbench.timing.request import RoundFacts, RoundRequest


def shuffled(rows: Entries, timing: dict[str, Any], number: int) -> Entries:
    """Return the images of round `number` in an order of its own, by seed."""
    return random.Random(f"{timing['seed']}-{number}").sample(rows, len(rows))


def time_round(request: RoundRequest) -> RoundFacts:
    """Open the engine, and run the round."""
    opened, timing = open_engine(request), request["timing"]
    rows = shuffled(choose_images(read_index(request["index"]), timing), timing, request["round"])
    facts: RoundFacts = {"environment": environment_record(opened.machine, opened.threads, opened.cpus)}
    return {**facts, **Round(opened, rows, request).run()}


class Round:
    """One round on an opened engine. Its images, `rows`, run in this order again and again: warm-up and timed runs are
    one loop (read, normalise, run, digest of the class map), so both have the same caches and pauses.
    """

    def __init__(self, opened: TimedSession, rows: Entries, request: RoundRequest) -> None:
        self._opened, self._rows, self._request = opened, rows, request
        self._timing: dict[str, Any] = request["timing"]
        self._first_s: float | None = None  # `end_to_end_s` of the first image of all

    def run(self) -> RoundFacts:
        """Warm up and time. Time again, within a bound, when something else took the machine. Return facts.

        The latencies of the last try are written to `latencies`, those of the tries before it to `replaced`.
        """
        timing, request = self._timing, self._request
        tries: list[tuple[list[LatencyLine], Disturbance]] = []
        with self._loop() as (source, predictions), clock.quiet():
            images = iter(source.images())
            progress("warming up")
            runs, settled = clock.warm_up(
                lambda: self._one(images, source).compute_s, clock.WarmUp(**timing["warm_up"])
            )
            while not tries or (disturbed(tries[-1][1], timing) and len(tries) <= timing["max_repeats"]):
                started = datetime.now(timezone.utc)
                tries.append(self._try(images, source))
            source.finish()
        *replaced, (lines, last) = tries
        write_latencies(request["latencies"], lines)
        write_latencies(request["replaced"], [line for old, _ in replaced for line in old])
        drift = clock.drift([line.compute_s for line in lines])
        return {
            "started": started.isoformat(timespec="milliseconds"),
            "open_s": self._opened.open_s,
            "first_mask_s": self._opened.open_s + (self._first_s or 0.0),
            "warm_up_runs": runs,
            "warm_up_settled": settled,
            "drift": drift,
            "drift_tolerance": timing["drift_tolerance"],
            "steady": None if drift is None else abs(drift) <= timing["drift_tolerance"],
            "contended": last.contended(timing["contention_share"]),
            "throttled": last.throttled,
            "contention_share": timing["contention_share"],
            "busy_threads": last.busy_threads,
            "engine_threads": getattr(self._opened.session, "threads", None),
            "repeats": len(replaced),
            "changed": sorted(predictions.changed),
            "disturbances": [one.record() for _, one in tries],
        }

    @contextmanager
    def _loop(self) -> Iterator[tuple[InlineSource | PrefetchingSource, PredictionsWriter]]:
        """Open the source of images, which has no end, and the file of digests."""
        size = self._opened.normalize.height, self._opened.normalize.width
        with (
            PredictionsWriter(self._request["predictions"], *size, keep_maps=False) as predictions,
            self._opened.image_source(self._rows, predictions, again=True) as source,
        ):
            yield source, predictions

    def _one(
        self, images: Iterator[tuple[IndexEntry, Float32Image]], source: InlineSource | PrefetchingSource
    ) -> LatencyLine:
        """Run the next image."""
        row, image = next(images)
        timed = clock.time_once(self._opened.session, image)
        if self._first_s is None:
            self._first_s = timed.end_to_end_s
        source.save(row["image_id"], timed.class_map)
        return LatencyLine(row["image_id"], timed.compute_s, timed.end_to_end_s, timed.device_s)

    def _try(
        self, images: Iterator[tuple[IndexEntry, Float32Image]], source: InlineSource | PrefetchingSource
    ) -> tuple[list[LatencyLine], Disturbance]:
        """Time whole passes over the images until the network has run for `round_min_s`."""
        lines: list[LatencyLine] = []
        spent, least = 0.0, self._timing["round_min_s"]
        watch = self._opened.watch(source.helpers)
        while not lines or spent < least:
            for _ in self._rows:
                lines.append(self._one(images, source))
                spent += lines[-1].compute_s
                progress("timing", len(lines))
        return lines, watch.stop()
