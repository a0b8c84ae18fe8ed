"""Rows beside other rows: a table against a baseline's, or variants of one table against each other."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from segbench.errors import InputError
from segbench.table.verdict import WRONG, Ratio, faults, paired_ratio, time_verdict, unpaired_ratio

Row = dict[str, Any]
NUMBERS = ("miou", "pixel_agreement", "time_s")
FLAGS = ("steady", "contended", "throttled", "repeatable")
KEY = ("dataset", "model", "variant")
TOLD = {"contended": "other processes ran beside it", "throttled": "throttled"}


def read_table(path: str | Path) -> list[Row]:
    """Rows of a table.csv: numbers and flags as such (None where the cell is empty or the column missing),
    `round_medians_s` as a list. Raises InputError when the file is missing or no such table."""
    try:
        with open(path, newline="", encoding="utf-8") as stream:
            rows: list[Row] = list(csv.DictReader(stream))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; a table.csv of an earlier run is wanted") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table.csv ({error})") from None
    wanted = (*KEY, "status", "reason", "precision", "hardware_id", *NUMBERS)
    missing = [name for name in wanted if not rows or name not in rows[0]]
    if missing:
        raise InputError(f"{path}: is no table.csv of SegBench (no {', '.join(missing)})")
    try:
        return [_typed(row) for row in rows]
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error})") from None


def _typed(row: Row) -> Row:
    typed = {name: float(row[name]) if row[name] else None for name in NUMBERS}
    flags = {name: {"true": True, "false": False}.get(row.get(name) or "") for name in FLAGS}
    medians = [float(value) for value in (row.get("round_medians_s") or "").split(";") if value]
    return {**row, **typed, **flags, "round_medians_s": medians}


def against_baseline(rows: list[Row], baseline: list[Row], settings: Row) -> list[Row]:
    """One comparison per row of this run, matched by data set, model and variant; what only one side has is noted."""
    before = {tuple(row[key] for key in KEY): row for row in baseline}
    found = []
    for row in rows:
        other = before.pop(tuple(row[key] for key in KEY), None)
        if other is None:
            found.append(_entry(row, "baseline", None, [], ["not in the baseline"], settings))
            continue
        notes, ratio = _flags(row, "") + _flags(other, "baseline: "), None
        if row["hardware_id"] != other["hardware_id"] and row["status"] == other["status"] == "ok":
            hardware = f"{other['hardware_id'] or 'unknown'} → {row['hardware_id'] or 'unknown'}"
            notes.append(f"measured on other hardware ({hardware}): times are not compared")
        elif row["round_medians_s"] and other["round_medians_s"]:
            ratio = unpaired_ratio(row["round_medians_s"], other["round_medians_s"])
        elif row["time_s"] and other["time_s"]:
            ratio = Ratio(row["time_s"] / other["time_s"], None, None, "no rounds")
            notes.append("the baseline does not have its rounds: no interval")
        found.append(_entry(row, "baseline", ratio, _faults(row, other, settings), notes, settings))
    gone = [_entry(row, "baseline", None, [], ["not in this run"], settings) for row in before.values()]
    return found + gone


def of_pairs(rows: list[Row], timed: dict[tuple[str, str, str], Row], settings: Row) -> list[Row]:
    """One comparison per model and pair [a, b]: b beside a, from `timed` (model, a, b → record of a job that alternated
    them), or from the rounds of this run where the settings have `alternate` false."""
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
                    ratio = paired_ratio(row["round_medians_s"], other["round_medians_s"])
            found.append(_entry(row, a, ratio, _faults(row, other, settings), notes, settings))
    return found


def _alternated(record: Row) -> tuple[Ratio | None, list[str]]:
    if record["status"] != "ok":
        return None, [f"not timed: {record['status']}: {record['reason']}"]
    told = [text for flag, text in TOLD.items() if record[flag]]
    return Ratio(record["ratio"], record["ratio_low"], record["ratio_high"], record["method"]), told + record[
        "warnings"
    ]


def _faults(row: Row, other: Row, settings: Row) -> list[str]:
    return faults(row, other, settings["max_drop"], settings["agreement_bounds"][row["precision"]])


def _flags(row: Row, whose: str) -> list[str]:
    return [f"{whose}{text}" for flag, text in TOLD.items() if row[flag]]


def _entry(row: Row, against: str, ratio: Ratio | None, wrong: Iterable[str], notes: list[str], settings: Row) -> Row:
    wrong = list(wrong)
    time = time_verdict(ratio, settings["margin"]) if ratio else None
    facts = ratio._asdict() if ratio else dict.fromkeys(Ratio._fields)
    names = {"value": "ratio", "low": "ratio_low", "high": "ratio_high", "method": "method"}
    return {
        **{key: row[key] for key in KEY},
        "against": against,
        "verdict": WRONG if wrong else time,
        "time_verdict": time,
        **{name: facts[key] for key, name in names.items()},
        "faults": wrong,
        "notes": notes,
    }
