"""Choose which groups of an INT8 row's layers go to FP32, from what each was measured to cost and to regain.

A mix is the row with some layers in FP32. Its time is a ratio to the row's, from a pair that was timed alternating. Its
loss is 1 minus the mean IoU of its class maps with those of FP32, over the classes that FP32 predicts.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict

import numpy as np

from segbench.scoring.bootstrap import Counts, Values, change_interval, interval, mean_iou_change, mean_labelled_iou
from segbench.table.verdict import Ratio

LEAST_COST = 0.001  # of the row's time, by which a group that costs nothing is ranked


class Measured(TypedDict, total=False):
    """What was measured of a mix, as it is kept. Only the first three keys are there where it did not run."""

    name: str
    status: str
    reason: str
    ratio: float  # its time over the row's, and the 95% interval
    ratio_low: float
    ratio_high: float
    changed: float  # share of pixels that differ from FP32's, and the 95% interval (null: too few images)
    changed_low: float | None
    changed_high: float | None
    loss: float
    regained: float  # loss of the row minus its own, and the lower end of the 95% interval
    regained_low: float | None
    notes: list[str]


class Predicted(NamedTuple):
    """The ratio of a mix's time to the row's, as its groups promise it, and the 95% interval."""

    value: float
    low: float
    high: float


def changed_share(sums: Any) -> Values:
    """Return the share of pixels whose class differs, from counts …×3×K."""
    return np.asarray(1 - sums[..., 0, :].sum(-1) / sums[..., 1, :].sum(-1))


def measured(name: str, pair: dict[str, Any] | None, changes: dict[str, Any], row: dict[str, Any]) -> Measured:
    """Return a mix by records of its pair (None: it is the row itself), its class maps, and the row's class maps."""
    for record in (pair or {}, changes, row):
        if record.get("status", "ok") != "ok":
            return {"name": name, "status": record["status"], "reason": record["reason"]}
    own, before = np.array(changes["counts"]), np.array(row["counts"])
    share, gain = interval(own, changed_share), change_interval(own, before)
    timed = pair or {"ratio": 1.0, "ratio_low": 1.0, "ratio_high": 1.0}
    return {
        "name": name,
        "status": "ok",
        "reason": "",
        "ratio": timed["ratio"],
        "ratio_low": timed["ratio_low"],
        "ratio_high": timed["ratio_high"],
        "changed": float(changed_share(own.sum(0))),
        "changed_low": share and share.low,
        "changed_high": share and share.high,
        "loss": loss(own),
        "regained": float(mean_iou_change(np.stack([own.sum(0), before.sum(0)]))),
        "regained_low": gain and gain.low,
        "notes": notes(timed),
    }


def loss(counts: Counts) -> float:
    """Return the loss of a mix from its counts N×3×K."""
    return 1 - float(mean_labelled_iou(counts.sum(0)))


def notes(pair: dict[str, Any]) -> list[str]:
    """Return reasons to distrust the record of a pair."""
    words = {"contended": "others used the machine", "throttled": "throttled"}
    found = [said for key, said in words.items() if pair.get(key)]
    return [*found, *(["not steady"] if pair.get("steady") is False else []), *pair.get("warnings", [])]


def row_s(pairs: Sequence[dict[str, Any]]) -> float | None:
    """Return the row's time in seconds, which is the first side of these pairs; None where none ran."""
    rounds = [one["medians_s"][0] for pair in pairs if pair["status"] == "ok" for one in pair["rounds"]]
    return statistics.median(rounds) if rounds else None


def choose(groups: Sequence[Measured], margin: float) -> list[str]:
    """Return the groups that go to FP32, by name and in the given order.

    Those that are faster in FP32 go, as the interval shows. Of the others those go that regain agreement with FP32, as
    far as the interval shows it, most for their time first. Together these may cost `margin` of the row's time, which
    counts as the same. One group stays in INT8, since a row without any is the FP32 row.
    """
    ran = [one for one in groups if one["status"] == "ok"]
    chosen = [one for one in ran if one["ratio_high"] < 1]
    others = [one for one in ran if one not in chosen and (one["regained_low"] or 0) > 0]
    spent = 0.0
    for one in sorted(others, key=lambda one: -one["regained"] / max(one["ratio"] - 1, LEAST_COST)):
        cost = max(one["ratio"] - 1, 0.0)
        if spent + cost <= margin:
            spent += cost
            chosen.append(one)
    if len(chosen) == len(groups):
        chosen.remove(max(chosen, key=lambda one: one["ratio"]))
    return [one["name"] for one in groups if one in chosen]


def predicted(groups: Sequence[Measured], chosen: Sequence[str]) -> Predicted:
    """Return the ratio that the chosen groups promise: their changes of the row's time add up.

    They were timed in pairs of their own, so that their errors are independent. Neighbours share the conversions
    between them, which the sum counts twice.
    """
    taken = [one for one in groups if one["name"] in chosen]
    value = 1 + sum(one["ratio"] - 1 for one in taken)
    half = math.hypot(*((one["ratio_high"] - one["ratio_low"]) / 2 for one in taken))
    return Predicted(value, value - half, value + half)


def agrees(promised: Predicted, ratio: Ratio) -> bool:
    """Return whether a measured ratio differs from the promised one by no more than both intervals allow."""
    if ratio.low is None or ratio.high is None:
        return False
    allowed = math.hypot((promised.high - promised.low) / 2, (ratio.high - ratio.low) / 2)
    return abs(ratio.value - promised.value) <= allowed


def ratio_of(pair: dict[str, Any]) -> Ratio:
    """Return the ratio in the record of a pair."""
    return Ratio(pair["ratio"], pair["ratio_low"], pair["ratio_high"], pair["method"])


def verdict(exact: Ratio, mix: Ratio, mix_to_exact: Ratio, allowed: float) -> tuple[str, Ratio]:
    """Return which of `chosen`, `int8` and `fp32` to take, and the mix's time over that of the faster one of the two.

    `exact` and `mix` are ratios to the row. The mix is taken where it is shown not to be slower by `allowed` or more,
    as a gate would pass it, else the faster one of the row and FP32.
    """
    faster, ratio = ("fp32", mix_to_exact) if exact.value < 1 else ("int8", mix)
    return ("chosen" if ratio.high is not None and ratio.high < 1 + allowed else faster), ratio


def front(points: Sequence[Measured]) -> set[str]:
    """Return the names of the mixes than which no other is both faster and nearer to FP32."""

    def beats(one: Measured, other: Measured) -> bool:
        before, after = (one["ratio"], one["loss"]), (other["ratio"], other["loss"])
        return before != after and before[0] <= after[0] and before[1] <= after[1]

    return {point["name"] for point in points if not any(beats(one, point) for one in points)}
