"""Shared parts of the validations: built variants of a results folder, and the record of a figure."""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.config.schema import Comparison, Timing
from segbench.errors import InputError
from segbench.files import read_json, write_json
from segbench.machine.cpu import this_machine
from segbench.machine.environment import environment_record
from segbench.process.limits import Limits
from segbench.process.supervise import supervise
from segbench.table.markdown import table
from segbench.table.verdict import paired_ratio
from segbench.timing.latencies import read_compute_s

ROOT = Path(__file__).parents[1]
MARGIN = Comparison().margin
WIDEST = 0.10  # half width of an interval that shows something
ALLOWED = 0.03  # what two clocks may differ by, where they are shown to differ
TIME_ROUND = str(ROOT / "workflow_scripts" / "time_round.py")


def copy_workflow(folder: Path) -> None:
    """Copy the files of the project that git knows into `folder`, where a validation may change them."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)  # with its date: an unchanged file reruns nothing


@dataclass(frozen=True)
class Place:
    """The place of the built variants of one model."""

    results: Path
    dataset: str
    model: str

    def side(self, variant: str) -> dict[str, Any]:
        """Return a built variant in the form that timing scripts read. Raises InputError where it is not built."""
        folder = self.results / "engines" / self.dataset / self.model / variant
        built = read_json(folder / "status.json")
        if built["status"] != "ok":
            raise InputError(f"{folder}: {built['status']}: {built['reason']}")
        files = {"engine": str(folder / "engine"), "engine_status": str(folder / "status.json")}
        return {"variant": built["variant"], "options": {}, "python": sys.executable, **files}

    def request(self, **more: Any) -> dict[str, Any]:
        """Return a request with model, images, default timing, and `more` on top."""
        model = self.results / "models" / self.model / "model.json"
        index = self.results / "data" / self.dataset / "val" / "index.csv"
        known: dict[str, Any] = {
            "model": str(model),
            "index": str(index),
            "timing": Timing().model_dump(),
            "threads": 0,
        }
        return {**known, "decoded": None, **more}


def parser(doc: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """Return a parser with the common options. `defaults` are further numbers by option, each a pair of default and
    help.
    """
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--results", type=Path, default=Path("results"), help="results folder with built engines")
    made.add_argument("--dataset", default="demo", help="its data set (default: %(default)s)")
    made.add_argument("--model", default="gcnet_demo", help="the model (default: %(default)s)")
    made.add_argument("--variant", default="onnxruntime-fp32", help="the variant (default: %(default)s)")
    made.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder of the JSON record")
    for name, (default, text) in defaults.items():
        made.add_argument(
            f"--{name.replace('_', '-')}", type=type(default), default=default, help=f"{text} (default: %(default)s)"
        )
    return made


def place_of(arguments: argparse.Namespace) -> Place:
    """Return the place that the command line names."""
    return Place(arguments.results, arguments.dataset, arguments.model)


def time_round(request: dict[str, Any], number: int, name: str) -> dict[str, Any]:
    """Time one round by the workflow's own job. Return its facts, its `times_s` and their `median_s`. Raises
    InputError when the variant could not run.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = {key: f"{folder}/{key}" for key in ("latencies", "replaced", "predictions")}
        outcome = supervise(TIME_ROUND, {**request, "round": number, **files}, Limits(), name)
        if outcome.status != "ok":
            raise InputError(f"{name}: {outcome.status}: {outcome.reason}")
        times = read_compute_s(files["latencies"])
        return {**outcome.result, "times_s": times, "median_s": statistics.median(times)}


def agreement(judged: list[float], other: list[float]) -> dict[str, Any]:
    """Return the ratio of two clocks' figures over A B B A blocks, its 95% interval and the half width of that."""
    ratio = paired_ratio(judged, other)
    half = None if ratio.low is None or ratio.high is None else (ratio.high / ratio.low) ** 0.5 - 1
    return {"ratio": ratio.value, "low": ratio.low, "high": ratio.high, "half_width": half}


def verdict(found: dict[str, Any]) -> str:
    """Say whether the two agree: the interval has to contain 1, and to be narrow enough to show something. One that
    does not contain 1 can still lie within what is allowed.
    """
    if found["half_width"] is None or found["half_width"] > WIDEST:
        return "not shown: the interval is too wide"
    if found["low"] <= 1 <= found["high"]:
        return "yes"
    near = found["low"] >= 1 / (1 + ALLOWED) and found["high"] <= 1 + ALLOWED
    return f"differ, by less than {ALLOWED:.0%}" if near else "no"


def agreement_cells(found: dict[str, Any]) -> list[str]:
    """Return the cells of an agreement: the ratio, its interval, and the verdict."""
    interval = f"{found['low']:.3f} to {found['high']:.3f} (±{found['half_width']:.1%})" if found["low"] else "none"
    return [f"{found['ratio']:.3f}", interval, verdict(found)]


AGREEMENT = ["95% interval", "agree"]  # headings of the last two


def leave(out: Path, name: str, header: list[str], cells: list[list[Any]], record: dict[str, Any]) -> None:
    """Print a figure as a Markdown table, and write `out/name.json` with its data and the machine."""
    write_json(out / f"{name}.json", {**record, "environment": environment_record(this_machine(), 0)})
    print(f"\n## {name}\n\n{table(header, cells)}\n")
