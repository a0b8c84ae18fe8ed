"""Read and write latencies.csv: a line for each timed image, in the order in which they ran."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class LatencyLine(NamedTuple):
    """One timed image: its id in the index, its two times in seconds by the host's clock, and the network's time by the
    device's own (None: it has none).

    Of a batch, an image has its share of these. Of streams, it has the time between finished images. `latency_s` is
    then how long the batch or the image itself took; None: it is `compute_s`.
    """

    image: str
    compute_s: float
    end_to_end_s: float
    device_s: float | None = None
    latency_s: float | None = None


def write_latencies(path: Path | str, lines: Iterable[LatencyLine]) -> None:
    """Write latencies.csv. A file without lines says that nothing was timed."""
    with open(path, "w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(LatencyLine._fields)
        for line in lines:
            table.writerow((line.image, *("" if time is None else f"{time:.9f}" for time in line[1:])))


def read_latencies(path: Path | str) -> list[LatencyLine]:
    """Return the lines of a latencies.csv."""
    with open(path, newline="", encoding="utf-8") as stream:
        return [
            LatencyLine(
                row["image"],
                float(row["compute_s"]),
                float(row["end_to_end_s"]),
                _time(row.get("device_s")),
                _time(row.get("latency_s")),
            )
            for row in csv.DictReader(stream)
        ]


def _time(text: str | None) -> float | None:
    return float(text) if text else None


def read_compute_s(path: Path | str) -> list[float]:
    """Return `compute_s` of each line of a latencies.csv."""
    return [line.compute_s for line in read_latencies(path)]
