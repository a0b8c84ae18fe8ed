"""Medians over rounds, their intervals, and percentiles that need enough samples."""

import math
import statistics

import numpy as np
import pytest
from scipy import stats
from segbench.timing.intervals import (
    Scatter,
    figure_of_round,
    half_width,
    interval_of_rounds,
    percentile,
    scatter_of,
)


def test_figure_of_a_round_is_its_median_or_its_mean():
    assert figure_of_round([1, 2, 30]) == 2
    assert figure_of_round([1, 2, 30], "mean") == 11


def test_half_width_is_that_of_the_interval():
    rounds = [1.0, 1.1, 0.97, 1.03]
    expected = interval_of_rounds(rounds)
    assert expected.half_width == pytest.approx(half_width(statistics.stdev(map(math.log, rounds)), 4))
    assert expected.high / expected.low == pytest.approx((1 + expected.half_width) ** 2)
    assert interval_of_rounds([1.0]).half_width is None


@pytest.mark.parametrize("medians", [[1.0], [1.0, 1.1]])
def test_fewer_than_three_rounds_have_no_interval(medians):
    assert interval_of_rounds(medians) == (None, None, "")


@pytest.mark.parametrize("count", [3, 5, 6, 8])
def test_rounds_use_students_t_on_logarithms(count):
    medians = [1.0, 1.1, 0.97, 1.03, 1.2, 0.9, 1.05, 1.15][:count]
    logarithms = [math.log(value) for value in medians]
    expected = stats.t.interval(0.95, count - 1, statistics.fmean(logarithms), stats.sem(logarithms))
    interval = interval_of_rounds(medians)
    assert interval.method == "student-t-log"
    assert (interval.low, interval.high) == pytest.approx(tuple(math.exp(end) for end in expected))


def test_rounds_that_happen_to_be_alike_are_not_narrower_than_the_scatter_of_the_control():
    control = scatter_of([1.0, 1.4, 1.0, 1.4, 1.4, 1.0])
    alike = interval_of_rounds([2.0, 2.001, 1.999], control)
    assert alike.method == "scatter-of-control"
    half = stats.t.ppf(0.975, 5) * statistics.stdev([0, math.log(1.4)] * 3) / math.sqrt(3)
    assert (alike.low, alike.high) == pytest.approx((2 * math.exp(-half), 2 * math.exp(half)), rel=1e-3)
    assert interval_of_rounds([1.0, 2.0, 4.0], control) == interval_of_rounds([1.0, 2.0, 4.0])
    assert interval_of_rounds([1.0, 1.1], control).low is None


def test_intervals_hold_on_a_machine_with_two_speeds():
    random, held, held_alone = np.random.default_rng(0), 0, 0
    truth = math.sqrt(1.4)  # fast and slow are equally likely
    for _ in range(1000):
        control, rounds = (list(1.4 ** random.integers(0, 2, size) * random.normal(1, 0.003, size)) for size in (24, 3))
        alone, wider = interval_of_rounds(rounds), interval_of_rounds(rounds, scatter_of(control))
        held_alone += alone.low <= truth <= alone.high
        held += wider.low <= truth <= wider.high
    assert held_alone < 800
    assert held >= 940


def test_a_scatter_is_that_of_its_degrees_of_freedom():
    assert Scatter(0.1, 10).half(4) == pytest.approx(stats.t.ppf(0.975, 10) * 0.05)


@pytest.mark.parametrize(("share", "floor"), [(0.9, 64), (0.99, 662)])
def test_a_percentile_exists_from_mlperfs_floor_on_as_the_largest_time(share, floor):
    times = [float((i * 37) % floor) for i in range(floor)]
    assert percentile(times, share) == max(times)
    assert percentile(times[:-1], share) is None


@pytest.mark.parametrize("count", [64, 100, 500, 2000])
def test_a_percentile_leaves_out_as_many_times_as_the_binomial_allows(count):
    times = list(np.random.default_rng(1).lognormal(size=count))
    kept = max(t for t in range(count) if stats.binom.cdf(t, count, 0.1) <= 0.01)
    assert percentile(times, 0.9) == sorted(times)[-kept]


def test_a_percentile_is_an_upper_bound():
    random = np.random.default_rng(0)
    true = stats.norm.ppf(0.9)
    below = sum(percentile(list(random.normal(size=200)), 0.9) < true for _ in range(1000))
    assert below <= 20  # 1% of 1000, twice over
