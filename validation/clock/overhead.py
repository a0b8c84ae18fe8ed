"""Measure what the clock costs per image, and what a timed job does outside the model apart from loading images."""

from __future__ import annotations

import statistics
import tempfile
import time
from typing import Any

import numpy as np
from segbench.images.index import read_index
from segbench.process.lifetime import command
from segbench.timing import clock
from segbench.timing.job import Entries, TimedSession, open_engine
from segbench.timing.latencies import read_latencies
from segbench.timing.rounds import Round

from validation.common import leave, parser, place_of


class Nothing:
    """A session without a network, whose timing takes only the clock's own time."""

    def __init__(self) -> None:
        self._map = np.zeros((1, 1), np.uint8)

    def upload(self, image: Any) -> None:
        """Do nothing."""

    def execute(self) -> None:
        """Do nothing."""

    def synchronize(self) -> None:
        """Do nothing."""

    def download(self) -> Any:
        """Return the same map each time."""
        return self._map


def clock_overhead_us(runs: int) -> float:
    """Return the median microseconds of one `time_once` around nothing."""
    session, image, times = Nothing(), np.zeros((1, 3, 1, 1), np.float32), []
    with clock.quiet():
        for _ in range(runs):
            start = time.perf_counter_ns()
            clock.time_once(session, image)
            times.append((time.perf_counter_ns() - start) / 1000)
    return statistics.median(times)


def loading_s(opened: TimedSession, rows: Entries) -> float:
    """Return the seconds to decode and normalise all images once."""
    start = time.perf_counter()
    for row in rows:
        opened.image(row)
    return time.perf_counter() - start


def job(request: Any) -> dict[str, float]:
    """Run a round of all images in this process as the workflow does. Return seconds in all, inside the model, for
    loading, for the rest.
    """
    opened, rows = open_engine(request), read_index(request["index"])
    before = loading_s(opened, rows)
    with tempfile.TemporaryDirectory() as folder:
        files = {key: f"{folder}/{key}" for key in ("latencies", "replaced", "predictions")}
        asked: Any = {**request, **files, "round": 1}
        whole = Round(opened, rows, asked).run()["disturbances"][-1]["wall_s"]
        lines = read_latencies(files["latencies"])
    loading = (before + loading_s(opened, rows)) / 2 * len(lines) / len(rows)
    timed, model = sum(line.end_to_end_s for line in lines), sum(line.compute_s for line in lines)
    return {
        "whole_s": whole,
        "model_s": model,
        "timed_s": timed,
        "loading_s": loading,
        "rest_s": whole - timed - loading,
    }


@command
def main() -> None:
    """Measure both."""
    a = parser(__doc__, runs=(5000, "calls of the clock around nothing")).parse_args()
    place = place_of(a)
    overhead = clock_overhead_us(a.runs)
    found = job(place.request(**place.side(a.variant)))
    share = found["rest_s"] / found["model_s"]
    header = [
        "variant",
        "clock per image",
        "model s",
        "loading s",
        "own time outside both s",
        "as a share of the model's",
    ]
    seconds = [f"{found[key]:.2f}" for key in ("model_s", "loading_s", "rest_s")]
    row = [a.variant, f"{overhead:.1f} µs", *seconds, f"{share:.1%}"]
    leave(a.out, "overhead", header, [row], {"clock_us": overhead, "share": share, **found})


if __name__ == "__main__":
    main()
