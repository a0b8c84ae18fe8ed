"""Judge whether a variant is faster than, slower than or the same as another, and whether it still computes the right
thing.

All functions are pure functions of numbers. A ratio is the judged time over the time that it is compared with. Above 1
the judged variant is slower.

The unit is the median of a round (a process), not the latency of an image: latencies within a process depend on each
other, and its layout in memory is one draw (Kalibera and Jones, "Rigorous benchmarking in reasonable time", ISMM 2013).
Ratios are handled as differences of logarithms, so that A/B and B/A get opposite verdicts.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

from segbench.table.row import Figure, Row
from segbench.timing.intervals import LEVEL, quantile_of_t

MIN_PAIRS = 3  # blocks that two rows share, for their ratio to be taken block by block
MIN_ROWS = 8  # rows of two runs that tell how far the runs differ
SAME, FASTER, SLOWER, UNCLEAR, WRONG = "SAME", "FASTER", "SLOWER", "UNCLEAR", "WRONG"


class Ratio(NamedTuple):
    """A ratio of times (geometric mean over rounds), its 95% interval, and how it was made.

    `p_slower` is the chance of such a ratio or a greater one, were the judged variant not slower (one-sided). Interval
    and chance are None where there are too few rounds.
    """

    value: float
    low: float | None
    high: float | None
    method: str
    p_slower: float | None = None


def _student(centre: float, error: float, freedom: float, method: str) -> Ratio:
    """Return the ratio whose logarithm is `centre` with this standard error, by Student's t."""
    from scipy.special import stdtr

    half = error * quantile_of_t(freedom) if error else 0.0
    p_slower = float(stdtr(freedom, -centre / error)) if error else float(centre <= 0)
    return Ratio(math.exp(centre), math.exp(centre - half), math.exp(centre + half), method, p_slower)


def _logarithms(values: list[float]) -> list[float]:
    return [math.log(value) for value in values]


def paired_ratio(judged: list[float], other: list[float]) -> Ratio:
    """Return the ratio of medians that belong together round by round. Drift from round to round cancels out.

    Student's t on the logarithms of the rounds' ratios. The lists hold seconds and are equally long, else ValueError.
    """
    ratios = [a / b for a, b in zip(judged, other, strict=True)]
    if len(ratios) < 2:
        return Ratio(ratios[0], None, None, "one round")
    logarithms = _logarithms(ratios)
    error = statistics.stdev(logarithms) / math.sqrt(len(ratios))
    return _student(statistics.fmean(logarithms), error, len(ratios) - 1, "paired-t-log")


def row_ratio(judged: Row, other: Row) -> Ratio | None:
    """Return the ratio of two rows of one table; None where either was not timed.

    Rounds of one block are a pair: a drift of the machine hits both alike. Rows without three such pairs are compared
    through the control, which was timed in the blocks of both. Without a control, their rounds are separate samples.
    The interval is never narrower than the smallest difference that the control lets tell apart.
    """
    if not judged["round_medians_s"] or not other["round_medians_s"]:
        return None
    ratio = _ratio_of_rounds(judged, other)
    least = math.log1p(max(judged["smallest_difference"] or 0.0, other["smallest_difference"] or 0.0))
    if not least or ratio.low is None or ratio.high is None or math.log(ratio.high / ratio.low) >= 2 * least:
        return ratio
    return _student(math.log(ratio.value), least / quantile_of_t(math.inf), math.inf, ratio.method)


def _ratio_of_rounds(judged: Row, other: Row) -> Ratio:
    times, controls = zip(*map(rounds_of, (judged, other)), strict=True)
    if not all(controls):
        return unpaired_ratio(*times)
    pairs = [n for n, (a, b) in enumerate(zip(*controls, strict=False)) if a == b]
    if len(pairs) >= MIN_PAIRS:
        return paired_ratio(*([of[n] for n in pairs] for of in times))
    relative = [[a / b for a, b in zip(*of, strict=True)] for of in zip(times, controls, strict=True)]
    return unpaired_ratio(*relative)._replace(method="through-the-control")


def rounds_of(row: Row) -> tuple[list[float], list[float]]:
    """Return the figures of a row's rounds, and those of the control in their blocks, in seconds."""
    figures, controls = row["round_medians_s"], row["round_controls_s"] or ""
    return [float(part) for part in figures.split(";")], [float(part) for part in controls.split(";") if part]


def unpaired_ratio(judged: list[float], other: list[float]) -> Ratio:
    """Return the ratio of medians of separate runs.

    Welch's t on the logarithms of the rounds' medians (B. L. Welch, Biometrika 34, 1947): The rounds of the two may
    vary differently, and differ in number. Without two rounds on each side there is no interval. The interval does not
    contain what differs between whole runs, of which each side is one draw.
    """
    logarithms = [_logarithms(judged), _logarithms(other)]
    centre = statistics.fmean(logarithms[0]) - statistics.fmean(logarithms[1])
    if min(map(len, logarithms)) < 2:
        return Ratio(math.exp(centre), None, None, "one round")
    errors = [statistics.variance(values) / len(values) for values in logarithms]
    parts = [error**2 / (len(values) - 1) for error, values in zip(errors, logarithms, strict=True)]
    freedom = sum(errors) ** 2 / sum(parts) if any(parts) else 1
    return _student(centre, math.sqrt(sum(errors)), freedom, "welch-t-log")


def ratio_to_runs(judged: list[float], runs: list[list[float]]) -> Ratio:
    """Return the ratio of one run's medians to those of several whole runs, with what differs between runs.

    Two levels: runs, and rounds within a run. Only the highest level counts for the error (Kalibera and Jones): the
    variance of the runs' means, which has the rounds' share in it. The judged run is one more draw of it. Where its
    own rounds scatter more, their variance counts instead. `runs` has at least two, else statistics.StatisticsError.
    """
    rounds = _logarithms(judged)
    means = [statistics.fmean(_logarithms(run)) for run in runs]
    between = statistics.variance(means)
    own = statistics.variance(rounds) / len(rounds) if len(rounds) > 1 else 0.0
    error = math.sqrt(between / len(means) + max(between, own))
    return _student(statistics.fmean(rounds) - statistics.fmean(means), error, len(means) - 1, "runs-t-log")


def with_spread_of_rows(ratios: list[Ratio]) -> list[Ratio]:
    """Return the ratios of two runs' rows, with how the runs differ in their intervals.

    Runs of different days differ by more than their rounds tell, and one run a side cannot say by how much. Their rows
    can: most of them are unchanged, so that the spread of their ratios is that of an unchanged row. It is 1.4826 times
    the median absolute deviation from the median, which a few changed rows do not move. No interval is narrower than by
    that error. A shift that all rows share stays in each of the ratios. Fewer than MIN_ROWS rows say nothing.
    """
    from scipy.special import stdtr, stdtrit

    logarithms = _logarithms([ratio.value for ratio in ratios])
    if len(ratios) < MIN_ROWS:
        return ratios
    middle = statistics.median(logarithms)
    error = 1.4826 * statistics.median(abs(value - middle) for value in logarithms)
    half = error * float(stdtrit(len(ratios) - 1, 0.5 + LEVEL / 2))
    if not error:
        return ratios
    return [
        Ratio(
            ratio.value,
            min(ratio.low, ratio.value * math.exp(-half)),
            max(ratio.high, ratio.value * math.exp(half)),
            "spread-of-rows",
            max(ratio.p_slower, float(stdtr(len(ratios) - 1, -centre / error))),
        )
        if ratio.low is not None and ratio.high is not None and ratio.p_slower is not None
        else ratio
        for ratio, centre in zip(ratios, logarithms, strict=True)
    ]


def time_verdict(ratio: Ratio, margin: float) -> str:
    """Return SAME, FASTER, SLOWER or UNCLEAR.

    SAME: the whole interval lies within 1/(1 + margin) … 1 + margin, the two-sided test of equivalence (Schuirmann, J.
    Pharmacokinet. Biopharm. 15, 1987; at 95% where he takes 90%). FASTER, SLOWER: the interval does not contain 1, and
    the ratio itself lies beyond the margin. The difference is then real, and large enough to matter. All else, and any
    ratio without an interval, is UNCLEAR and needs more rounds.
    """
    if ratio.low is None or ratio.high is None:
        return UNCLEAR
    least, most = 1 / (1 + margin), 1 + margin
    if least <= ratio.low and ratio.high <= most:
        return SAME
    if ratio.low > 1 and ratio.value > most:
        return SLOWER
    if ratio.high < 1 and ratio.value < least:
        return FASTER
    return UNCLEAR


def time_verdicts(ratios: list[Ratio | None], margin: float) -> list[str | None]:
    """Return the verdicts on all ratios of one comparison; None where there is no ratio.

    Of many ratios some would be SLOWER by chance alone. SLOWER is therefore corrected by Holm's step-down procedure
    (Scandinavian Journal of Statistics 6, 1979): the chance of any false SLOWER stays where it is for one ratio. What
    does not survive is UNCLEAR.
    """
    found = [ratio and time_verdict(ratio, margin) for ratio in ratios]
    tested = sorted((ratio.p_slower, n) for n, ratio in enumerate(ratios) if ratio and ratio.p_slower is not None)
    survives = True
    for rank, (p_slower, n) in enumerate(tested):
        survives = survives and p_slower <= (1 - LEVEL) / 2 / (len(tested) - rank)
        if found[n] == SLOWER and not survives:
            found[n] = UNCLEAR
    return found


def faults(judged: Row, other: Row, settings: Mapping[str, Any]) -> list[str]:
    """Return why `judged` is WRONG compared with `other`; empty where nothing is wrong.

    `settings` has `max_drop`, the mIoU that may be lost, for each precision the `agreement_bounds` and
    `class_agreement_bounds`, and `max_lost`, the objects that may be lost against the reference, by class. A fault that
    `other` has as well is not reported, but for lost objects. What is not known is no fault, but for these.
    """
    if judged["status"] != "ok":
        return [f"{judged['status']}: {judged['reason']}"] if other["status"] == "ok" else []
    found = []
    after, before, classes = _comparable_miou(judged, other)
    if after is not None and before is not None and before - after > settings["max_drop"]:
        found.append(f"mIoU{classes} {before:.4f} → {after:.4f}")
    if other["miou"] is not None and judged["miou"] is None:
        found.append("its mIoU is no longer known")
    pixels, classes = (settings[key][judged["precision"]] for key in ("agreement_bounds", "class_agreement_bounds"))
    if _below(judged["pixel_agreement"], pixels) and not _below(other["pixel_agreement"], pixels):
        found.append(f"agrees with its reference on {judged['pixel_agreement']:.4%} of pixels only")
    if _below(judged["class_agreement"], classes) and not _below(other["class_agreement"], classes):
        lowest = f"{judged['lowest_class']} {judged['lowest_class_agreement']:.4f}"
        found.append(
            f"agrees with its reference by a mean class IoU of {judged['class_agreement']:.4f} only ({lowest})"
        )
    found += lost_objects(judged, settings["max_lost"])
    if judged["repeatable"] is False and other["repeatable"] is not False:
        found.append("its rounds computed different class maps")
    return found


def lost_objects(judged: Row, bounds: Mapping[str, int]) -> list[str]:
    """Return a fault for each class of which a row loses more objects than the bound, or it is not known how many.

    A row that did not run has none.
    """
    found = []
    for name, bound in bounds.items() if judged["status"] == "ok" else ():
        lost = (judged["objects_lost_by_class"] or {}).get(name)
        rule = f"comparison.max_lost.{name}: {bound}, whatever the baseline lost"
        if lost is None:
            found.append(f"it is not known how many objects of class {name} it loses ({rule})")
        elif lost > bound:
            found.append(f"loses {lost} objects of class {name} that {judged['reference']} finds ({rule})")
    return found


def _comparable_miou(judged: Row, other: Row) -> tuple[Figure, Figure, str]:
    """Return both rows' mIoU over one set of classes, and a word for it: a class that is predicted somewhere, while no
    label has it, counts in `miou` only. Tables of earlier versions have `miou` alone.
    """
    if judged["miou_labelled"] is None or other["miou_labelled"] is None:
        return judged["miou"], other["miou"], ""
    return judged["miou_labelled"], other["miou_labelled"], " of the labelled classes"


def _below(agreement: Figure, bound: float) -> bool:
    return agreement is not None and agreement < bound
