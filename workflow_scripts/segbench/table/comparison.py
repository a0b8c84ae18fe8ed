"""Compare rows: a table with those of baselines, or variants of one table with each other."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypedDict

from segbench.planning.baselines import Kept, Key
from segbench.table.row import Row
from segbench.table.verdict import (
    WRONG,
    Ratio,
    faults,
    lost_objects,
    paired_ratio,
    ratio_to_runs,
    row_ratio,
    time_verdicts,
    unpaired_ratio,
    with_spread_of_rows,
)
from segbench.timing import flags

Settings = dict[str, Any]  # the section `comparison`, with `agreement_bounds` and `baseline`
BASELINE = "baseline"  # what a row is compared with, where that is no variant
MIN_ROUNDS = 3  # fewer show nothing: the interval of two spans 25 standard errors

# Why a row's time was not compared as a gate needs it: an entry's `gap`.
NEW = "not in the baseline"
GONE = "not in this run"
UNTIMED = "has no time to compare"
OTHER_HARDWARE = "measured on other hardware"
OTHER_THREADS = "measured with other threads"
FEW_ROUNDS = f"has fewer than {MIN_ROUNDS} rounds"


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
    p_slower: float | None  # chance of such a ratio or a greater one, were the row not slower
    method: str | None
    gap: str  # why the time was not compared as a gate needs it; empty where it was
    faults: list[str]  # why the row is WRONG
    notes: list[str]
    again: str  # the baseline's folder whose engine the gate times beside the row's; empty: none


def key_of(row: Row | Comparison) -> Key:
    """Return the key that distinguishes a row from all others of its hardware."""
    return row["dataset"], row["model"], row["variant"]


def shown(entry: Comparison, allowed: float) -> bool:
    """Return whether the entry shows that its row is not slower by `allowed`, a fraction, or more."""
    return not entry["gap"] and entry["ratio_high"] is not None and entry["ratio_high"] < 1 + allowed


# Comparing


def against_baselines(rows: list[Row], runs: list[list[Row]], settings: Settings) -> list[Comparison]:
    """Compare each row of this run with the baselines' of equal data set, model and variant. `runs`: the rows of each
    baseline. Rows of one side are noted.
    """
    before: dict[Key, list[Row]] = {}
    for row in (row for run in runs for row in run):
        before.setdefault(key_of(row), []).append(row)
    found = []
    for row in rows:
        others = before.pop(key_of(row), [])
        if others:
            found.append(_beside(row, others, settings))
        else:
            found.append(_entry(row, BASELINE, wrong=lost_objects(row, settings["max_lost"]), notes=[NEW], gap=NEW))
    return _with_spread(found) + [_gone(others) for others in before.values()]


def _with_spread(found: list[Comparison]) -> list[Comparison]:
    """Return the entries; those against one run have in their intervals how far the rows of the two runs differ."""
    alone = {n: ratio for n, entry in enumerate(found) if (ratio := _ratio_of(entry)) and ratio.method == "welch-t-log"}
    widened = dict(zip(alone, with_spread_of_rows(list(alone.values())), strict=True))
    return [_with_ratio(entry, widened[n]) if n in widened else entry for n, entry in enumerate(found)]


def _gone(others: list[Row]) -> Comparison:
    """Return the entry of a row that only baselines have. Nothing is lost with one that did not run."""
    ran = any(one["status"] == "ok" for one in others)
    return _entry(others[0], BASELINE, notes=[GONE], gap=GONE if ran else UNTIMED)


def _beside(row: Row, others: list[Row], settings: Settings) -> Comparison:
    """Compare a row with its rows of the baselines."""
    other = next((one for one in others if one["status"] == "ok"), others[0])
    notes = [note for one in others for note in _circumstances(row, one)]
    notes += _flags(row, "") + [note for one in others for note in _flags(one, "baseline: ")]
    notes = list(dict.fromkeys(notes))
    gap, ratio = UNTIMED, None
    if row["status"] == other["status"] == "ok":
        alike, gap = _alike(row, [one for one in others if one["status"] == "ok"])
        if gap in ("", FEW_ROUNDS):
            ratio = _ratio(row, alike)
        if len(alike) < len(others) and not gap:
            notes.append(f"{len(alike)} of {len(others)} baselines have comparable times")
    return _entry(row, BASELINE, ratio, faults(row, other, settings), notes, gap)


def _alike(row: Row, others: list[Row]) -> tuple[list[Row], str]:
    """Return the rows whose times can be compared with the row's, and the gap where there are none."""
    here = [one for one in others if one["hardware_id"] == row["hardware_id"]]
    alike = [one for one in here if not _differs(row, one, "threads")]
    timed = [one for one in alike if len(_medians(one)) >= MIN_ROUNDS]
    if not alike:
        return [], OTHER_THREADS if here else OTHER_HARDWARE
    return (timed, "") if timed and len(_medians(row)) >= MIN_ROUNDS else (alike, FEW_ROUNDS)


def _ratio(row: Row, others: list[Row]) -> Ratio | None:
    runs = [medians for one in others if (medians := _medians(one))]
    if not runs or not _medians(row):
        times = row["time_s"], others[0]["time_s"]
        return Ratio(times[0] / times[1], None, None, "no rounds") if all(times) else None
    return unpaired_ratio(_medians(row), runs[0]) if len(runs) == 1 else ratio_to_runs(_medians(row), runs)


def of_pairs(rows: list[Row], timed: Mapping[Key, Mapping[str, Any]], settings: Settings) -> list[Comparison]:
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
                gap = "" if row["status"] == other["status"] == "ok" else UNTIMED
            else:
                notes = _flags(other, f"{a}: ") + _flags(row, f"{b}: ")
                ratio, gap = _of_rounds(row, other)
            found.append(_entry(row, a, ratio, faults(row, other, settings), notes, gap))
    return found


def _of_rounds(row: Row, other: Row) -> tuple[Ratio | None, str]:
    """Return the ratio of two rows of this run, and the gap where there is no ratio that a gate can use."""
    if not row["status"] == other["status"] == "ok":
        return None, UNTIMED
    if row["hardware_id"] != other["hardware_id"]:
        return None, OTHER_HARDWARE
    rounds = min(len(_medians(row)), len(_medians(other)))
    return row_ratio(row, other), FEW_ROUNDS if rounds < MIN_ROUNDS else ""


def _alternated(record: Mapping[str, Any]) -> tuple[Ratio | None, list[str]]:
    """Return the ratio of a pair that was timed alternating; None where it could not be timed. And what there is to
    note.
    """
    if record["status"] != "ok":
        return None, [f"not timed: {record['status']}: {record['reason']}"]
    found = flags.sentences(enumerate(record["rounds"], 1)) + record["warnings"]
    ratios = [one["ratio"] for one in record["rounds"]]
    return paired_ratio(ratios, [1.0] * len(ratios)), found


# Judging


def judged(found: list[Comparison], margin: float) -> list[Comparison]:
    """Return all entries with their verdicts. They are judged together, since many ratios are not as many chances."""
    verdicts = time_verdicts([_ratio_of(entry) for entry in found], margin)
    return [
        {**entry, "time_verdict": time, "verdict": WRONG if entry["faults"] else time}
        for entry, time in zip(found, verdicts, strict=True)
    ]


# Timing again


def to_time_again(
    found: list[Comparison], rows: list[Row], runs: list[list[Row]], kept: Mapping[Key, Kept], settings: Settings
) -> list[Comparison]:
    """Return the entries, those marked that a gate times again beside the baseline's engine: what is not shown.

    Such a pair tells how the engines differ, and that only where all else is as it was. Both run today's packages and
    code. Where one of these has changed, it would take from a row the slowness that came with it. On other hardware
    nothing else can be compared.
    """
    now, before = {key_of(row): row for row in rows}, [{key_of(row): row for row in run} for run in runs]
    marked: list[Comparison] = []
    for entry in found:
        key = key_of(entry)
        asked = entry["against"] == BASELINE and entry["gap"] in ("", FEW_ROUNDS, OTHER_HARDWARE)
        if not asked or entry["faults"] or key not in kept or shown(entry, settings["allowed"]):
            marked.append(entry)
            continue
        others = [run[key] for run in before if key in run]
        changed = ["the code that runs its engine"] if kept[key].row["code"] != settings["codes"][key[2]] else []
        if entry["gap"] != OTHER_HARDWARE and not _same_software(now[key], others):
            changed.append("kernel, driver, packages, threads or engine variables")
        why = f"not timed again beside the baseline's engine: {' and '.join(changed)} changed since"
        marked.append(
            {**entry, "notes": [*entry["notes"], why]} if changed else {**entry, "again": str(kept[key].folder)}
        )
    return marked


def _same_software(row: Row, others: list[Row]) -> bool:
    return all(row["software_id"] and row["software_id"] == one["software_id"] for one in others)


def timed_again(entry: Comparison, record: Mapping[str, Any]) -> Comparison:
    """Return the entry with the ratio of the pair in `record`, where that could be timed."""
    ratio, notes = _alternated(record)
    if ratio is None:
        return {**entry, "notes": [*entry["notes"], f"beside the baseline's engine {notes[0]}"]}
    before = f"{entry['ratio']:.3f} between the runs; " if entry["ratio"] else f"{entry['gap']}; "
    again = f"{before}timed again beside the baseline's engine, A B B A"
    return {**_with_ratio(entry, ratio), "gap": "", "notes": [again, *notes]}


def _circumstances(row: Row, other: Row) -> list[str]:
    """Return what was different when the baseline was measured, as far as both rows say."""
    found = []
    if row["hardware_id"] != other["hardware_id"] and row["status"] == other["status"] == "ok":
        hardware = f"{other['hardware_id'] or 'unknown'} → {row['hardware_id'] or 'unknown'}"
        found.append(f"measured on other hardware ({hardware}): times are not compared")
    if _differs(row, other, "threads"):
        found.append(f"threads: {other['threads']} → {row['threads']}: times are not compared")
    if _differs(row, other, "software_id"):
        ids = f"{other['software_id']} → {row['software_id']}"
        found.append(f"other kernel, driver, packages, threads or engine variables ({ids}); environment.json has them")
    if row["status"] == other["status"] == "ok" and not _medians(other):
        found.append("the baseline does not have its rounds: no interval")
    return found


def _differs(row: Row, other: Row, name: str) -> bool:
    """Return whether a cell differs, as far as both rows have it."""
    mine, others = row[name], other[name]  # type: ignore[literal-required]
    return bool(mine and others and mine != others)


def _flags(row: Row, whose: str) -> list[str]:
    return [f"{whose}{text}" for text in flags.sentences_of(row)]


def _medians(row: Row) -> list[float]:
    return [float(value) for value in (row["round_medians_s"] or "").split(";") if value]


def _ratio_of(entry: Comparison) -> Ratio | None:
    if entry["ratio"] is None:
        return None
    return Ratio(entry["ratio"], entry["ratio_low"], entry["ratio_high"], entry["method"] or "", entry["p_slower"])


def _with_ratio(entry: Comparison, ratio: Ratio) -> Comparison:
    return {
        **entry,
        "ratio": ratio.value,
        "ratio_low": ratio.low,
        "ratio_high": ratio.high,
        "p_slower": ratio.p_slower,
        "method": ratio.method,
    }


def _entry(
    row: Row,
    against: str,
    ratio: Ratio | None = None,
    wrong: Iterable[str] = (),
    notes: Collection[str] = (),
    gap: str = "",
) -> Comparison:
    """Return an entry without its verdicts, which need all other entries."""
    return {
        "dataset": row["dataset"],
        "model": row["model"],
        "variant": row["variant"],
        "against": against,
        "verdict": None,
        "time_verdict": None,
        "ratio": ratio and ratio.value,
        "ratio_low": ratio and ratio.low,
        "ratio_high": ratio and ratio.high,
        "p_slower": ratio and ratio.p_slower,
        "method": ratio and ratio.method,
        "gap": gap,
        "faults": list(wrong),
        "notes": list(notes),
        "again": "",
    }
