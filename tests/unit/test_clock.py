"""Warm-up and the end of a round, on times that are given: nothing here reads a real clock."""

import pytest
from segbench.timing import clock


def test_no_warm_up_does_not_tell_whether_times_were_steady():
    assert clock.warm_up(None, None, clock.WarmUp(max_runs=0)) == (0, None)


def test_equal_times_are_steady_and_a_trend_is_not():
    assert clock.is_steady([1.0, 1.01, 0.99, 1.0, 1.01, 0.99], 0.05)
    assert not clock.is_steady([1.5, 1.4, 1.3, 1.2, 1.1, 1.0], 0.05)


def test_first_value_that_is_an_outlier_is_not_steady():
    assert not clock.is_steady([1.2, 1.0, 1.0, 1.0, 1.0, 1.0], 0.05)


def test_round_ends_when_its_budget_is_spent():
    assert not clock.Stop(budget_s=10).reached([3.0, 3.0])
    assert clock.Stop(budget_s=10).reached([3.0, 3.0, 4.0])


def test_round_ends_when_its_interval_is_narrow():
    assert clock.Stop(half_width=0.05).reached([1.0, 1.01, 0.99, 1.0, 1.0, 1.0])
    assert not clock.Stop(half_width=0.05).reached([1.0, 1.4, 0.7, 1.0, 1.0, 1.0])
    assert not clock.Stop(half_width=0.05).reached([1.0] * 5)


class Device:
    """A session whose device says that a run took `says` seconds; the host's clock says 5 for each call."""

    def __init__(self, says=None):
        if says is not None:
            self.device_seconds = lambda: says

    upload = execute = synchronize = download = lambda self, *image: None


@pytest.mark.parametrize("says", [None, 3.0])
def test_both_times_are_the_hosts_and_the_devices_own_stands_beside(monkeypatch, says):
    readings = iter([0, 5_000_000_000, 10_000_000_000, 15_000_000_000])
    monkeypatch.setattr(clock.time, "perf_counter_ns", lambda: next(readings))
    assert clock.time_once(Device(says), None) == pytest.approx((5.0, 15.0, None, says))
