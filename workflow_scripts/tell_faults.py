"""Fail, with one line for each, where an input was refused or SegBench's own code failed in this run.

The rows that this concerns stand in the table with the reason. Their records are deleted, so that the next run tries
them again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from segbench.files import write_json
from segbench.process.lifetime import command
from segbench.process.records import records
from segbench.process.status import FOR_A_PERSON


def take_faults(results: Path, selection: dict[str, Any]) -> list[str]:
    """Return a line for each reason, with the first record of the chain that has it. Delete all records with one."""
    by_reason: dict[tuple[str, str], list[Path]] = {}
    for path, status, reason in records(
        results, lambda status: status in FOR_A_PERSON, selection["dataset"], selection["models"]
    ):
        by_reason.setdefault((status, reason), []).append(path)
        path.unlink()
    return [f"{status}: {reason} ({paths[0]})" for (status, reason), paths in by_reason.items()]


@command
def main() -> None:
    """Parse the command line, and fail where there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"), help="the results folder")
    parser.add_argument("--selection", type=json.loads, required=True, help="JSON: data set, and models by name")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write where there is no fault")
    args = parser.parse_args()
    if found := take_faults(args.results, args.selection):
        for line in found:
            print(f"error: {line}", file=sys.stderr)
        print("The table has these reasons. The next run tries again.", file=sys.stderr)
        sys.exit(1)
    write_json(args.out, {"faults": []})


if __name__ == "__main__":
    main()
