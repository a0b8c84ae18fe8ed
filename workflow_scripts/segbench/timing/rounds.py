"""Run one timed round on an opened engine: warm up, time equal passes over the same images, look for disturbances."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from segbench.errors import Unsupported
from segbench.images.index import read_index
from segbench.machine.environment import environment_record
from segbench.process.supervise import progress
from segbench.scoring.predictions import PredictionsWriter
from segbench.timing import clock
from segbench.timing.disturbance import Disturbance
from segbench.timing.energy import Meter, meter_of
from segbench.timing.job import Entries, TimedSession, choose_images, disturbed, open_engine
from segbench.timing.latencies import LatencyLine, write_latencies
from segbench.timing.prefetch import InlineSource, PrefetchingSource
from segbench.timing.request import RoundFacts, RoundRequest


def shuffled(rows: Entries, timing: dict[str, Any], number: int) -> Entries:
    """Return the images of round `number` in an order of its own, by seed."""
    return random.Random(f"{timing['seed']}-{number}").sample(rows, len(rows))


def time_round(request: RoundRequest) -> RoundFacts:
    """Open the engine, and run the round."""
    meter = meter_of(request.get("energy"))  # before anything computes
    opened, timing = open_engine(request, one_by_one=False), request["timing"]
    rows = shuffled(choose_images(read_index(request["index"]), timing), timing, request["round"])
    facts: RoundFacts = {"environment": environment_record(opened.machine, opened.threads, opened.cpus)}
    return {**facts, **Round(opened, rows, request, meter).run()}


class InTurn:
    """Runs images, or batches of them, one after the other. Warm-up and timed runs are one loop (read, normalise, run,
    digest of the class map), so both have the same caches and pauses.
    """

    def __init__(self, opened: TimedSession, rows: Entries, source: InlineSource | PrefetchingSource) -> None:
        self._opened, self._rows, self._source = opened, rows, source
        self._coming = opened.batches(source.images())
        self.first_s: float | None = None  # `end_to_end_s` of the first run of all

    def warm(self) -> float:
        """Run once. Return the seconds of an image."""
        return self._run()[0].compute_s

    def timed(self, least_s: float) -> list[LatencyLine]:
        """Run whole passes over the images until the network has run for `least_s` seconds."""
        lines: list[LatencyLine] = []
        spent = 0.0
        while not lines or spent < least_s:
            for _ in range(-(-len(self._rows) // self._opened.batch)):
                lines += (run := self._run())
                spent += sum(line.compute_s for line in run)
                progress("timing", len(lines))
        return lines

    def _run(self) -> list[LatencyLine]:
        """Run the next image, or the next batch."""
        rows, inputs = next(self._coming)
        ran = clock.time_once(self._opened.session, inputs, self._opened.batch)
        if self.first_s is None:
            self.first_s = ran.end_to_end_s
        for row, class_map in zip(rows, self._opened.class_maps(ran, rows), strict=True):
            self._source.save(row["image_id"], class_map)
        if len(rows) == 1:
            return [LatencyLine(rows[0]["image_id"], ran.compute_s, ran.end_to_end_s, ran.device_s)]
        shares = ran.compute_s / len(rows), ran.end_to_end_s / len(rows)
        return [LatencyLine(row["image_id"], *shares, latency_s=ran.compute_s) for row in rows]


class Together:
    """Runs images in several streams. They are read and normalised before, since there is no pause between them."""

    def __init__(self, opened: TimedSession, rows: Entries, source: InlineSource | PrefetchingSource) -> None:
        self._opened, self._rows, self._source = opened, rows, source
        self._images = [opened.image(row).copy() for row in rows]
        if any(len(image) > 1 for image in self._images):
            raise Unsupported("a window slides over this model's images, and a stream runs whole images")
        self.first_s: float | None = None

    def warm(self) -> float:
        """Run an image in each stream; the first time, one image alone. Return the seconds of an image."""
        if self.first_s is None:
            self.first_s = clock.time_once(self._opened.session, self._images[0]).end_to_end_s
        (*_, last), *_ = clock.time_streams(self._opened.streams, self._images[: len(self._opened.streams)], 0.0)
        return last.at_s / len(self._opened.streams)

    def timed(self, least_s: float) -> list[LatencyLine]:
        """Run the images again and again for `least_s` seconds. An image's time is its share of the time in which as
        many images as there are streams were finished.
        """
        lines: list[LatencyLine] = []
        before_s = 0.0
        for group in clock.time_streams(self._opened.streams, self._images, least_s):
            share = (group[-1].at_s - before_s) / len(group)
            before_s = group[-1].at_s
            for one in group:
                image_id = self._rows[one.image]["image_id"]
                self._source.save(image_id, one.latency.class_map)
                lines.append(LatencyLine(image_id, share, share, latency_s=one.latency.compute_s))
        progress("timing", len(lines))
        return lines


class Round:
    """One round on an opened engine. Its images, `rows`, run in this order again and again, in warm-up and timed."""

    def __init__(self, opened: TimedSession, rows: Entries, request: RoundRequest, meter: Meter | None = None) -> None:
        self._opened, self._rows, self._request, self._meter = opened, rows, request, meter
        self._timing: dict[str, Any] = request["timing"]

    def run(self) -> RoundFacts:
        """Warm up and time. Time again, within a bound, when something else took the machine. Return facts.

        The latencies of the last try are written to `latencies`, those of the tries before it to `replaced`.
        """
        timing, request = self._timing, self._request
        tries: list[tuple[list[LatencyLine], Disturbance]] = []
        energy: dict[str, Any] = {}
        with self._loop() as (source, predictions), clock.quiet():
            way = (Together if self._opened.streams else InTurn)(self._opened, self._rows, source)
            progress("warming up")
            runs, settled = clock.warm_up(way.warm, clock.WarmUp(**timing["warm_up"]))
            while not tries or (disturbed(tries[-1][1], timing) and len(tries) <= timing["max_repeats"]):
                started = datetime.now(timezone.utc)
                watch = self._opened.watch(source.helpers)
                if self._meter:
                    self._meter.start()
                timed = way.timed(timing["round_min_s"])
                tries.append((timed, watch.stop()))
                if self._meter:
                    energy = {"energy": dict(self._meter.stop(tries[-1][1].wall_s, len(timed)))}
            source.finish()
        *replaced, (lines, last) = tries
        write_latencies(request["latencies"], lines)
        write_latencies(request["replaced"], [line for old, _ in replaced for line in old])
        drift = clock.drift([line.compute_s for line in lines])
        return {
            "started": started.isoformat(timespec="milliseconds"),
            "open_s": self._opened.open_s,
            "first_mask_s": self._opened.open_s + (way.first_s or 0.0),
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
            **energy,  # type: ignore[typeddict-item]
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
