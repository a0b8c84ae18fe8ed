"""Fail (exit status 1) when a comparison found a row SLOWER or WRONG, and print which. This is for CI."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from segbench.errors import InputError
from segbench.files import read_json
from segbench.process.lifetime import command
from segbench.table.comparison import Comparison
from segbench.table.verdict import SLOWER, WRONG


def failures(found: list[Comparison]) -> list[str]:
    """Return a line for each comparison that may not pass. `found` is comparison.json."""
    return [_line(row) for row in found if SLOWER in (row["verdict"], row["time_verdict"]) or row["verdict"] == WRONG]


def _line(row: Comparison) -> str:
    found = list(row["faults"])
    if row["ratio"] is not None and row["ratio_low"] is not None:
        found.append(f"{row['ratio']:.3f} of its time (95%: {row['ratio_low']:.3f}–{row['ratio_high']:.3f})")
    name = f"{row['dataset']} {row['model']} {row['variant']}"
    return f"{row['verdict']}: {name} against {row['against']}: {'; '.join(found + row['notes'])}"


@command
def main() -> None:
    """Parse the command line and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--comparison", type=Path, required=True, help="comparison.json")
    found = read_json(parser.parse_args().comparison)
    if not found:
        raise InputError("nothing was compared: set baseline to a table.csv, or comparison.pairs")
    failed = failures(found)
    timed = sum(row["time_verdict"] is not None for row in found)
    print("\n".join(failed) or f"gate passed: {len(found)} rows, none WRONG; {timed} of them timed, none SLOWER")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
