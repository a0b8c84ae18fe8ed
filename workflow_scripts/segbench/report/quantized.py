"""Say what a model that is quantised already gains over our calibration of its float sibling, on the same engine."""

from __future__ import annotations

from segbench.calibration.base import OF_MODEL
from segbench.report.answer import Claims
from segbench.table import distrust, formats
from segbench.table.row import Row, place_of_reference, value
from segbench.table.verdict import FASTER, SAME, SLOWER, UNCLEAR, time_verdict

ALIKE = ("engine", "scenario", "batch", "streams", "threads")
OF_TIME = "ucth"  # marks of a row whose time is not compared
SPEEDS = {
    SAME: "at the same speed",
    FASTER: "and is faster",
    SLOWER: "and is slower",
    UNCLEAR: "at a speed that is not shown to be the same or another",
}


def beside_calibrated(claims: Claims, margin: float) -> list[tuple[Row, str]]:
    """Return what is said of each row of a quantised model beside which its float sibling ran, calibrated by us.

    Rows have the report's keys. Two speeds are the same where the interval of their ratio lies within the `margin`.
    """
    ran = [row for row in claims.rows if row["status"] == "ok" and row["precision"] == "int8"]
    found = []
    for row in (one for one in ran if one["calibrator"] == OF_MODEL):
        sibling = place_of_reference(row["model"], row["reference"] or "")[0]
        parts = [
            f"{_accuracy(row, one, claims)} {value(one, 'label')} ({one['calibrator']}),"
            f" {_speed(row, one, claims, margin)}"
            for one in ran
            if one["model"] == sibling != row["model"] and one["calibrator"] != OF_MODEL
            if all(value(row, key) == value(one, key) for key in ALIKE)
        ]
        found += [(row, "; ".join(parts))] if parts else []
    return found


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
    doubts = "".join(mark for mark in OF_TIME if mark in marks)
    said = SPEEDS[UNCLEAR if doubts else time_verdict(ratio, margin)]
    figures = f"{formats.ratio(ratio.value)}× its time", formats.bounds(ratio.low, ratio.high) or "no interval", doubts
    return f"{said} ({', '.join(filter(None, figures))})"
