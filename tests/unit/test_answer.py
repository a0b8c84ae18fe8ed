"""The answer: eligible rows alone, sets where nothing separates rows, what would be faster, and speed-ups by pairs."""

import math

import numpy as np
import pytest
from helpers.report_made import ENTRIES, Made
from segbench.report.answer import (
    Claims,
    fastest_fp32_elsewhere,
    native_of,
    no_answer,
    own_fp32,
    speed_up,
    step_at,
)
from segbench.report.paired_miou import PairedMiou
from segbench.scoring.bootstrap import Interval
from segbench.table.columns import NAMES

ROUNDS = (0.98, 1.0, 1.02, 1.0)


class Sure:
    """Every difference in mIoU is a real one, of `error` on either side."""

    def __init__(self, error=0.0):
        self.error = error

    def change(self, judged, other):
        change = judged["miou"] - other["miou"]
        return Interval(change - self.error, change + self.error)


def row(name, time, miou, rounds=ROUNDS, **cells):
    """A row of the table whose rounds took `time` times each of `rounds`, all of them in blocks with a control."""
    empty = dict.fromkeys((*NAMES, "iou_per_class")) | {"reason": "", "flags": "", "warnings": ""}
    series = [[time * one for one in rounds], [1 + 0.1 * n for n in range(len(rounds))]]
    figures = dict(zip(("round_medians_s", "round_controls_s"), (";".join(map(repr, s)) for s in series), strict=True))
    figures |= {"dataset": "made", "model": "m", "title": "M", "variant": name, "status": "ok", "time_s": time}
    figures |= {"miou": miou, "hardware_id": "here", "repeatable": True, "agrees": True, "smallest_difference": 0.01}
    figures |= {"engine": name.partition("-")[0], "precision": name.partition("-")[2], "accelerated": True}
    return empty | figures | cells


def names(rows):
    return [one["variant"] for one in rows]


def claims(*rows, error=0.0):
    return Claims(list(rows), Sure(error))


SLOW, FAST = row("paddle-fp32", 0.2, 0.60), row("onnxruntime-int8", 0.1, 0.595)
REASONS = {
    "contended": {"contended": True},
    "throttled": {"throttled": True},
    "not steady": {"steady": False},
    "other class maps": {"repeatable": False},
    "other hardware": {"hardware_id": "there"},
    "agree too little": {"agrees": False},
    "mIoU is not known": {"miou": None},
}


@pytest.mark.parametrize("words", REASONS)
def test_a_row_with_a_reason_against_it_is_never_the_answer(words):
    doubted = row("openvino-int8", 0.01, 0.60) | REASONS[words]
    found = claims(SLOW, FAST, doubted)
    for step in found.steps():
        assert "openvino-int8" not in names(step.fastest)
        ((other, reasons),) = step.but
        assert other is doubted and words in "; ".join(reasons)
    assert "openvino-int8" not in names(found.best()) + names(found.front())


def test_flags_are_told_with_their_numbers():
    doubted = row("openvino-int8", 0.01, 0.60, contended=True, flags="round 2 is contended: 12% of CPU 1. Stop them")
    (step,) = claims(FAST, doubted).steps()[-1:]
    assert step.but[0].reasons == ["round 2 is contended: 12% of CPU 1. Stop them"]


def test_a_doubted_row_that_is_slower_or_less_accurate_is_no_but():
    slower, wrong = row("a-int8", 0.3, 0.60, contended=True), row("b-int8", 0.01, 0.40, contended=True)
    found = claims(SLOW, FAST, slower, wrong)
    assert step_at(found.steps(), 0.01).but == []
    assert [one.row["variant"] for one in step_at(found.steps(), 0.2).but] == ["b-int8"]


@pytest.mark.parametrize(
    ("loss", "fastest"), [(0, "a"), (0.0099, "a"), (0.01, "b"), (0.05, "b"), (0.09, "c"), (0.5, "d"), (1, "d")]
)
def test_fastest_is_within_the_accepted_loss(loss, fastest):
    rows = [row("a", 3, 0.61), row("b", 2, 0.60), row("c", 1, 0.52), row("d", 0.5, 0.11)]
    assert names(step_at(claims(*rows).steps(), loss).fastest) == [fastest]


def test_answers_change_where_their_losses_say():
    losses = [step.loss for step in claims(row("a", 3, 0.61), row("b", 2, 0.60), row("c", 4, 0.5)).steps()]
    assert losses == [0.0, 0.01]  # c is slower than b, and changes nothing
    assert claims(row("a", 3, 0.61), row("b", 2, 0.60996)).steps()[1].loss == 0.0001  # rounded up


def test_rows_whose_intervals_overlap_are_fastest_together():
    near = row("openvino-fp32", 0.101, 0.60, rounds=(1.05, 0.95, 1.0, 1.02))
    assert names(claims(SLOW, near, FAST).steps()[-1].fastest) == ["onnxruntime-int8", "openvino-fp32"]


def test_a_difference_below_the_smallest_is_not_claimed():
    """Four pairs differ by 3% exactly."""
    rows = [row("a", 0.103, 0.6), row("b", 0.1, 0.6)]
    assert names(claims(*rows).steps()[0].fastest) == ["b"]
    for one in rows:
        one["smallest_difference"] = 0.04
    assert names(claims(*rows).steps()[0].fastest) == ["b", "a"]


def test_one_round_separates_nothing():
    rows = [row("a", 1, 0.6, rounds=(1,)), row("b", 5, 0.6, rounds=(1,))]
    assert names(claims(*rows).steps()[0].fastest) == ["a", "b"]


def test_drift_between_blocks_hides_no_difference_of_pairs():
    drift = (1.0, 2.0, 3.0, 1.5)
    rows = [row("a", 0.110, 0.6, rounds=drift), row("b", 0.1, 0.6, rounds=drift)]
    assert names(claims(*rows).steps()[0].fastest) == ["b"]


def test_best_is_a_set_where_mious_are_not_separated():
    rows = [row("a", 1, 0.600), row("b", 2, 0.601), row("c", 3, 0.5)]
    assert names(claims(*rows).best()) == ["b"]
    assert names(claims(*rows, error=0.01).best()) == ["b", "a"]


def test_pareto_front_claims_no_difference_that_was_not_shown():
    rows = [row("a", 1, 0.5), row("b", 2, 0.505), row("c", 2.01, 0.7, rounds=(1, 1, 1, 1.01)), row("d", 3, 0.7)]
    assert names(claims(*rows).front()) == ["a", "c"]  # b is less accurate than c, and not shown to be faster
    assert names(claims(*rows, error=0.01).front()) == ["a", "c"]
    assert names(claims(*rows, error=1).front()) == ["a"]


def test_no_eligible_row_is_told_with_the_cure():
    rows = [row("a", 1, 0.6, contended=True), row("b", 2, 0.6, agrees=False), row("c", 3, None, status="failed")]
    rows[2] |= {"time_s": None, "round_medians_s": None}
    found = claims(*rows)
    assert found.steps() == [] and found.best() == [] and found.front() == []
    told = {name: (cure, names(of)) for name, cure, of in no_answer(found)}
    assert set(told) == {"contended", "agreement below its bound", "not timed"}
    assert "results/control" in told["contended"][0] and told["contended"][1] == ["a"]


def test_without_mious_agreement_is_compared_as_it_is():
    rows = [row("a", 2, None, pixel_agreement=1.0), row("b", 1, None, pixel_agreement=0.999)]
    found = claims(*rows)
    assert [names(step.fastest) for step in found.steps()] == [["a"], ["b"]]
    assert names(found.best()) == ["a"]


def test_speed_ups_are_ratios_of_pairs():
    """All pairs have one ratio, so that the interval is what the smallest difference of 1% allows."""
    drift = (1.0, 2.0, 3.0, 1.5)
    rows = [
        row("paddle-fp32", 0.4, 0.6, rounds=drift, accelerated=False),
        row("openvino-fp32", 0.2, 0.6, rounds=drift),
        row("openvino-int8", 0.1, 0.6, rounds=drift),
        row("onnxruntime-fp32", 0.15, 0.6, rounds=drift),
    ]
    found, int8 = claims(*rows), rows[2]
    over = [native_of(rows), fastest_fp32_elsewhere(int8, rows), own_fp32(int8, rows)]
    assert names(over) == ["paddle-fp32", "onnxruntime-fp32", "openvino-fp32"]
    for other, value in zip(over, (4, 1.5, 2), strict=True):
        speed = speed_up(int8, other, found)
        assert (speed.value, speed.low, speed.high) == pytest.approx((value, value / 1.01, value * 1.01))
    assert own_fp32(rows[1], rows) is None and speed_up(rows[0], rows[0], found) is None


def test_a_speed_up_over_a_flagged_row_has_its_mark():
    native = row("paddle-fp32", 0.4, 0.6, accelerated=False, contended=True)
    found = claims(native, FAST)
    assert str(speed_up(FAST, native, found)) == "4.00× (3.96–4.04) c"


def test_two_variants_are_compared_on_the_same_draws_of_images(tmp_path):
    """Images differ by 1% in how hard they are: more than the variants do."""
    made = Made(tmp_path, variants=tuple(ENTRIES), images=12)
    paired = PairedMiou(made.results)
    keys = [{"dataset": "made", "model": "first", "variant": name} for name in ("paddle-fp32", "onnxruntime-int8")]
    change = paired.change(*keys)
    assert 0.0029 < change.low < 0.003 < change.high < 0.0031
    same = paired.change(keys[0], keys[0])
    assert (same.low, same.high) == (0, 0)


def test_few_images_separate_no_mious(tmp_path):
    made = Made(tmp_path, images=4)
    keys = [{"dataset": "made", "model": "first", "variant": name} for name in ("paddle-fp32", "openvino-int8")]
    assert PairedMiou(made.results).change(*keys) is None


def test_equal_rows_are_rarely_told_apart():
    """Rows of equal speed, four rounds each: one is claimed to be faster in about one case of twenty at most."""
    random, told = np.random.default_rng(0), 0
    for _ in range(400):
        noise = [[math.exp(value) for value in random.normal(0, 0.05, 4)] for _ in range(2)]
        a, b = (row(name, 0.1, 0.6, rounds=rounds) for name, rounds in zip("ab", noise, strict=True))
        found = claims(a, b)
        told += found.faster(a, b) or found.faster(b, a)
    assert told / 400 < 0.08
