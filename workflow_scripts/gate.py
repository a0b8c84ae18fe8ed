"""Fail (exit status 1) unless a comparison shows that no row is WRONG or slower than allowed, and print why. For CI."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segbench.errors import InputError
from segbench.files import read_json
from segbench.planning.baselines import Key
from segbench.process.lifetime import command
from segbench.table.comparison import (
    BASELINE,
    FEW_ROUNDS,
    GONE,
    MIN_ROUNDS,
    NEW,
    OTHER_HARDWARE,
    OTHER_THREADS,
    UNTIMED,
    Comparison,
    judged,
    key_of,
    shown,
    timed_again,
)
from segbench.table.verdict import SLOWER, UNCLEAR, WRONG

WORDS = {  # by gap, where it stops a row
    GONE: "GONE",
    OTHER_HARDWARE: "OTHER HARDWARE",
    OTHER_THREADS: "OTHER THREADS",
    FEW_ROUNDS: "FEW ROUNDS",
}
ACCEPT = "or accept it: snakemake update_baseline"
CURES = {
    WRONG: f"Mend it, {ACCEPT}",
    SLOWER: f"Find what made it slower (environment.json of both runs), {ACCEPT}",
    GONE: f"Choose it again (models, variants), {ACCEPT}",
    OTHER_HARDWARE: "Make the baseline on this machine, or as a folder (snakemake update_baseline), whose engines are"
    " timed again",
    OTHER_THREADS: "Set threads as in the baseline, or make the baseline anew",
    FEW_ROUNDS: f"Set rounds to {MIN_ROUNDS} or more for this run and its baseline",
}
NOTHING_TIMED = (
    "NOTHING TIMED: no row's time was compared. Make a baseline with rows of this run: snakemake update_baseline"
)


def failures(found: list[Comparison], allowed: float) -> list[str]:
    """Return a line for each entry that may not pass: what, which row, the cure. `found` has its verdicts.

    Only what is shown passes: the upper end of the ratio's interval is below 1 + `allowed`.
    """
    lines = [line for entry in found if (line := _failure(entry, allowed))]
    return lines if any(_was_timed(entry) for entry in found) else [*lines, NOTHING_TIMED]


def _was_timed(entry: Comparison) -> bool:
    return not entry["gap"] and entry["ratio_high"] is not None


def _failure(entry: Comparison, allowed: float) -> str:
    """Return why an entry may not pass; empty where it may. A row that is new, or that had no time, may."""
    if entry["faults"]:
        word, cure = WRONG, CURES[WRONG]
    elif entry["gap"] in (NEW, UNTIMED) or shown(entry, allowed):
        return ""
    elif entry["gap"]:
        word, cure = WORDS[entry["gap"]], CURES[entry["gap"]]
    else:
        word = SLOWER if entry["time_verdict"] == SLOWER else UNCLEAR
        cure = CURES[SLOWER] if word == SLOWER else _clearer(entry)
    name = " ".join(key_of(entry))
    what = [*entry["faults"], *_times(entry, allowed), *entry["notes"]]
    return f"{word}: {name} against {entry['against']}: {'; '.join(what)}. {cure}"


def _times(entry: Comparison, allowed: float) -> list[str]:
    if entry["ratio"] is None:
        return []
    interval = "no interval"
    if entry["ratio_low"] is not None:
        interval = f"95%: {entry['ratio_low']:.3f}–{entry['ratio_high']:.3f}; allowed: below {1 + allowed:g}"
    return [f"{entry['ratio']:.3f} of its time ({interval})"]


def _clearer(entry: Comparison) -> str:
    """Return what would make an unclear time clear."""
    if entry["again"] or entry["against"] != BASELINE:
        return "Stop what else runs, or set comparison.rounds higher"
    return (
        "Give a baseline whose engines can be timed again (snakemake update_baseline), or three or more runs of it,"
        " or set rounds higher"
    )


def with_pairs(found: list[Comparison], pairs: Mapping[Key, Mapping[str, Any]], margin: float) -> list[Comparison]:
    """Return the entries with the times of the pairs that were timed again, by row, and judged anew."""
    entries = [timed_again(entry, pairs[key_of(entry)]) if entry["again"] else entry for entry in found]
    return judged(entries, margin)


def _file_of(folder: Path, entry: Comparison) -> Path:
    return folder / entry["dataset"] / entry["model"] / f"{entry['variant']}.json"


@command
def main() -> None:
    """Parse the command line and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--comparison", type=Path, required=True, help="comparison.json")
    parser.add_argument("--pairs", type=Path, required=True, help="folder of the pairs with the baseline's engines")
    parser.add_argument("--settings", type=json.loads, required=True, help="JSON: margin, allowed")
    args = parser.parse_args()
    found: list[Comparison] = read_json(args.comparison)
    if not found:
        raise InputError("nothing was compared: set baseline to an earlier run, or comparison.pairs")
    pairs = {key_of(row): read_json(_file_of(args.pairs, row)) for row in found if row["again"]}
    found = with_pairs(found, pairs, args.settings["margin"])
    allowed = args.settings["allowed"]
    failed = failures(found, allowed)
    timed = sum(map(_was_timed, found))
    passed = f"gate passed: {len(found)} rows, none WRONG; {timed} of them timed, none slower by {allowed:.0%} or more"
    print("\n".join(failed) or passed + (f"; {len(pairs)} timed again" if pairs else ""))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
