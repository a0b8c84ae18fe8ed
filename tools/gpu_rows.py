"""Fill the rows of a bundle (gpu_bundle.py) on this machine, one after another, and save the table after every row.

Stopped or out of time, it goes on where it was: a row that table.csv has is not run again, nor is a command whose files
are there.
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

HERE = Path(__file__).parent
SCRIPTS = "workflow_scripts"
# What a row's commands import (labels are read through Pillow), then what each engine does: its framework, with all
# libraries that this is linked with.
IMPORTS = """
import sys, PIL.Image, build_engine, infer, score, segbench.table.rows
from segbench.engines.base import load
for name in sys.argv[1:]:
    load(name).import_framework()
"""


def environment(bundle: Path) -> dict[str, str]:
    """An environment in which a packed interpreter sees its own packages and the bundle's scripts alone."""
    return {"PYTHONPATH": str(bundle.resolve() / SCRIPTS), "PYTHONNOUSERSITE": "1"}


def import_fault(bundle: Path, folder: str, engines: list[str]) -> str:
    """Why a packed interpreter cannot do its engines' work; empty where it can. It is started in another folder with
    an empty environment."""
    python = bundle.resolve() / folder / "bin/python3"
    command = [str(python), "-c", IMPORTS, *engines]
    try:
        done = subprocess.run(
            command, cwd="/", env=environment(bundle), capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        return f"{folder} does not start: {error}"
    last = (done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"])[-1]
    return f"{folder} cannot import what {', '.join(engines)} needs: {last}" if done.returncode else ""


def run_row(row: dict[str, Any], limits: dict[str, Any], seconds: float) -> None:
    """Run a row's commands. Raises CalledProcessError for a bug of ours, TimeoutExpired when the time is over."""
    variables = {**os.environ, **environment(HERE), "SEGBENCH_LIMITS": json.dumps(limits)}
    ends = time.monotonic() + seconds
    for step in row["steps"]:
        if all(os.path.exists(path) for path in step["outputs"]):
            continue
        for path in step["outputs"]:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        call = [f"{step['interpreter']}/bin/python3", *step["command"]]
        subprocess.run(call, env=variables, check=True, timeout=max(ends - time.monotonic(), 1))


def fill(plan: dict[str, Any], table: Path, minutes: float) -> list[str]:
    """Run the rows that `table` has not, and add each to it; returns what went wrong, a line for each row."""
    from segbench.table.columns import NAMES
    from segbench.table.rows import read_row

    faults: list[str] = []
    ends, done = time.monotonic() + minutes * 60, set()
    if table.exists():
        with open(table, newline="", encoding="utf-8") as stream:
            done = {(row["model"], row["variant"]) for row in csv.DictReader(stream)}
    for row in plan["rows"]:
        name = f"{row['model']} {row['variant']}"
        if (row["model"], row["variant"]) in done:
            continue
        try:
            run_row(row, plan["limits"], ends - time.monotonic())
        except subprocess.TimeoutExpired:
            return [*faults, f"out of time at {name}; bash run.sh goes on there"]
        except subprocess.CalledProcessError as error:
            faults.append(f"{name}: {error.cmd[1]} ended with status {error.returncode}; the other rows go on")
            continue
        found = read_row(Path("results"), plan["selection"], row["model"], row["variant"])
        new = not table.exists()
        with open(table, "a", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, NAMES, extrasaction="ignore", lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(found)
        print(f"{name}: {found['status']} {found['reason']} {found['time_s'] or ''}", flush=True)
    return faults


def main() -> None:
    """Parse the command line, look whether everything can be imported here, fill the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20, help="time for all rows (default: %(default)s)")
    parser.add_argument("--plan", type=Path, default=Path("plan.json"), help="plan.json of the bundle")
    parser.add_argument("--table", type=Path, default=Path("table.csv"), help="table to write")
    args = parser.parse_args()
    plan = json.loads(args.plan.read_text(encoding="utf-8"))
    interpreters = plan["interpreters"].items()
    if faults := [fault for folder, engines in interpreters if (fault := import_fault(HERE, folder, engines))]:
        sys.exit("\n".join(f"error: {fault}" for fault in faults))
    sys.path.insert(0, str(HERE / SCRIPTS))
    if faults := fill(plan, args.table, args.minutes):
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
