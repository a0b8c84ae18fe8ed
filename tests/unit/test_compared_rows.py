"""Rows beside a baseline's rows: what is matched, what is noted, and tables that are none."""

import pytest
from segbench.errors import InputError
from segbench.table.comparison import against_baselines, judged, of_pairs
from segbench.table.csv import read_table

BOUNDS = {"agreement_bounds": {"fp32": 0.999}, "class_agreement_bounds": {"fp32": 0.99}}
SETTINGS = {"margin": 0.03, "max_drop": 0.005, "max_lost": {}, **BOUNDS}
NAMES = "dataset,model,variant,status,reason,precision,miou,pixel_agreement,time_s,hardware_id"
GOOD = "d,m,{variant},ok,,fp32,0.7,1.0,{time},here"


def against_baseline(now, before, settings):
    return judged(against_baselines(now, [before], settings), settings["margin"])


def table(path, header, *lines):
    path.write_text("\n".join([header, *lines]) + "\n")
    return read_table(path)


def test_baseline_without_its_rounds_has_a_ratio_but_no_verdict_on_it(tmp_path):
    now = table(tmp_path / "a.csv", f"{NAMES},round_medians_s", GOOD.format(variant="v", time=2) + ",1.9;2.1")
    before = table(tmp_path / "b.csv", NAMES, GOOD.format(variant="v", time=1))
    (found,) = against_baseline(now, before, SETTINGS)
    assert (found["ratio"], found["verdict"]) == (2, "UNCLEAR")
    assert found["notes"] == ["the baseline does not have its rounds: no interval"]


def test_rows_of_one_side_only_are_noted_and_not_judged(tmp_path):
    now = table(tmp_path / "a.csv", NAMES, GOOD.format(variant="new", time=1))
    before = table(tmp_path / "b.csv", NAMES, GOOD.format(variant="old", time=1))
    found = against_baseline(now, before, SETTINGS)
    assert [(row["variant"], row["verdict"], row["notes"]) for row in found] == [
        ("new", None, ["not in the baseline"]),
        ("old", None, ["not in this run"]),
    ]


def test_row_that_no_longer_runs_is_wrong(tmp_path):
    now = table(tmp_path / "a.csv", NAMES, "d,m,v,failed,out of memory,fp32,,,,")
    before = table(tmp_path / "b.csv", NAMES, GOOD.format(variant="v", time=1))
    (found,) = against_baseline(now, before, SETTINGS)
    assert (found["verdict"], found["faults"], found["time_verdict"]) == ("WRONG", ["failed: out of memory"], None)


def test_flags_of_both_sides_are_noted_also_of_a_baseline_without_sentences(tmp_path):
    now = table(tmp_path / "a.csv", f"{NAMES},flags", GOOD.format(variant="v", time=1) + ",round 2 is contended: so")
    before = table(tmp_path / "b.csv", f"{NAMES},throttled", GOOD.format(variant="v", time=1) + ",true")
    (found,) = against_baseline(now, before, SETTINGS)
    assert found["notes"][-2:] == [
        "round 2 is contended: so",
        "baseline: throttled: heat, power or a CPU quota slowed the device down",
    ]


def test_disturbed_round_of_a_pair_is_named_with_its_share(tmp_path):
    rows = table(tmp_path / "a.csv", NAMES, *(GOOD.format(variant=name, time=1) for name in "ab"))
    seen = {"contended": True, "contention_share": 0.05, "disturbances": [{"other_share": 0.2}]}
    rounds = [{"steady": True, "ratio": 0.99}, {**seen, "ratio": 1.01}]
    timed = {("m", "a", "b"): {"status": "ok", "warnings": [], "rounds": rounds}}
    (found,) = of_pairs(rows, timed, {**SETTINGS, "pairs": [["a", "b"]], "alternate": True})
    assert found["notes"] == [
        "round 2 is contended: other processes used 20% of a CPU (allowed: 5%)."
        " Stop them, or raise timing.contention_share"
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is no table.csv of SegBench"),
        ("a,b\n1,2\n", "is no table.csv of SegBench (no dataset, model"),
        (f"{NAMES}\nd,m,v,ok,,fp32,much,1,1,here\n", "damaged (could not convert string to float"),
    ],
)
def test_file_that_is_no_table_is_told(tmp_path, text, told):
    path = tmp_path / "other.csv"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_table(path)
    assert told in str(error.value) and str(path) in str(error.value)
