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

    @property
    def half_width(self) -> float | None:
        """Return its half width as a fraction of its middle, both on the scale of logarithms: .05 means ±5%."""
        return math.sqrt(self.high / self.low) - 1 if self.low and self.high else None


class Scatter(NamedTuple):
    """How much a figure scatters: the standard deviation of its logarithm, and the degrees of freedom of that."""

    deviation: float
    freedom: float

    def half(self, count: int) -> float:
        """Return the half width of the 95% interval of the mean of `count` logarithms."""
        return self.deviation / math.sqrt(count) * quantile_of_t(self.freedom)


def figure_of_round(times: list[float], average: str = "median") -> float:
    """Return the median of a round's times, or their mean."""
    return statistics.fmean(times) if average == "mean" else statistics.median(times)


def interval_of_rounds(figures: list[float], known: Scatter | None = None) -> Interval:
    """Return the 95% interval from one figure per round: Student's t on the logarithms, from 3 rounds on.

    Two rounds have one degree of freedom: their interval would span 25 standard errors, so they get none. Three that
    happen to be alike tell too little as well: no interval is narrower than by the scatter that is `known` of the
    machine.
    """
    if len(figures) < 3:
        return Interval(None, None, "")
    centre, half = log_interval(figures)
    method, least = "student-t-log", known.half(len(figures)) if known else 0.0
    if least > half:
        half, method = least, "scatter-of-control"
    return Interval(math.exp(centre - half), math.exp(centre + half), method)


def log_interval(values: list[float]) -> tuple[float, float]:
    """Return the mean of the logarithms of `values`, and the half width of its 95% interval by Student's t."""
    return statistics.fmean(map(math.log, values)), scatter_of(values).half(len(values))


def scatter_of(values: list[float]) -> Scatter:
    """Return how much `values` scatter, of which there are at least two."""
    return Scatter(deviation_of_rounds(values), len(values) - 1)


def deviation_of_rounds(values: list[float]) -> float:
    """Return the standard deviation of the logarithms of `values`, of which there are at least two."""
    return statistics.stdev(map(math.log, values))


def half_width(deviation: float, count: int) -> float:
    """Return the half width, as a fraction, of the 95% interval of `count` rounds whose logarithms have this standard
    deviation: .05 means ±5%.
    """
    return math.expm1(Scatter(deviation, count - 1).half(count))


def quantile_of_t(freedom: float) -> float:
    """Return the quantile of Student's t that bounds a two-sided 95% interval."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + LEVEL / 2))


def percentile(times: list[float], share: float) -> float | None:
    """Return an upper bound, at 99%, of the `share` quantile of a row's times; None where there are too few.

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
