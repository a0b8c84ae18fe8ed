"""Fill the rows of a bundle (gpu_bundle.py) on this machine, one after another, and save the table after every row.

Stopped or out of time, it goes on where it was: a row that table.csv has is not run again.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, "workflow_scripts")


def run_row(row: dict[str, Any], limits: dict[str, Any], seconds: float) -> None:
    """Run a row's commands in its engine's interpreter. A command that fails or is out of time is a bug or an end."""
    python = f"interpreters/{row['engine']}/bin/python3"
    environment = {**os.environ, "SEGBENCH_LIMITS": json.dumps(limits)}
    ends = time.monotonic() + seconds
    for script, *arguments in row["commands"]:
        call = [python, f"workflow_scripts/{script}", *arguments]
        subprocess.run(call, env=environment, check=True, timeout=max(ends - time.monotonic(), 1))


def main() -> None:
    """Parse the command line and fill the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20, help="time for all rows (default: %(default)s)")
    parser.add_argument("--plan", type=Path, default=Path("plan.json"), help="plan.json of the bundle")
    parser.add_argument("--table", type=Path, default=Path("table.csv"), help="table to write")
    a = parser.parse_args()
    from segbench.table.columns import NAMES
    from segbench.table.rows import read_row

    plan = json.loads(a.plan.read_text(encoding="utf-8"))
    ends = time.monotonic() + a.minutes * 60
    done = set()
    if a.table.exists():
        with open(a.table, newline="", encoding="utf-8") as stream:
            done = {(row["model"], row["variant"]) for row in csv.DictReader(stream)}
    for row in plan["rows"]:
        if (row["model"], row["variant"]) in done:
            continue
        try:
            run_row(row, plan["limits"], ends - time.monotonic())
        except subprocess.TimeoutExpired:
            sys.exit(f"out of time at {row['model']} {row['variant']}; bash run.sh goes on there")
        found = read_row(Path("results"), plan["selection"], row["model"], row["variant"])
        new = not a.table.exists()
        with open(a.table, "a", newline="", encoding="utf-8") as stream:
            table = csv.DictWriter(stream, NAMES, extrasaction="ignore", lineterminator="\n")
            if new:
                table.writeheader()
            table.writerow(found)
        print(
            f"{row['model']} {row['variant']}: {found['status']} {found['reason']} {found['time_s'] or ''}", flush=True
        )


if __name__ == "__main__":
    main()
