"""Reasons to distrust a row. A row with one is marked in its time cell, and is never the answer of the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from segbench.table.row import Row
from segbench.timing import flags

TIME_AGAIN = "Stop what else runs, delete results/runs and results/control, and run again"


class Reason(NamedTuple):
    """A kind of reason: its name in legends, what it says of a row, and what can be done about it.

    `holds` gets the row, and the `hardware_id` of the table's first measured row.
    """

    name: str
    holds: Callable[[Row, str | None], bool]
    sentence: str
    cure: str


def _flag(column: str) -> Reason:
    def holds(row: Row, first: str | None) -> bool:
        return flags.is_set(row, column)

    return Reason(flags.NAMES[column], holds, flags.WITHOUT_NUMBERS[column], TIME_AGAIN)


def _elsewhere(row: Row, first: str | None) -> bool:
    return bool(row["hardware_id"]) and first is not None and (row["hardware_id"] != first or ";" in first)


REASONS = {  # by the mark in a time cell
    "u": _flag("steady"),
    "c": _flag("contended"),
    "t": _flag("throttled"),
    "r": Reason(
        "not repeatable",
        lambda row, first: row["repeatable"] is False,
        "its rounds computed other class maps than the accuracy pass",
        "Choose another engine or precision for what has to be repeatable",
    ),
    "h": Reason(
        "other hardware", _elsewhere, "measured on other hardware than the first row", "Time all on one machine"
    ),
    "a": Reason(
        "agreement below its bound",
        lambda row, first: row["agrees"] is False,
        "its class maps agree too little with the reference's",
        "Choose another calibrator or engine, or state in agreement_bounds what you accept",
    ),
}
OF_CLASS_MAPS = "ra"  # marks of a row that computes something else than it should, whatever its time


def first_hardware(rows: Iterable[Row]) -> str | None:
    """Return the `hardware_id` of the table's first measured row, with which the others are compared."""
    return next((row["hardware_id"] for row in rows if row["hardware_id"]), None)


def marks(row: Row, first: str | None) -> str:
    """Return the marks of a row that was timed, one letter for each reason."""
    return "".join(mark for mark, reason in REASONS.items() if row["time_s"] is not None and reason.holds(row, first))


def sentences(row: Row, first: str | None) -> list[str]:
    """Return a sentence for each reason, those of flags with their numbers."""
    rest = [REASONS[mark].sentence for mark in marks(row, first) if REASONS[mark].name not in flags.NAMES.values()]
    return [*flags.sentences_of(row), *rest]


def of_class_maps(row: Row) -> list[str]:
    """Return a sentence for each reason to distrust what a row computes, be it timed or not."""
    return [REASONS[mark].sentence for mark in OF_CLASS_MAPS if REASONS[mark].holds(row, None)]
