"""Layers of an INT8 row in groups, what each group's precision was measured to cost, and the mix that is chosen."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from group_layers import group_count
from mixed_precision import cells, entries, sentence, whole
from segbench.calibration.base import Operator
from segbench.calibration.groups import in_groups
from segbench.table.mixed_precision import (
    Measured,
    agrees,
    changed_share,
    choose,
    front,
    measured,
    predicted,
    verdict,
)
from segbench.table.verdict import Ratio

GRAPH = [
    Operator("", ("transpose",)), Operator("conv.0", ("conv.0", "a")), Operator("", ("relu.0", "b")),
    Operator("conv.1", ("conv.1", "c")), Operator("add.2", ("add.2", "d")), Operator("conv.3", ("conv.3", "e")),
    Operator("", ("argmax", "f")),
]  # fmt: skip


def names(groups) -> list[list[str]]:
    return [group.layers for group in groups]


def test_groups_follow_each_other_and_take_about_the_same_time():
    profiled = [(("conv.0",), 4.0), (("conv.1",), 1.0), (("add.2",), 1.0), (("conv.3",), 2.0)]
    groups = in_groups(GRAPH, profiled, 2)
    assert names(groups) == [["conv.0"], ["conv.1", "add.2", "conv.3"]]
    assert [group.seconds for group in groups] == [4.0, 4.0]


def test_what_is_no_layer_counts_for_the_layer_before_it_by_any_of_its_names():
    profiled = [(("b_nchwc",), 4.0), (("conv.3", "f"), 3.0), (("unknown",), 9.0), (("transpose",), 9.0)]
    groups = in_groups(GRAPH, profiled, 4)
    assert [group.seconds for group in groups] == [4.0, 3.0]
    assert names(groups) == [["conv.0"], ["conv.1", "add.2", "conv.3"]]


def test_layers_that_were_fused_go_with_the_one_that_their_time_stands_at():
    assert names(in_groups(GRAPH, [(("conv.0", "conv.1"), 1.0), (("add.2",), 1.0)], 2)) == [
        ["conv.0", "conv.1"],
        ["add.2", "conv.3"],
    ]


def test_layers_of_an_engine_that_names_none_are_dealt_out_evenly():
    assert names(in_groups(GRAPH, [(("17",), 1.0)], 2)) == [["conv.0", "conv.1"], ["add.2", "conv.3"]]
    assert names(in_groups(GRAPH, [], 8)) == [["conv.0"], ["conv.1"], ["add.2"], ["conv.3"]]
    assert in_groups([Operator("", ("a",))], [], 8) == []


@pytest.mark.parametrize(("run_s", "count"), [(0.01, 8), (1.0, 8), (1.25, 7), (2.5, 2), (60.0, 1)])
def test_slow_networks_have_fewer_groups(run_s, count):
    """Each process of a pair times four runs at least: at 2.5 s a pair takes a minute, and three are of no group."""
    assert group_count({"groups": 8, "budget_s": 300, "rounds": 6, "whole_pairs": 3}, run_s) == count


def mix(name: str, ratio: float, regained: float = 0.0, half: float = 0.005, shown: bool = True) -> Measured:
    return {
        "name": name, "status": "ok", "reason": "", "ratio": ratio, "ratio_low": ratio - half,
        "ratio_high": ratio + half, "changed": 0.01, "changed_low": None, "changed_high": None,
        "loss": 0.1 - regained, "regained": regained, "regained_low": regained / 2 if shown else -0.01, "notes": [],
    }  # fmt: skip


FAILED: Measured = {"name": "broken", "status": "failed", "reason": "out of memory"}


def test_a_group_that_int8_makes_slower_goes_to_fp32():
    assert choose([mix("slow", 0.97), mix("not shown", 0.997), mix("fast", 1.2), FAILED], 0.03) == ["slow"]


def test_groups_that_regain_most_for_their_time_go_to_fp32_within_the_margin():
    dear, cheap, second = mix("dear", 1.025, 0.02), mix("cheap", 1.01, 0.02), mix("second", 1.02, 0.03)
    noise = mix("noise", 1.0, 0.05, shown=False)
    assert choose([dear, cheap, second, noise], 0.031) == ["cheap", "second"]
    assert choose([dear, cheap, second, noise], 0.001) == []


def test_one_group_stays_in_int8():
    assert choose([mix("a", 0.8), mix("b", 0.9)], 0.03) == ["a"]


def test_predicted_changes_add_up_with_their_errors():
    promised = predicted([mix("a", 0.9, half=0.03), mix("b", 1.02, half=0.04), mix("c", 2.0), FAILED], ["a", "b"])
    assert promised == pytest.approx((0.92, 0.87, 0.97))
    assert predicted([FAILED], []) == (1, 1, 1)
    assert agrees(promised, Ratio(0.97, 0.93, 1.01, ""))
    assert not agrees(promised, Ratio(1.0, 0.96, 1.04, ""))


@pytest.mark.parametrize(
    ("exact", "mix_to_row", "mix_to_exact", "taken"),
    [
        (2.0, (1.02, 1.05), (0.5, 0.5), "chosen"),
        (2.0, (1.02, 1.11), (0.5, 0.5), "int8"),  # it may be slower by more than is allowed
        (0.9, (0.98, 0.99), (1.09, 1.12), "fp32"),
        (0.9, (0.91, 0.92), (1.01, 1.03), "chosen"),
    ],
)
def test_a_mix_that_may_be_slower_than_the_faster_of_both_is_not_taken(exact, mix_to_row, mix_to_exact, taken):
    ratios = [Ratio(value, None, high, "") for value, high in (mix_to_row, mix_to_exact)]
    assert verdict(Ratio(exact, None, None, ""), *ratios, allowed=0.1)[0] == taken


def test_front_has_what_no_other_beats_in_time_and_loss():
    points = [mix("int8", 1.0), mix("near", 1.1, 0.05), mix("beaten", 1.2, 0.04), mix("fp32", 2.0, 0.1)]
    assert front(points) == {"int8", "near", "fp32"}


def counts_of(*changed: int) -> dict:
    """Records of class maps of images with 100 pixels of each of two classes; so many of the first are taken for the
    second."""
    return {
        "status": "ok", "reason": "", "images": [str(number) for number in range(len(changed))],
        "counts": [[[100 - wrong, 100], [100, 100], [100 - wrong, 100 + wrong]] for wrong in changed],
    }  # fmt: skip


def test_changes_are_measured_per_image_with_intervals():
    row, own = counts_of(*[40, 60] * 8), counts_of(*[20, 30] * 8)
    found = measured("a", pair(1.1), own, row)
    assert found["changed"] == pytest.approx(0.125)
    assert found["changed_low"] < 0.125 < found["changed_high"]
    assert found["loss"] == pytest.approx(1 - (0.75 + 100 / 125) / 2)
    assert 0 < found["regained_low"] < found["regained"] == pytest.approx((0.75 + 0.8 - 0.5 - 100 / 150) / 2)
    assert measured("a", pair(1.1), counts_of(20), counts_of(50))["changed_low"] is None
    assert changed_share(np.array(own["counts"])).shape == (16,)


def test_a_group_that_did_not_run_keeps_its_reason():
    assert measured("a", {"status": "failed", "reason": "killed"}, counts_of(1), counts_of(2))["reason"] == "killed"


def pair(ratio: float) -> dict:
    return {
        "status": "ok", "reason": "", "ratio": ratio, "ratio_low": ratio - 0.01, "ratio_high": ratio + 0.01,
        "method": "paired-t-log", "steady": True, "contended": False, "throttled": False, "warnings": [],
    }  # fmt: skip


NAMES = {"model": "net", "int8": "engine-int8", "fp32": "engine-fp32"}


def page_of(mix_ratio: float) -> tuple[str, list[list[str]]]:
    """What is said of a mix of one group of two, and the lines of the table."""
    row, better = counts_of(*[40, 60] * 8), counts_of(*[20, 30] * 8)
    groups = {name: {"layers": [f"{name}.0"], "seconds": 0.01} for name in ("group1", "group2")}
    found = [measured("group1", pair(1.02), better, row), measured("group2", pair(1.5), row, row)]
    choice = {
        "groups": groups, "chosen": ["group1"], "predicted": predicted(found, ["group1"])._asdict(), "row_s": 0.01,
        "measured": [measured("int8", None, row, row), *found],
    }  # fmt: skip
    pairs = {"int8--fp32": pair(2.0), "int8--chosen": pair(mix_ratio), "fp32--chosen": pair(mix_ratio / 2)}
    record = whole(choice, {"int8": row, "chosen": better}, pairs, 0.1)
    return sentence(NAMES, choice, record, 0.1), cells(record["measured"], {"chosen": 1}, choice["row_s"])


def test_page_has_the_promise_beside_what_was_measured():
    said, lines = page_of(1.025)
    assert said == (
        "The chosen mix has group1 of 2 groups in FP32. The groups promise +0.200 ms (+0.100 to +0.300) against"
        " engine-int8; measured as a whole it is +0.250 ms (+0.150 to +0.350), within the intervals. It takes ×1.025"
        " of the time of the faster one of both, at most ×1.035, and regains 0.1917 of mean IoU with FP32."
    )
    assert [line[0] for line in lines] == ["int8", "group1", "chosen", "group2", "fp32"]  # the fastest first
    assert [line[-2] for line in lines] == ["yes", "yes", "", "", "yes"]


def test_page_names_the_faster_one_where_the_mix_is_slower():
    said, _ = page_of(1.2)
    assert "**not** within the intervals" in said
    assert "**Take engine-int8 instead**: the mix is not shown to be slower by less than 10%" in said


def test_page_ends_with_the_lines_that_make_the_mix_a_row():
    chosen = Path("results/mixed_precision/set/net/engine-int8/chosen/layers.json")
    calibrator = {"library": "nncf", "options": {"preset": "mixed"}, "fp32_layers": {"other": "mine.json"}}
    variant = {"engine": "engine", "precision": "int8", "calibrator": "careful", "build": {}, "run": {}}
    text = entries(chosen, {**NAMES, "variant": variant, "calibrator": calibrator})
    made = yaml.safe_load(text.removeprefix("```yaml\n").removesuffix("```"))
    assert made["variant_catalogue"]["engine-int8-mixed"] == {**variant, "calibrator": "engine-int8-mixed"}
    files = made["calibrator_catalogue"]["engine-int8-mixed"]["fp32_layers"]
    assert files == {"other": "mine.json", "net": str(chosen)}
