"""Medians over rounds, their intervals, and percentiles that need enough samples."""

import math
import statistics

import numpy as np
import pytest
from scipy import stats
from segbench.timing.intervals import interval_of_rounds, median_of_rounds, percentile


def test_median_over_rounds_is_the_median_of_medians():
    assert median_of_rounds([[1, 2, 30], [4, 4, 4], [9, 8, 7]]) == 4


def test_one_round_has_no_interval():
    assert interval_of_rounds([1.0]) == (None, None, "")


@pytest.mark.parametrize("count", [2, 3, 5])
def test_few_rounds_use_students_t_on_logarithms(count):
    medians = [1.0, 1.1, 0.97, 1.03, 1.2][:count]
    logarithms = [math.log(value) for value in medians]
    expected = stats.t.interval(0.95, count - 1, statistics.fmean(logarithms), stats.sem(logarithms))
    interval = interval_of_rounds(medians)
    assert interval.method == "student-t-log"
    assert (interval.low, interval.high) == pytest.approx(tuple(math.exp(end) for end in expected))


@pytest.mark.parametrize("count", [6, 7, 8, 9, 12, 20])
def test_from_six_rounds_on_the_interval_is_scipys_exact_one(count):
    medians = [1 + ((i * 37) % 101) / 100 for i in range(count)]
    expected = stats.quantile_test(medians, p=0.5).confidence_interval(0.95)
    interval = interval_of_rounds(medians)
    assert interval.method == "order-statistic"
    assert (interval.low, interval.high) == (expected.low, expected.high)


def test_percentile_is_numpys_and_empty_below_its_floor():
    times = [float(i % 17) for i in range(64)]
    assert percentile(times, 0.9, 64) == pytest.approx(np.quantile(times, 0.9))
    assert percentile(times[:63], 0.9, 64) is None
