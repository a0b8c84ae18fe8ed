"""Verdicts: intervals against SciPy, the rule on hand-made intervals, error rates by simulation with fixed seeds."""

import math

import numpy as np
import pytest
from scipy import stats
from segbench.scoring.confusion import confusion_matrix
from segbench.scoring.image_counts import ImageCounts
from segbench.scoring.score_record import Judgement, Sums, figures
from segbench.table.verdict import (
    FASTER,
    SAME,
    SLOWER,
    UNCLEAR,
    Ratio,
    faults,
    paired_ratio,
    ratio_to_runs,
    time_verdict,
    time_verdicts,
    unpaired_ratio,
    with_spread_of_rows,
)

A, B = [1.0, 1.1, 0.97, 1.03], [0.9, 1.05, 0.93, 0.99]


def test_paired_interval_is_scipys_on_logarithms():
    found = paired_ratio(A, B)
    test = stats.ttest_rel(np.log(A), np.log(B))
    expected = test.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((math.exp(expected.low), math.exp(expected.high)))
    assert found.value == pytest.approx(math.exp(np.mean(np.log(A) - np.log(B))))
    assert found.method == "paired-t-log"


def test_unpaired_interval_is_scipys_welch_on_logarithms():
    found = unpaired_ratio(A, B[:3])
    expected = stats.ttest_ind(np.log(A), np.log(B[:3]), equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((math.exp(expected.low), math.exp(expected.high)))
    assert found.method == "welch-t-log"


def test_unpaired_takes_lists_in_any_order():
    assert unpaired_ratio(A, B) == pytest.approx(unpaired_ratio(A[::-1], B))


@pytest.mark.parametrize("ratio", [paired_ratio, unpaired_ratio])
def test_exchanged_sides_give_the_inverse(ratio):
    there, back = ratio(A, B), ratio(B, A)
    assert (there.value, there.low, there.high) == pytest.approx((1 / back.value, 1 / back.high, 1 / back.low))


@pytest.mark.parametrize("ratio", [paired_ratio, unpaired_ratio])
def test_one_round_is_unclear(ratio):
    found = ratio([2.0], [1.0])
    assert found == Ratio(2.0, None, None, "one round")
    assert time_verdict(found, 0.03) == UNCLEAR


def test_one_round_against_many_is_unclear():
    assert time_verdict(unpaired_ratio([2.0], [1.0, 1.01, 1.0]), 0.03) == UNCLEAR


@pytest.mark.parametrize("ratio", [paired_ratio, unpaired_ratio])
def test_equal_rounds_without_any_spread_are_the_same(ratio):
    assert time_verdict(ratio([1.0, 1.0], [1.0, 1.0]), 0.03) == SAME


def test_paired_wants_as_many_rounds_on_both_sides():
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        paired_ratio(A, B[:3])


def test_chance_of_a_slower_row_is_scipys():
    assert paired_ratio(A, B).p_slower == pytest.approx(stats.ttest_rel(np.log(A), np.log(B), alternative="greater")[1])
    expected = stats.ttest_ind(np.log(A), np.log(B[:3]), equal_var=False, alternative="greater")[1]
    assert unpaired_ratio(A, B[:3]).p_slower == pytest.approx(expected)


def test_interval_over_runs_is_the_one_for_a_further_draw_of_their_means():
    runs = [[1.0, 1.02], [1.1, 1.12], [0.95, 0.97, 0.96]]
    found = ratio_to_runs([1.0, 1.001, 0.999], runs)
    means = [np.mean(np.log(run)) for run in runs]
    half = stats.t.ppf(0.975, 2) * np.std(means, ddof=1) * math.sqrt(1 + 1 / 3)
    assert (found.low, found.high) == pytest.approx((found.value * math.exp(-half), found.value * math.exp(half)))
    assert found.value == pytest.approx(math.exp(np.mean(np.log([1.0, 1.001, 0.999])) - np.mean(means)))


def test_noisy_rounds_against_runs_that_happen_to_agree_count_themselves():
    noisy = [1.0, 1.5, 0.7]
    found = ratio_to_runs(noisy, [[1.0, 1.0]] * 3)
    assert math.log(found.high / found.value) == pytest.approx(stats.t.ppf(0.975, 2) * stats.sem(np.log(noisy)))


def test_interval_over_runs_covers_an_unchanged_row():
    random, inside = np.random.default_rng(3), 0
    for _ in range(2000):
        now, *runs = np.exp(random.normal(0, 0.05, (4, 1)) + random.normal(0, 0.02, (4, 6)))
        found = ratio_to_runs(list(now), list(map(list, runs)))
        inside += found.low <= 1 <= found.high
    assert 0.94 <= inside / 2000 <= 0.98


def test_no_interval_is_narrower_than_the_spread_of_the_rows():
    random = np.random.default_rng(1)
    days = random.normal(0, 0.07, 200)
    ratios = [unpaired_ratio([math.exp(day), math.exp(day) * 1.001], [1.0, 1.001]) for day in days]
    assert sum(one.low <= 1 <= one.high for one in ratios) < 20  # each run's rounds alone
    found = with_spread_of_rows(ratios)
    assert 0.92 <= sum(one.low <= 1 <= one.high for one in found) / 200 <= 0.98
    assert [one.value for one in found] == [one.value for one in ratios]
    assert np.mean([one.p_slower < 0.025 for one in found]) < 0.05


def test_few_changed_rows_do_not_widen_the_others_and_few_rows_tell_nothing():
    same = [unpaired_ratio([1.0, 1.001 + n / 1e5], [1.0, 1.001]) for n in range(10)]
    slower = unpaired_ratio([5.0, 5.01], [1.0, 1.001])
    assert max(one.high for one in with_spread_of_rows([*same, slower])[:-1]) < 1.02
    assert with_spread_of_rows([slower, *same[:6]]) == [slower, *same[:6]]


def test_slower_rows_are_corrected_for_their_number():
    """Holm's example is worked by hand: with 3 rows the least chance must be below .025/3, the next below .025/2."""

    def ratio(p_slower):
        return Ratio(1.2, 1.01, 1.4, "", p_slower)

    faster = Ratio(0.8, 0.7, 0.9, "", 0.99)
    assert time_verdicts([ratio(0.01), faster, None, ratio(0.008)], 0.03) == [SLOWER, FASTER, None, SLOWER]
    assert time_verdicts([ratio(0.013), faster, ratio(0.008)], 0.03) == [UNCLEAR, FASTER, SLOWER]
    assert time_verdicts([ratio(0.01), faster, ratio(0.009)], 0.03) == [UNCLEAR, FASTER, UNCLEAR]
    assert time_verdicts([ratio(0.02)], 0.03) == [SLOWER]


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (1.00, 0.98, 1.02, SAME),
        (1.02, 1.01, 1.03, SAME),  # certainly slower, but by less than matters
        (1.00, 0.95, 1.05, UNCLEAR),
        (1.02, 1.01, 1.04, UNCLEAR),
        (1.05, 0.99, 1.11, UNCLEAR),
        (1.05, 1.01, 1.09, SLOWER),
        (1.10, 1.08, 1.12, SLOWER),
        (1 / 1.05, 1 / 1.09, 1 / 1.01, FASTER),
        (1 / 1.05, 1 / 1.11, 1 / 0.99, UNCLEAR),
    ],
)
def test_rule(value, low, high, expected):
    assert time_verdict(Ratio(value, low, high, ""), 0.03) == expected


def simulate(slowdown: float, spread: float, rounds: int, trials: int = 2000) -> dict[str, float]:
    """Shares of verdicts where a round's median varies log-normally with `spread`."""
    random = np.random.default_rng(5)
    verdicts = []
    for _ in range(trials):
        judged, other = np.exp(random.normal(0, spread, (2, rounds)))
        verdicts.append(time_verdict(paired_ratio(list(judged * slowdown), list(other)), 0.03))
    return {name: verdicts.count(name) / trials for name in (SAME, FASTER, SLOWER, UNCLEAR)}


def test_equal_things_are_rarely_called_different():
    for spread in (0.002, 0.01, 0.05):
        shares = simulate(1, spread, 6)
        assert shares[FASTER] + shares[SLOWER] <= 0.05
    assert simulate(1, 0.005, 6)[SAME] > 0.95


def test_ten_percent_is_seen_and_twice_the_margin_never_called_the_same():
    assert simulate(1.10, 0.01, 6)[SLOWER] > 0.99
    assert simulate(1.06, 0.02, 6)[SAME] < 0.025


def test_intervals_cover_the_true_ratio():
    random, inside = np.random.default_rng(7), 0
    for _ in range(2000):
        judged, other = np.exp(random.normal(0, 0.03, 6)), np.exp(random.normal(0, 0.01, 4))
        found = unpaired_ratio(list(judged), list(other))
        inside += found.low <= 1 <= found.high
    assert 0.935 <= inside / 2000 <= 0.965


GOOD = {
    **{"status": "ok", "reason": "", "precision": "int8", "repeatable": True, "miou": 0.65, "miou_labelled": 0.7},
    **{"pixel_agreement": 0.9999, "class_agreement": 0.98, "lowest_class": "rider", "lowest_class_agreement": 0.9},
}
SETTINGS = {
    "max_drop": 0.005,
    "max_lost": {},
    "agreement_bounds": {"int8": 0.99},
    "class_agreement_bounds": {"int8": 0.8},
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"miou_labelled": 0.696}, []),
        ({"miou_labelled": 0.694}, ["mIoU of the labelled classes 0.7000 → 0.6940"]),
        ({"miou": 0.6}, []),  # by a class that no label has
        ({"miou_labelled": None, "miou": 0.644}, ["mIoU 0.6500 → 0.6440"]),  # a table of an earlier version
        ({"miou": None, "miou_labelled": None}, ["its mIoU is no longer known"]),
        ({"pixel_agreement": 0.9}, ["agrees with its reference on 90.0000% of pixels only"]),
        ({"pixel_agreement": None, "class_agreement": None}, []),
        (
            {"class_agreement": 0.79, "lowest_class_agreement": 0.1},
            ["agrees with its reference by a mean class IoU of 0.7900 only (rider 0.1000)"],
        ),
        ({"repeatable": False}, ["its rounds computed different class maps"]),
        ({"repeatable": None}, []),
        (
            {"status": "failed", "reason": "out of memory", "miou": None, "miou_labelled": None},
            ["failed: out of memory"],
        ),
    ],
)
def test_faults(change, expected):
    assert faults({**GOOD, **change}, GOOD, SETTINGS) == expected


def test_what_was_wrong_before_is_no_news():
    bad = {**GOOD, "pixel_agreement": 0.9, "class_agreement": 0.5, "repeatable": False}
    assert faults(bad, bad, SETTINGS) == []
    failed = {**GOOD, "status": "failed"}
    assert faults(failed, failed, SETTINGS) == []
    assert faults(GOOD, failed, SETTINGS) == []


LOST = {"reference": "paddle-fp32", "objects_lost_by_class": {"person": 3, "rider": 0}}


@pytest.mark.parametrize(
    ("change", "bounds", "expected"),
    [
        ({}, {"person": 3, "rider": 0}, []),
        (
            {},
            {"person": 2},
            ["loses 3 objects of class person that paddle-fp32 finds (comparison.max_lost.person: 2, "],
        ),
        ({}, {"car": 5}, ["it is not known how many objects of class car it loses (comparison.max_lost.car: 5, "]),
        (
            {"objects_lost_by_class": None},
            {"person": 9},
            ["it is not known how many objects of class person it loses "],
        ),
        ({"objects_lost_by_class": None}, {}, []),
    ],
)
def test_more_lost_objects_than_allowed_are_a_fault_whatever_the_baseline_lost(change, bounds, expected):
    judged = {**GOOD, **LOST, **change}
    found = faults(judged, judged, {**SETTINGS, "max_lost": bounds})
    assert len(found) == len(expected)
    assert all(text.startswith(start) for text, start in zip(found, expected, strict=True))


def row_of(label, class_map) -> dict:
    """A row of the figures that scoring makes of one class map."""
    matrix = confusion_matrix(label, class_map, 16)
    sums = Sums(matrix, ImageCounts(), 1, None, 0, 0, 0, [])
    return {**GOOD, **figures(sums, [f"class {number}" for number in range(16)], Judgement("excluded", 0, 0, ""))}


@pytest.fixture
def label():
    """15 of 16 classes, 100 pixels each."""
    return np.repeat(np.arange(15, dtype=np.uint8), 100).reshape(15, 100)


def test_stray_pixel_of_a_class_that_no_label_has_is_not_wrong(label):
    stray = label.copy()
    stray[0, 0] = 15
    judged, other = row_of(label, stray), row_of(label, label)
    assert other["miou"] - judged["miou"] > 0.06  # 1 of 16 classes
    assert (judged["classes_counted"], judged["unlabelled_share"]) == (16, 1 / 1500)
    assert faults(judged, other, SETTINGS) == []


def test_loss_of_every_class_is_a_drop_also_where_a_stray_pixel_is_lost_too(label):
    """FP32 has a stray pixel of a sixteenth class. INT8 does not, and loses 2% of every class's pixels."""
    fp32, int8 = label.copy(), label.copy()
    fp32[0, 0] = 15
    int8[:, :2] = (int8[:, :2] + 1) % 15
    judged, other = row_of(label, int8), row_of(label, fp32)
    assert judged["miou"] > other["miou"]
    (fault,) = faults(judged, other, SETTINGS)
    assert fault == "mIoU of the labelled classes 0.9993 → 0.9608"
