"""Compute one figure with its interval from rounds of latencies."""

from __future__ import annotations

import math
import statistics
from typing import NamedTuple

LEVEL = 0.95
MLPERF_LEVEL = 0.99  # MLPerf's estimate of a percentile is an upper bound at this level


class Interval(NamedTuple):
    """A confidence interval of the median over rounds. `method` says how it was made; empty: it could not be made."""

    low: float | None
    high: float | None
    method: str


def median_of_rounds(rounds: list[list[float]]) -> float:
    """Return the median over rounds of each round's median."""
    return statistics.median(statistics.median(times) for times in rounds)


def interval_of_rounds(medians: list[float]) -> Interval:
    """Return the 95% interval from one median per round: Student's t on the logarithms, from 3 rounds on.

    Two rounds have one degree of freedom: their interval would span 25 standard errors, so they get none.
    """
    if len(medians) < 3:
        return Interval(None, None, "")
    centre, half = log_interval(medians)
    return Interval(math.exp(centre - half), math.exp(centre + half), "student-t-log")


def log_interval(values: list[float]) -> tuple[float, float]:
    """Return the mean of the logarithms of `values`, and the half width of its 95% interval by Student's t."""
    from scipy.special import stdtrit

    logarithms = [math.log(value) for value in values]
    error = statistics.stdev(logarithms) / math.sqrt(len(values))
    return statistics.fmean(logarithms), error * float(stdtrit(len(values) - 1, 0.5 + LEVEL / 2))


def order_statistic_ranks(count: int) -> tuple[int, int] | None:
    """Return the ranks (from 0) of the narrowest symmetric [x_r, x_{n-1-r}] that covers the median with at least 95%.

    It is None below 6 values, where even the whole range covers less. It follows from the binomial distribution with p
    = 1/2.
    """
    outside, rank = 0.0, -1
    for k in range(count // 2):
        outside += 2 * math.comb(count, k) / 2**count
        if outside > 1 - LEVEL:
            break
        rank = k
    return (rank, count - 1 - rank) if rank >= 0 else None


def percentile(times: list[float], share: float) -> float | None:
    """Return an upper bound, at 99%, of the `share` quantile of one round's times; None where there are too few.

    It is MLPerf's early-stopping estimate (LoadGen, early_stopping.cc): the t-th largest time, for the largest t at
    which at most t times beyond the quantile are so few that it happens in 1% of rounds. It exists from 64 times on for
    the 90th percentile, from 662 on for the 99th.
    """
    beyond, tail, term = 0, 0.0, share ** len(times)
    while beyond < len(times) and tail + term <= 1 - MLPERF_LEVEL:
        tail += term
        term *= (len(times) - beyond) / (beyond + 1) * (1 - share) / share
        beyond += 1
    kept = beyond - 1  # `tail` is the chance of at most this many times beyond the quantile
    return sorted(times, reverse=True)[kept - 1] if kept >= 1 else None


def percentile_of_rounds(rounds: list[list[float]], share: float) -> float | None:
    """Return the median over rounds of `percentile`. Rounds with too few times are left out; None where all are."""
    bounds = [bound for times in rounds if (bound := percentile(times, share)) is not None]
    return statistics.median(bounds) if bounds else None
