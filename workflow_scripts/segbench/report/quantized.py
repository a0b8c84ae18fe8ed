"""Say what a model that is quantised already gains over our calibration of its float sibling, on the same engine."""

from __future__ import annotations

from segbench.calibration.base import OF_MODEL
from segbench.report.answer import Claims
from segbench.table import distrust, formats
from segbench.table.row import Row, place_of_reference, value
from segbench.table.verdict import FASTER, SAME, SLOWER, UNCLEAR, time_verdict

ALIKE = ("engine", "scenario", "batch", "streams", "threads")
SPEEDS = {
    SAME: "at the same speed",
    FASTER: "and is faster",
    SLOWER: "and is slower",
    UNCLEAR: "at a speed that is not shown to be the same or another",
}


def beside_calibrated(claims: Claims, margin: float) -> list[tuple[Row, str]]:
    """Return what is said of each row of a quantised model beside which its float sibling ran, calibrated by us.

    Rows have the report's keys. Two speeds are the same where the interval of their ratio lies within the `margin`.
    Where a row's class maps are distrusted, the reason stands in place of a comparison.
    """
    ran = [row for row in claims.rows if row["status"] == "ok" and row["precision"] == "int8"]
    found = []
    for row in (one for one in ran if one["calibrator"] == OF_MODEL):
        sibling = place_of_reference(row["model"], row["reference"] or "")[0]
        parts = [
            _compared(row, one, claims, margin)
            for one in ran
            if one["model"] == sibling != row["model"] and one["calibrator"] != OF_MODEL
            if all(value(row, key) == value(one, key) for key in ALIKE)
        ]
        found += [(row, "; ".join(parts))] if parts else []
    return found


def _compared(row: Row, other: Row, claims: Claims, margin: float) -> str:
    name = f"{value(other, 'label')} ({other['calibrator']})"
    wrong = [("of this row", distrust.of_class_maps(row)), ("of that row", distrust.of_class_maps(other))]
    if told := [f"{whose}: {', '.join(reasons)}" for whose, reasons in wrong if reasons]:
        return f"is not compared with {name} ({'; '.join(told)})"
    return f"{_accuracy(row, other, claims)} {name}, {_speed(row, other, claims, margin)}"


def _accuracy(row: Row, other: Row, claims: Claims) -> str:
    own, others = row["miou_labelled"], other["miou_labelled"]
    if own is None or others is None or value(row, "scored_by") != value(other, "scored_by"):
        return "has no mIoU to compare with"
    interval = claims.change(row, other)
    if interval is None:
        return f"differs by {formats.change(own - others)} mIoU (no interval) from"
    if interval.low <= 0 <= interval.high:
        return f"is not shown to differ in mIoU ({formats.span_of_change(*interval)}) from"
    least, most = sorted(map(abs, interval))
    size = f"{formats.miou(abs(own - others))} mIoU ({formats.miou(least)} to {formats.miou(most)})"
    return f"gains {size} over" if interval.low > 0 else f"loses {size} against"


def _speed(row: Row, other: Row, claims: Claims, margin: float) -> str:
    ratio = claims.ratio(row, other)
    if ratio is None:
        return "without a time to compare"
    marks = distrust.marks(row, claims.first) + distrust.marks(other, claims.first)
    doubts = "".join(mark for mark in distrust.REASONS if mark in marks)  # of the times: others are not compared
    said = SPEEDS[UNCLEAR if doubts else time_verdict(ratio, margin)]
    figures = f"{formats.ratio(ratio.value)}× its time", formats.bounds(ratio.low, ratio.high) or "no interval", doubts
    return f"{said} ({', '.join(filter(None, figures))})"
