"""Fill the rows of a bundle (gpu_bundle.py) on this machine, and save the table whenever a row is done.

A model's engines are built, its images run and scored, then its rounds are timed in blocks: the rows of a model are
done at about the same time. Stopped or out of time, it goes on where it was: a command whose files are there is not run
again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SCRIPTS = "workflow_scripts"
# What the commands import (labels are read through Pillow), then what each engine does: its framework, with all
# libraries that this is linked with.
IMPORTS = """
import sys, PIL.Image, build_engine, infer, time_round, score, segbench.table.rows
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


def steps_of(plan: dict[str, Any], rows: list[list[str]]) -> list[dict[str, Any]]:
    """The steps that make these rows, and those that they need, in the plan's order."""
    kept: list[dict[str, Any]] = []
    needed: set[str] = set()
    for step in reversed(plan["steps"]):
        if step["row"] in rows or needed.intersection(step["outputs"]):
            kept.insert(0, step)
            needed.update(step["needs"])
    return kept


def there(paths: list[str]) -> bool:
    """Whether all files are there."""
    return all(os.path.exists(path) for path in paths)


def run_step(step: dict[str, Any], plan: dict[str, Any], seconds: float) -> None:
    """Run a command as the workflow does. Raises CalledProcessError for a bug of ours, TimeoutExpired when the time is
    over."""
    workflows = {"SEGBENCH_LIMITS": json.dumps(plan["limits"]), "SEGBENCH_BLOCK": plan["block"]}
    variables = {**os.environ, **environment(HERE), **workflows}
    for path in step["outputs"]:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    call = [f"{step['interpreter']}/bin/python3", *step["command"]]
    subprocess.run(call, env=variables, check=True, timeout=max(seconds, 1))


def run_steps(plan: dict[str, Any], seconds: float, faults: list[str]) -> Iterator[None]:
    """Run the steps whose files are not there, one at a time. `faults` gets a line for each that went wrong."""
    ends = time.monotonic() + seconds
    for step in plan["steps"]:
        if there(step["needs"]) and not there(step["outputs"]):  # what a failed step should have made is told once
            name = " ".join(step["row"] or [step["rule"]])
            try:
                run_step(step, plan, ends - time.monotonic())
            except subprocess.TimeoutExpired:
                faults.append(f"out of time at {name}; bash run.sh goes on there")
                return
            except subprocess.CalledProcessError as error:
                faults.append(f"{name}: {error.cmd[1]} ended with status {error.returncode}; the other rows go on")
        yield


def done(plan: dict[str, Any]) -> list[str]:
    """The rows, as `model/variant`, whose files are all there."""
    left = [step["row"] for step in plan["steps"] if not there(step["outputs"])]
    return ["/".join(row) for row in plan["rows"] if row not in left]


def fill(plan: dict[str, Any], table: Path, minutes: float) -> list[str]:
    """Run the steps, and save the table after each that completes a row; returns what went wrong, a line for each."""
    from segbench.files import write_text
    from segbench.table.csv import to_csv
    from segbench.table.rows import read_rows

    faults: list[str] = []
    shown: list[str] = []
    for _ in run_steps(plan, minutes * 60, faults):
        if (now := done(plan)) != shown:
            found = read_rows(Path("results"), plan["selection"], now)
            write_text(table, to_csv(found))
            for row in found:
                if (name := f"{row['model']}/{row['variant']}") not in shown:
                    print(f"{name}: {row['status']} {row['reason']} {row['time_s'] or ''}", flush=True)
            shown = now
    if shown:  # the control's last round may stand behind the last row's
        write_text(table, to_csv(read_rows(Path("results"), plan["selection"], shown)))
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
