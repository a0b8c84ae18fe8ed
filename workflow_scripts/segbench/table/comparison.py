"""Compare rows: a table with a baseline's, or variants of one table with each other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypedDict

from segbench.table.row import Row
from segbench.table.verdict import WRONG, Ratio, faults, paired_ratio, time_verdict, unpaired_ratio
from segbench.timing import flags

Settings = dict[str, Any]  # the section `comparison`, with `agreement_bounds` and `baseline`


class Comparison(TypedDict):
    """One row compared with another: an entry of comparison.json."""

    dataset: str
    model: str
    variant: str
    against: str  # `baseline`, or the other variant's name
    verdict: str | None  # None: nothing could be judged
    time_verdict: str | None
    ratio: float | None  # the row's time over the time of what it is compared with
    ratio_low: float | None
    ratio_high: float | None
    method: str | None
    faults: list[str]  # why the row is WRONG
    notes: list[str]


def key_of(row: Row) -> tuple[str, str, str]:
    """Return the key that distinguishes a row from all others of its hardware."""
    return row["dataset"], row["model"], row["variant"]


def against_baseline(rows: list[Row], baseline: list[Row], settings: Settings) -> list[Comparison]:
    """Compare each row of this run with the baseline's of equal data set, model and variant. Rows of one side are
    noted.
    """
    before = {key_of(row): row for row in baseline}
    found = []
    for row in rows:
        other = before.pop(key_of(row), None)
        if other is None:
            found.append(_entry(row, "baseline", None, [], ["not in the baseline"], settings))
            continue
        notes, ratio = _flags(row, "") + _flags(other, "baseline: ") + _circumstances(row, other), None
        if row["hardware_id"] != other["hardware_id"] and row["status"] == other["status"] == "ok":
            hardware = f"{other['hardware_id'] or 'unknown'} → {row['hardware_id'] or 'unknown'}"
            notes.append(f"measured on other hardware ({hardware}): times are not compared")
        elif row["round_medians_s"] and other["round_medians_s"]:
            ratio = unpaired_ratio(_medians(row), _medians(other))
        elif row["time_s"] and other["time_s"]:
            ratio = Ratio(row["time_s"] / other["time_s"], None, None, "no rounds")
            notes.append("the baseline does not have its rounds: no interval")
        found.append(_entry(row, "baseline", ratio, _faults(row, other, settings), notes, settings))
    gone = [_entry(row, "baseline", None, [], ["not in this run"], settings) for row in before.values()]
    return found + gone


def of_pairs(
    rows: list[Row], timed: dict[tuple[str, str, str], dict[str, Any]], settings: Settings
) -> list[Comparison]:
    """Compare b with a for each model and pair [a, b]. The times come from `timed` (model, a, b → record of a job
    that alternated them), or from this run's rounds where the settings have `alternate` false.
    """
    by_name = {(row["model"], row["variant"]): row for row in rows}
    found = []
    for model in dict.fromkeys(row["model"] for row in rows):
        for a, b in settings["pairs"]:
            other, row = by_name[model, a], by_name[model, b]
            if settings["alternate"]:
                ratio, notes = _alternated(timed[model, a, b])
            else:
                notes, ratio = _flags(other, f"{a}: ") + _flags(row, f"{b}: "), None
                same = row["hardware_id"] == other["hardware_id"]
                if not same and row["status"] == other["status"] == "ok":
                    notes.append("measured on different hardware: times are not compared")
                elif row["round_medians_s"] and other["round_medians_s"]:
                    ratio = paired_ratio(_medians(row), _medians(other))
            found.append(_entry(row, a, ratio, _faults(row, other, settings), notes, settings))
    return found


def _alternated(record: dict[str, Any]) -> tuple[Ratio | None, list[str]]:
    if record["status"] != "ok":
        return None, [f"not timed: {record['status']}: {record['reason']}"]
    found = flags.sentences(enumerate(record["rounds"], 1)) + record["warnings"]
    return Ratio(record["ratio"], record["ratio_low"], record["ratio_high"], record["method"]), found


def _faults(row: Row, other: Row, settings: Settings) -> list[str]:
    return faults(row, other, settings)


def _circumstances(row: Row, other: Row) -> list[str]:
    """Return what was different when the baseline was measured, as far as both rows say."""
    found = []
    if row["threads"] and other["threads"] and row["threads"] != other["threads"]:
        found.append(f"threads: {other['threads']} → {row['threads']}")
    if row["software_id"] and other["software_id"] and row["software_id"] != other["software_id"]:
        ids = f"{other['software_id']} → {row['software_id']}"
        found.append(f"other kernel, driver, packages, threads or engine variables ({ids}); environment.json has them")
    return found


def _flags(row: Row, whose: str) -> list[str]:
    return [f"{whose}{text}" for text in flags.sentences_of(row)]


def _medians(row: Row) -> list[float]:
    return [float(value) for value in row["round_medians_s"].split(";")]


def _entry(
    row: Row, against: str, ratio: Ratio | None, wrong: Iterable[str], notes: list[str], settings: Settings
) -> Comparison:
    wrong = list(wrong)
    time = time_verdict(ratio, settings["margin"]) if ratio else None
    return {
        "dataset": row["dataset"],
        "model": row["model"],
        "variant": row["variant"],
        "against": against,
        "verdict": WRONG if wrong else time,
        "time_verdict": time,
        "ratio": ratio and ratio.value,
        "ratio_low": ratio and ratio.low,
        "ratio_high": ratio and ratio.high,
        "method": ratio and ratio.method,
        "faults": wrong,
        "notes": notes,
    }
