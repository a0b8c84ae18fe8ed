"""What the gate lets pass: the counterexamples one by one, and how often it errs, by simulation with fixed seeds."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from gate import failures, with_pairs
from segbench.planning.baselines import Kept
from segbench.table.comparison import against_baselines, judged, to_time_again
from segbench.table.row import Row

ALLOWED = 0.1
SETTINGS = {
    "margin": 0.03,
    "allowed": ALLOWED,
    "max_drop": 0.005,
    "max_lost": {},
    "agreement_bounds": {"fp32": 0.999},
    "class_agreement_bounds": {"fp32": 0.99},
    "codes": {"v": "code"},
}


def row(medians=(1.0, 1.001, 0.999), model="m", **change):
    return {
        **dict.fromkeys(Row.__annotations__),
        "dataset": "d",
        "model": model,
        "variant": "v",
        "status": "ok",
        "reason": "",
        "precision": "fp32",
        "miou": 0.7,
        "pixel_agreement": 1.0,
        "repeatable": True,
        "time_s": sorted(medians)[len(medians) // 2] if len(medians) else None,
        "round_medians_s": ";".join(map(repr, map(float, medians))),
        "hardware_id": "here",
        "software_id": "same",
        "threads": 2,
        "steady": True,
        "contended": False,
        "throttled": False,
        "flags": "",
        **change,
    }


def kept(*models, code="code"):
    """Engines of these models that a baseline keeps."""
    entry = {"variant": {"name": "v"}, "code": code}
    return {("d", model, "v"): Kept(Path("base"), entry) for model in models}


def gate(rows, runs, pair=None, kept=None):
    """Lines that the gate prints for a run against baselines; `pair` gives the rounds' ratios of a row timed again."""
    found = judged(to_time_again(against_baselines(rows, runs, SETTINGS), rows, runs, kept or {}, SETTINGS), 0.03)
    asked = {(entry["dataset"], entry["model"], entry["variant"]) for entry in found if entry["again"]}
    records = {key: {"status": "ok", "rounds": [{"ratio": r} for r in pair(key)], "warnings": []} for key in asked}
    return failures(with_pairs(found, records, SETTINGS["margin"]), ALLOWED)


def test_lost_objects_stop_a_row_also_where_the_baseline_lost_them_or_lacks_the_row(monkeypatch):
    monkeypatch.setitem(SETTINGS, "max_lost", {"person": 0})
    lost = {"reference": "paddle-fp32", "objects_lost_by_class": {"person": 1, "rider": 4}}
    before, none = [row(**lost), row(model="n", **lost)], {**lost, "objects_lost_by_class": {"person": 0, "rider": 4}}
    for run in (before, before[:1]):
        lines = gate([row(**none), row(model="n", **lost)], [run])
        assert [line.split(":")[0] for line in lines] == ["WRONG"]
        assert "d n v against baseline: loses 1 objects of class person that paddle-fp32 finds" in lines[0]
    failed = row(model="n", status="failed", reason="out of memory", miou=None)
    assert gate([row(**none), failed], [before[:1]]) == []


def slowed(by, row_):
    times = [float(value) * by for value in row_["round_medians_s"].split(";")]
    return {**row_, "round_medians_s": ";".join(map(repr, times)), "time_s": row_["time_s"] * by}


# One by one


def test_what_is_as_before_passes():
    assert gate([row()], [[row()]]) == []


@pytest.mark.parametrize("rounds", [[1.0], [1.0, 1.01, 1.0, 1.02, 0.99, 1.0]])
def test_five_times_slower_in_one_round_fails(rounds):
    line = gate([row([5.0])], [[row(rounds)]])[0]
    assert re.match(r"FEW ROUNDS: d m v against baseline: (5.000|4.984) of its time \(no interval\)", line)
    assert line.endswith("Set rounds to 3 or more for this run and its baseline")


def test_unchanged_row_of_two_rounds_is_not_shown():
    assert gate([row([1.0, 1.001])], [[row()]])[0].startswith("FEW ROUNDS: d m v")


def test_five_times_slower_after_another_driver_fails_although_both_engines_are_as_slow():
    now = row([5.0, 5.01, 5.02], software_id="new driver")
    (line,) = gate([now], [[row()]], pair=lambda key: [1.0] * 6, kept=kept("m"))
    assert line.startswith("SLOWER: d m v against baseline: 5.010 of its time (95%: ")
    assert "not timed again beside the baseline's engine: kernel, driver, packages" in line
    assert line.endswith("(environment.json of both runs), or accept it: snakemake update_baseline")


def test_slower_code_around_an_engine_is_not_acquitted_by_a_pair():
    slow = row([1.2, 1.21, 1.19])
    (line,) = gate([slow], [[row()]], pair=lambda key: [1.0] * 6, kept=kept("m", code="older"))
    assert line.startswith("SLOWER") and "the code that runs its engine changed since" in line


def test_vanished_row_fails():
    never_ran = row([], "never", status="unsupported", reason="no GPU")
    (line,) = gate([row()], [[row(), row(model="gone"), never_ran]])
    assert line.startswith("GONE: d gone v against baseline: not in this run. Choose it again (models, variants), or")


def test_row_of_other_hardware_fails_unless_it_was_timed_again():
    lines = gate([row()], [[row(hardware_id="there")]])
    assert lines[0].startswith(
        "OTHER HARDWARE: d m v against baseline: measured on other hardware (there → here): times are not compared"
    )
    assert lines[1].startswith("NOTHING TIMED: no row's time was compared")
    other = [[row(hardware_id="there", software_id="theirs")]]
    assert gate([row()], other, pair=lambda key: [1.0, 1.01, 0.99], kept=kept("m")) == []
    (line,) = gate([row()], other, pair=lambda key: [1.5, 1.51, 1.49], kept=kept("m"))
    assert line.startswith("SLOWER: d m v against baseline: 1.500 of its time")


def test_other_threads_are_not_compared_nor_timed_again():
    now = row([2.0, 2.01, 1.99], threads=1)
    lines = gate([now], [[row()]], pair=lambda key: [1.0] * 6, kept=kept("m"))
    assert lines[0].startswith("OTHER THREADS: d m v against baseline: threads: 2 → 1: times are not compared")


def test_nothing_timed_fails():
    failed = row([], status="unsupported", reason="no GPU", miou=None, pixel_agreement=None, repeatable=None)
    assert gate([failed], [[failed]])[0].startswith("NOTHING TIMED")


def test_new_row_and_row_that_runs_again_pass_beside_timed_ones():
    failed = row([], "back", status="failed", reason="out of memory", miou=None)
    assert gate([row(), row(model="new"), row(model="back")], [[row(), failed]]) == []


def test_unclear_row_is_timed_again_and_fails_if_it_stays_unclear():
    noisy, base = row([1.0, 1.3, 0.9]), [[row()]]
    (line,) = gate([noisy], base)
    assert line.startswith("UNCLEAR: d m v against baseline: ") and "update_baseline), or three or more runs" in line
    assert gate([noisy], base, pair=lambda key: [1.0, 1.02, 0.99, 1.01], kept=kept("m")) == []
    (line,) = gate([noisy], base, pair=lambda key: [1.0, 1.4, 0.8], kept=kept("m"))
    assert "timed again beside the baseline's engine, A B B A" in line
    assert line.endswith("Stop what else runs, or set comparison.rounds higher")


def test_row_that_is_shown_is_not_timed_again():
    assert gate([row()], [[row()]], pair=None, kept=kept("m")) == []  # a pair would have to be called


def test_pair_that_could_not_be_timed_shows_nothing():
    entry = to_time_again(
        against_baselines([row([1.0])], [[row()]], SETTINGS), [row([1.0])], [[row()]], kept("m"), SETTINGS
    )
    record = {"status": "unsupported", "reason": "input of the model: 1 → 2"}
    line = failures(with_pairs(entry, {("d", "m", "v"): record}, 0.03), ALLOWED)[0]
    assert line.startswith("FEW ROUNDS") and "beside the baseline's engine not timed: unsupported: input of" in line


def test_slower_within_what_is_allowed_passes():
    assert gate([slowed(1.05, row())], [[row()]]) == []
    assert gate([slowed(1.12, row())], [[row()]])[0].startswith("SLOWER")


def test_runs_that_differ_widen_the_interval():
    def runs(*levels):
        return [[slowed(level, row())] for level in levels]

    assert gate([row()], runs(0.99, 1.0, 1.01)) == []
    assert gate([row()], runs(0.93, 1.0, 1.07))[0].startswith("UNCLEAR")


def test_runs_of_other_hardware_among_the_baselines_do_not_count():
    runs = [[row()], [row()], [row([9.0, 9.1, 9.2], hardware_id="there")], [row([1.0])]]
    (found,) = against_baselines([row()], runs, SETTINGS)
    assert (found["gap"], found["method"], "2 of 4 baselines have comparable times" in found["notes"]) == (
        "",
        "runs-t-log",
        True,
    )


# By simulation


def draw(random, count, day_sd, round_sd):
    """A run of `count` rows of 6 rounds: each row has its own luck of the day, and each of its rounds its own."""
    days = random.normal(0, day_sd, count)
    return [row(np.exp(day + random.normal(0, round_sd, 6)), f"m{number:02d}") for number, day in enumerate(days)]


def share_that_fails(gates, rows, baselines, day_sd, round_sd, pair_sd=None, slower=None, seed=11):
    """Share of gates that fail. With `slower`, the factor of the first row: share of gates that name this row.
    `pair_sd`: what the ratios of a pair's rounds vary by, where unclear rows are timed again.
    """
    random, failed = np.random.default_rng(seed), 0
    engines = kept(*(f"m{number:02d}" for number in range(rows))) if pair_sd else None

    def pair(key):
        return (slower or 1.0 if key[1] == "m00" else 1.0) * np.exp(random.normal(0, pair_sd, 6))

    for _ in range(gates):
        runs = [draw(random, rows, day_sd, round_sd) for _ in range(baselines)]
        first, *others = draw(random, rows, day_sd, round_sd)
        lines = gate([slowed(slower or 1.0, first), *others], runs, pair, engines)
        failed += any(" d m00 v " in line for line in lines) if slower else bool(lines)
    return failed / gates


@pytest.mark.parametrize("baselines", [1, 3])
def test_unchanged_rows_of_another_day_seldom_fail(baselines):
    """56 rows whose runs differ by 5% from day to day: 5% of the gates may fail."""
    assert share_that_fails(100, 56, baselines, day_sd=0.05, round_sd=0.02, pair_sd=0.02) <= 0.05


@pytest.mark.parametrize(
    ("rows", "baselines", "day_sd", "pair_sd"),
    [(1, 1, 0, None), (1, 1, 0, 0.03), (1, 3, 0.05, 0.03), (16, 1, 0.05, None), (16, 1, 0.05, 0.03)],
)
def test_ten_percent_is_found(rows, baselines, day_sd, pair_sd):
    assert share_that_fails(400 if rows == 1 else 100, rows, baselines, day_sd, 0.03, pair_sd, slower=1.1) >= 0.9
