"""Warm-up and the end of a round, on times that are given: nothing here reads a real clock."""

import pytest
from segbench.timing import clock


def test_no_warm_up_does_not_tell_whether_times_were_steady():
    assert clock.warm_up(lambda: 1.0, clock.WarmUp(max_runs=0)) == (0, None)


def test_equal_times_are_steady_and_a_trend_is_not():
    assert clock.is_steady([1.0, 1.01, 0.99, 1.0, 1.01, 0.99], 0.05)
    assert not clock.is_steady([1.5, 1.4, 1.3, 1.2, 1.1, 1.0], 0.05)


def test_first_value_that_is_an_outlier_is_not_steady():
    assert not clock.is_steady([1.2, 1.0, 1.0, 1.0, 1.0, 1.0], 0.05)


def test_warm_up_takes_two_windows_of_ten_runs_at_least():
    calls = iter([0.5] * 40)
    assert clock.warm_up(lambda: next(calls), clock.WarmUp()) == (20, True)


def test_warm_up_that_goes_on_is_not_settled():
    times = iter(0.9**run for run in range(100))
    assert clock.warm_up(lambda: next(times), clock.WarmUp(max_runs=30)) == (30, False)


def test_warm_up_too_slow_for_a_window_does_not_tell():
    assert clock.warm_up(lambda: 9.0, clock.WarmUp(max_s=0)) == (2, None)


def test_drift_is_the_last_third_against_the_first():
    assert clock.drift([1, 1, 1, 5, 5, 5, 2, 2, 2]) == 1.0
    assert clock.drift([2, 2, 9, 9, 1, 1]) == -0.5
    assert clock.drift([1, 2, 3, 4, 5]) is None


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
    assert clock.time_once(Device(says), [None]) == pytest.approx((5.0, 15.0, None, says))
