"""A pair's order of runs, its ratio and its check of outputs, on sessions without an engine."""

from types import SimpleNamespace

import numpy as np
import pytest
from segbench.files import write_json
from segbench.timing import clock
from time_pair import Pair, other_input, runs_in_stretch, summary

NOW = [0.0]  # seconds


@pytest.fixture(autouse=True)
def made_clock(monkeypatch):
    """Time passes in `Session.execute` alone."""
    monkeypatch.setattr(clock.time, "perf_counter_ns", lambda: round(NOW[0] * 1e9))


SIDES = [{"variant": {"name": "a"}}, {"variant": {"name": "b"}}]


class Session:
    """Takes `seconds` of the made clock and notes in `runs` that it ran."""

    def __init__(self, name, runs, seconds, maps=None):
        self.name, self.runs, self.seconds, self.maps = name, runs, seconds, maps or iter(lambda: 0, 1)

    def upload(self, image):
        pass

    def execute(self):
        self.runs.append(self.name)
        NOW[0] += self.seconds

    def synchronize(self):
        pass

    def download(self):
        return np.full((2, 2), next(self.maps), np.uint8)


def opened(session):
    return SimpleNamespace(session=session, image=lambda row: [row], watch=lambda: SimpleNamespace(stop=lambda: None))


def make_pair(order=(0, 1, 1, 0), budget_s=1e9, stretch=1, **more):
    runs = []
    pair = Pair({0: opened(Session("a", runs, 2.0, **more)), 1: opened(Session("b", runs, 3.0))}, order, stretch)
    pair.run([{"image_id": "x"}, {"image_id": "y"}], budget_s)
    return pair, runs


def test_every_timed_run_follows_a_run_of_its_own_session():
    _, runs = make_pair()
    assert "".join(runs) == "aabbbaa" * 2
    _, runs = make_pair(stretch=3)
    assert "".join(runs) == "aaaabbbbbbbaaaa" * 2


@pytest.mark.parametrize(("seconds", "runs"), [(0.02, 8), (0.05, 4), (0.15, 1), (3.0, 1)])
def test_a_stretch_has_the_runs_of_the_slower_session_that_fit(seconds, runs):
    sessions = {side: opened(Session("x", [], time)) for side, time in enumerate((seconds / 2, seconds))}
    assert runs_in_stretch(sessions, ["image"]) == runs


def test_a_round_ends_when_its_seconds_are_spent():
    assert len(make_pair(budget_s=10)[0].result()["block_ratios"]) == 1
    assert len(make_pair(budget_s=11)[0].result()["block_ratios"]) == 2


def test_ratio_is_second_over_first_in_either_order():
    for order in ((0, 1, 1, 0), (1, 0, 0, 1)):
        result = make_pair(order)[0].result()
        assert result["ratio"] == pytest.approx(1.5)
        assert result["medians_s"] == [2.0, 3.0]


def round_of(pair, ratio):
    return {**pair.result(), "ratio": ratio, "steady": True, "contended": False, "throttled": False}


def test_summary_has_the_interval_over_rounds():
    pair, _ = make_pair()
    found = summary([round_of(pair, ratio) for ratio in (1.4, 1.5, 1.6)], SIDES)
    assert found["ratio_low"] < found["ratio"] < found["ratio_high"]
    assert found["ratio"] == pytest.approx((1.4 * 1.5 * 1.6) ** (1 / 3))
    assert found["warnings"] == []


def test_output_that_changes_between_runs_is_told():
    pair, _ = make_pair(maps=iter([1, 1, 1, 1, 1, 1, 1, 2]))
    found = summary([round_of(pair, 1.5)] * 2, SIDES)
    assert found["warnings"] == ["a: 1 class map(s) differ between its own runs"]


def test_output_that_changes_between_rounds_is_told():
    rounds = [round_of(make_pair(maps=iter([value] * 8))[0], 1.5) for value in (1, 2)]
    assert summary(rounds, SIDES)["warnings"] == ["a: 2 class map(s) differ between its own runs"]


def test_a_model_that_takes_another_input_is_no_pair(tmp_path):
    now, before = tmp_path / "now.json", tmp_path / "before.json"
    record = {"input": {"height": 32, "width": 64}, "preprocessing": {"scale": 1.0}}
    write_json(now, record)
    write_json(before, {**record, "input": {"height": 64, "width": 64}})
    assert other_input(now, now) == ""
    told = "input of the model: {'height': 64, 'width': 64} → {'height': 32, 'width': 64}"
    assert other_input(before, now) == told
    write_json(before, {**record, "head": "logits"})
    assert other_input(before, now) == "head of the model: logits → argmax"
