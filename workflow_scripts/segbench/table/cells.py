"""Write times with their precision and with marks, the legend of the marks, and what cannot be told apart."""

from __future__ import annotations

import math
from typing import NamedTuple

from segbench.table import distrust
from segbench.table.formats import percent, seconds, significant
from segbench.table.row import Row

WIDE = 0.2  # half width, as a fraction, above which the interval's ends say more than ±


class TimeCell(NamedTuple):
    """The parts of a time cell: the number, its precision, and a letter for each reason to distrust it."""

    number: str
    precision: str
    marks: str

    def __str__(self) -> str:
        return " ".join(filter(None, self))


def time_cell(row: Row, first: str | None) -> TimeCell:
    """Return the cell of `time_s`; it is empty where nothing was timed. `first`: see `distrust.first_hardware`."""
    known = row["time_s"] is not None
    precision = precision_of(row["time_half_width"], row["time_s_low"], row["time_s_high"]) if known else ""
    return TimeCell(time_number(row), precision, distrust.marks(row, first))


def precision_of(half: float | None, low: float | None, high: float | None) -> str:
    """Write an interval from `low` to `high`, whose half width as a fraction is `half`."""
    if half is None:
        return "±?"
    return f"({significant(low)}–{significant(high)})" if half > WIDE else f"±{_whole_percent(half)}"


def _whole_percent(fraction: float) -> str:
    """Write a percentage with one significant digit below 1%, and without decimals above."""
    return f"{100 * fraction:.0f}%" if fraction >= 0.00995 else f"{100 * fraction:.1g}%"


def time_number(row: Row) -> str:
    """Write `time_s` with the digits that its interval carries."""
    return seconds(row["time_s"], row["time_half_width"])


def adjusted_number(row: Row) -> str:
    """Write `time_adjusted_s` with the digits that its interval carries."""
    low, high = row["time_adjusted_s_low"], row["time_adjusted_s_high"]
    return seconds(row["time_adjusted_s"], math.sqrt(high / low) - 1 if low and high else None)


def legend(rows: list[Row]) -> dict[str, str]:
    """Return the meaning of each sign that stands in a time cell of `rows`, in order."""
    first = distrust.first_hardware(rows)
    cells = [time_cell(row, first) for row in rows]
    precisions, marks = [cell.precision for cell in cells], {mark for cell in cells for mark in cell.marks}
    signs = {
        "±": ("±" in "".join(precisions).replace("±?", ""), "half width of the 95% interval over rounds"),
        "(low–high)": ("(" in "".join(precisions), f"the 95% interval, where it is wider than ±{WIDE:.0%}"),
        "±?": ("±?" in precisions, "fewer than three rounds: no interval"),
    }
    found = {sign: meaning for sign, (stands, meaning) in signs.items() if stands}
    return found | {mark: reason.name for mark, reason in distrust.REASONS.items() if mark in marks}


def resolution(rows: list[Row]) -> str:
    """Say which differences in time cannot be told on this machine today, or why that is not known.

    Empty where nothing was timed.
    """
    timed = [row for row in rows if row["time_s"] is not None]
    known = sorted({row["smallest_difference"] for row in timed if row["smallest_difference"] is not None})
    if not timed:
        return ""
    if known:
        least, most = percent(known[0]), percent(known[-1])
        bounds = most if least == most else f"{least} to {most}, by their numbers of rounds,"
        controls = ", ".join(sorted({str(row["control"]) for row in timed if row["control"]}))
        return (
            f"Differences in time below {bounds} cannot be told on this machine today, as the scatter of the control"
            f" shows ({controls})."
        )
    unknown = "It is not known which differences in time can be told on this machine today"
    if not any(row["control"] for row in timed):
        return f"{unknown}: no control was timed beside these rows."
    return f"{unknown}: fewer than four rounds of the control, {timed[0]['control']}, were timed beside these rows."
