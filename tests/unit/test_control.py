"""The control: which of its rounds stands beside a row's, the drift that it takes out, what cannot be told apart."""

import math
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from segbench.files import write_json
from segbench.table.control import Control, ControlRound
from segbench.table.verdict import row_ratio, time_verdict
from segbench.timing.latencies import LatencyLine, write_latencies

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def at(minutes):
    return (START + timedelta(minutes=minutes)).isoformat(timespec="milliseconds")


def write_round(results, block, number, minutes, seconds, status="ok", hardware="here"):
    folder = results / "control" / "made" / "first" / "onnxruntime-fp32" / block / str(number)
    folder.mkdir(parents=True)
    write_json(folder / "status.json", {"status": status, "reason": "", "started": at(minutes)})
    write_json(folder / "environment.json", {"hardware_id": hardware})
    write_latencies(folder / "latencies.csv", [LatencyLine("x", seconds, seconds)] * 3)


@pytest.fixture
def control(tmp_path):
    write_round(tmp_path, "small-00000000", 1, 0, 1.0)
    write_round(tmp_path, "small-00000000", 2, 10, 1.1)
    write_round(tmp_path, "small-11111111", 1, 50, 2.0)  # a variant was added, and timed with the control alone
    write_round(tmp_path, "large-00000000", 1, 3, 1.2)
    write_round(tmp_path, "broken-00000000", 1, 3, 1.2, status="failed")
    return Control(tmp_path, "made", "first/onnxruntime-fp32")


def beside(control, model, number, minutes, hardware="here"):
    found = control.beside(model, number, {"started": at(minutes)}, hardware)
    return found and found.figure_s


def test_a_round_is_compared_with_the_control_of_its_own_block(control):
    assert beside(control, "small", 1, 1) == 1.0
    assert beside(control, "small", 2, 9) == 1.1
    assert beside(control, "large", 1, 1) == 1.2
    assert beside(control, "small", 1, 52) == 2.0
    assert control.mean_s == pytest.approx((1.0 * 1.1 * 1.2 * 2.0) ** 0.25)


def test_a_control_of_another_hour_machine_or_round_is_none(control):
    assert beside(control, "small", 1, 200) is None
    assert beside(control, "small", 1, 1, "there") is None
    assert beside(control, "small", 3, 1) is None
    assert beside(control, "broken", 1, 3) is None
    assert control.beside("small", 1, {}, "here") is None


def made(logarithms):
    control = Control(None, "made", "first/onnxruntime-fp32")
    control.used = {
        ControlRound("m", n, START + timedelta(minutes=n), math.exp(value), "here")
        for n, value in enumerate(logarithms)
    }
    return control


def test_a_slow_drift_of_the_control_hides_no_difference():
    steps = np.random.default_rng(0).normal(0, 0.01, 24)
    still, drifting = made(steps), made(steps + np.linspace(0, 0.5, 24))
    assert still.smallest_difference(3) < drifting.smallest_difference(3) < 0.05  # in all it drifted by 65%


def test_few_rounds_of_the_control_tell_nothing():
    assert made([0.0, 0.1, 0.0]).smallest_difference(3) is None


def test_equal_rows_differ_by_more_than_the_smallest_difference_in_one_case_of_twenty():
    random, beyond = np.random.default_rng(1), []
    for _ in range(2000):
        bound = made(random.normal(0, 0.05, 24)).smallest_difference(3)
        a, b = random.normal(0, 0.05, (2, 3)).mean(1)
        beyond.append(abs(a - b) > math.log1p(bound))
    assert np.mean(beyond) == pytest.approx(0.05, abs=0.015)


def row(times, controls, smallest=None):
    texts = (";".join(map(repr, values)) if values else None for values in (times, controls))
    return {**dict(zip(("round_medians_s", "round_controls_s"), texts, strict=True)), "smallest_difference": smallest}


def test_rounds_of_one_block_are_compared_as_pairs():
    drift = [1.0, 3.0, 2.0, 5.0]
    judged = row([2.2 * one for one in drift], drift)
    ratio = row_ratio(judged, row([2.0 * one for one in drift], drift))
    assert ratio.method == "paired-t-log"
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((1.1, 1.1, 1.1))


def test_rows_of_different_blocks_are_compared_through_the_control():
    ratio = row_ratio(row([2.2, 6.6, 4.4], [1.0, 3.0, 2.0]), row([8.0, 8.0, 16.0], [4.0, 4.0, 8.0]))
    assert ratio.method == "through-the-control"
    assert ratio.value == pytest.approx(1.1)


def test_rows_without_a_control_are_separate_samples():
    assert row_ratio(row([1.0, 1.1, 1.2], None), row([1.0, 1.1, 1.2], [1.0, 1.0, 1.0])).method == "welch-t-log"
    assert row_ratio(row(None, None), row([1.0, 1.1], None)) is None


@pytest.mark.parametrize(("smallest", "verdict"), [(0.05, "SLOWER"), (0.2, "UNCLEAR")])
def test_no_difference_is_claimed_that_the_control_does_not_let_tell(smallest, verdict):
    drift = [1.0, 3.0, 2.0]
    ratio = row_ratio(row([1.1 * one for one in drift], drift, smallest), row(drift, drift, 0.01))
    assert (ratio.low, ratio.high) == pytest.approx((1.1 / (1 + smallest), 1.1 * (1 + smallest)), rel=1e-3)
    assert time_verdict(ratio, 0.03) == verdict
    assert (ratio.p_slower < 0.025) is (verdict == "SLOWER")
