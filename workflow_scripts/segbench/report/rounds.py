"""Summarise the latencies of each round: thinned for drawing, with their drift."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from segbench.report.derived import Facts
from segbench.timing.latencies import read_compute_s

KEPT = 150  # latencies drawn per round; of more, evenly spaced order statistics stand for all


def rounds_of(results: Path, rows: list[Facts]) -> list[dict[str, Any]]:
    """Return a record per row and round that was timed. Times are in seconds.

    `times` are its sorted latencies, thinned. `late_to_early` is the median of the round's second half over that of its
    first half. It is 1 without drift.
    """
    found = []
    for row in rows:
        for number in range(1, (row["rounds"] or 0) + 1):
            folder = results / "runs" / row["dataset"] / row["model"] / row["variant"] / str(number) / "0"
            facts = {"row": row["id"], "label": row["label"], "round": number}
            found.append({**facts, **summary(read_compute_s(folder / "latencies.csv"))})
    return found


def summary(times: list[float]) -> dict[str, Any]:
    """Return count, smallest, median, largest, drift and thinned latencies (seconds) of a round, given in running
    order.
    """
    half = len(times) // 2
    return {
        "count": len(times),
        "low_s": min(times),
        "median_s": statistics.median(times),
        "high_s": max(times),
        "late_to_early": statistics.median(times[half:]) / statistics.median(times[:half]) if half else None,
        "times": [float(f"{time:.4g}") for time in thin(sorted(times))],
    }


def thin(ordered: list[float], kept: int = KEPT) -> list[float]:
    """Return at most `kept` of `ordered`, evenly spaced in rank, including the first and the last."""
    if len(ordered) <= kept:
        return ordered
    return [ordered[round(n * (len(ordered) - 1) / (kept - 1))] for n in range(kept)]
