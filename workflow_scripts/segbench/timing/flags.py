"""Reasons to distrust a time. Each flag gets a sentence with its rounds, how much, the bound, and the cure.

A flag is a column of the table that is true or false. The sentences stand in the column `flags`. Both are read from the
records that a timed job writes: the `status.json` of a round, or a round of a pair.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from segbench.machine.nvml import POWER_CAP
from segbench.timing.disturbance import HELD_BACK_SHARE

Record = Mapping[str, Any]
SEPARATOR = "; "  # between the sentences of one row
NAMES = {"steady": "not steady", "contended": "contended", "throttled": "throttled"}  # by their columns
# A record of an older version has no numbers; it gets these sentences.
WITHOUT_NUMBERS = {
    "steady": "its runs became faster or slower",
    "contended": "other processes used the machine",
    "throttled": "heat, power or a CPU quota slowed the device down",
}


def sentences(records: Iterable[tuple[int, Record]]) -> list[str]:
    """Return the flags of a row. `records`: the number of a round, and what its job recorded, once for each shard."""
    records, found = list(records), []
    for column, tell in (("steady", _unsteady), ("contended", _contended), ("throttled", _throttled)):
        numbers = sorted({number for number, record in records if is_set(record, column)})
        if numbers:
            subject = f"round {numbers[0]} is" if len(numbers) == 1 else f"rounds {', '.join(map(str, numbers))} are"
            reason = tell([record for _, record in records if is_set(record, column)])
            found.append(f"{subject} {NAMES[column]}: {reason or WITHOUT_NUMBERS[column]}")
    return found


def sentences_of(row: Record) -> list[str]:
    """Return the flags of a row of the table, also where its version had no column `flags`."""
    if row["flags"]:
        return str(row["flags"]).split(SEPARATOR)
    return [f"{NAMES[column]}: {text}" for column, text in WITHOUT_NUMBERS.items() if is_set(row, column)]


def names(row: Record) -> list[str]:
    """Return the names of a row's flags."""
    return [name for column, name in NAMES.items() if is_set(row, column)]


def any_known(values: Iterable[bool | None]) -> bool | None:
    """Return whether any of `values` is true, of those that are known; None where none is."""
    known = [value for value in values if value is not None]
    return any(known) if known else None


def is_set(record: Record, column: str) -> bool:
    """Return whether a flag speaks against the time: `steady` where it is false, the others where they are true."""
    return record.get(column) is (column != "steady")


def _unsteady(records: list[Record]) -> str:
    drifts = [record["drift"] for record in records if record.get("drift") is not None]
    if not drifts:
        return ""
    worst, allowed = max(drifts, key=abs), max(record["drift_tolerance"] for record in records if "drift" in record)
    most, way = "up to " if len(drifts) > 1 else "", "slower" if worst > 0 else "faster"
    change = f"the last third of the runs was {most}{percent(abs(worst))} {way} than the first"
    return f"{change} (allowed: {percent(allowed)}). Raise timing.round_min_s and timing.warm_up.max_s"


def _contended(records: list[Record]) -> str:
    allowed = max(record.get("contention_share") or 0 for record in records)
    bound = f" (allowed: {percent(allowed)})" if allowed else ""
    most = "up to " if len(records) > 1 else ""
    other, stolen = _largest(records, "other_share"), _largest(records, "steal_share")
    found = []
    if other + stolen > allowed:
        parts = ((other, "other processes used"), (stolen, "the hypervisor took"))
        # A share that is nothing beside the other is left out.
        shares = [f"{who} {most}{percent(share)}" for share, who in parts if share >= 0.01 * (other + stolen)]
        found.append(f"{' and '.join(shares)} of {_cpu(records, 'other')}{bound}")
    if (beside := _largest(records, "sibling_share")) > allowed:
        found.append(
            f"{_cpu(records, 'sibling')}, beside one of the engine's, was busy for {most}{percent(beside)}{bound}"
        )
    if not found and (delay := _largest(records, "run_delay_share")) > allowed:
        found.append(f"a thread waited for its CPU for {most}{percent(delay)} of the time{bound}")
    if count := _largest(records, "gpu_other_processes"):
        found.append(f"{most}{count:.0f} other process(es) computed on the GPU")
    if (busy := _largest(records, "gpu_busy_before")) > allowed:
        found.append(f"the GPU was busy for {most}{percent(busy)} of the time before this process used it{bound}")
    cure = "Move to a machine of your own" if stolen > other else "Stop them"
    return f"{', and '.join(found)}. {cure}, or raise timing.contention_share" if found else ""


def _cpu(records: list[Record], whose: str) -> str:
    """Name the CPU on which the share of `whose` is largest, by its number where the record has it."""
    worst = max(_kept(records), key=lambda one: one.get(f"{whose}_share") or 0)
    number = worst.get(f"{whose}_cpu")
    return "a CPU" if number is None else f"CPU {number}"


def _throttled(records: list[Record]) -> str:
    events, held = _largest(records, "throttle_events"), _largest(records, "gpu_held_back_share")
    reasons = sorted({reason for one in _kept(records) for reason in one.get("gpu_reasons") or ()} - {POWER_CAP})
    found = []
    if events:
        found.append(f"heat slowed the CPU down {events:.0f} time(s)")
    if stops := _largest(records, "quota_throttles"):
        seconds = _largest(records, "quota_throttled_s")
        found.append(f"the control group's CPU quota was used up {stops:.0f} time(s), for {seconds:.2g} s")
    if held > HELD_BACK_SHARE:
        found.append(f"the GPU was held back for {percent(held)} of the time (allowed: {percent(HELD_BACK_SHARE)})")
    if reasons:
        found.append(f"the GPU gave as reason {', '.join(reasons)}")
    cure = "Raise the quota, or lower threads" if stops else "Cool the device, or lock its clock below the limit"
    return f"{', and '.join(found)}. {cure}" if found else ""


def percent(share: float) -> str:
    """Write a share with three significant digits, so that a share beyond a bound does not read like the bound."""
    return f"{100 * share:.3g}%"


def _largest(records: list[Record], name: str) -> float:
    return max((one.get(name) or 0 for one in _kept(records)), default=0)


def _kept(records: list[Record]) -> list[Record]:
    """Return the readings of the stretches that were kept. Those before a round was run again were not."""
    return [one for record in records for one in record.get("disturbances", [])[record.get("repeats", 0) :]]
