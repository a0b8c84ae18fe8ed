"""From rounds of latencies to one figure with its interval."""

from __future__ import annotations

import math
import statistics
from typing import NamedTuple

LEVEL = 0.95
# Samples that a percentile needs before it means anything (MLPerf's early-stopping estimate).
P90_SAMPLES, P99_SAMPLES = 64, 662


class Interval(NamedTuple):
    """A confidence interval of the median over rounds, and how it was made (empty: it could not be)."""

    low: float | None
    high: float | None
    method: str


def median_of_rounds(rounds: list[list[float]]) -> float:
    """Median over rounds of each round's median."""
    return statistics.median(statistics.median(times) for times in rounds)


def interval_of_rounds(medians: list[float]) -> Interval:
    """95% interval of the median from one median per round.

    Exact order-statistic interval from 6 rounds on (below that it cannot reach 95%), Student's t on the logarithms for
    2 to 5, none for a single round.
    """
    ranks, ordered = order_statistic_ranks(len(medians)), sorted(medians)
    if ranks is not None:
        return Interval(ordered[ranks[0]], ordered[ranks[1]], "order-statistic")
    if len(medians) < 2:
        return Interval(None, None, "")
    centre, half = log_interval(medians)
    return Interval(math.exp(centre - half), math.exp(centre + half), "student-t-log")


def log_interval(values: list[float]) -> tuple[float, float]:
    """Mean of the logarithms of `values`, and the half width of its 95% interval by Student's t."""
    from scipy.special import stdtrit

    logarithms = [math.log(value) for value in values]
    error = statistics.stdev(logarithms) / math.sqrt(len(values))
    return statistics.fmean(logarithms), error * float(stdtrit(len(values) - 1, 0.5 + LEVEL / 2))


def order_statistic_ranks(count: int) -> tuple[int, int] | None:
    """Ranks (from 0) of the narrowest symmetric [x_r, x_{n-1-r}] that covers the median with at least 95%.

    None below 6 values, where even the whole range covers less. From the binomial distribution with p = 1/2.
    """
    outside, rank = 0.0, -1
    for k in range(count // 2):
        outside += 2 * math.comb(count, k) / 2**count
        if outside > 1 - LEVEL:
            break
        rank = k
    return (rank, count - 1 - rank) if rank >= 0 else None


def percentile(times: list[float], share: float, needed: int) -> float | None:
    """The `share` quantile, a whole percentile, by linear interpolation, or None with fewer than `needed` samples."""
    if len(times) < needed:
        return None
    return statistics.quantiles(times, n=100, method="inclusive")[round(100 * share) - 1]
