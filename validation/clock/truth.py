"""Run the same rows twice on a quiet machine and twice beside a hog that comes and goes. Do their figures agree?

A copy of the workflow, with an engine in it that is slower by a known share, is run four times. Between the runs the
timed rounds are deleted and all else is kept. Then the table says:

- of rows without a flag, how many have the other run's ratio to the control within both stated intervals combined;
- the same for times as measured, and for the clock before this one (rounds of 8 runs, no control), from these rounds;
- verdicts of rows against themselves: two names of one variant in one run, and the same row of two runs;
- whether slowdowns of 10% and 30% are found, or said to be too small to be told.

`--folder` keeps everything: an interrupted validation goes on where it stopped.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import yaml
from segbench.process.lifetime import command
from segbench.table.csv import read_table
from segbench.table.row import Row
from segbench.table.verdict import Ratio, rounds_of, row_ratio, time_verdict, unpaired_ratio
from segbench.timing.intervals import log_interval
from segbench.timing.latencies import read_compute_s

from validation.clock.planted_faults import WRAPPER
from validation.clock.planted_load import busy_core
from validation.common import MARGIN, ROOT, leave

RUNS = ("quiet 1", "quiet 2", "hog 1", "hog 2")
BASE, AGAIN, OTHER = "onnxruntime-fp32", "again-fp32", "openvino-fp32"
SLOWER = {0.10: "slower10-fp32", 0.30: "slower30-fp32"}
HOG_S = 20  # it computes for as long, then sleeps for as long
OLD_RUNS = 8  # of a round of the clock before
Pair = tuple[tuple[str, Row], tuple[str, Row]]  # the row of two runs, each with its run's name


def configuration(models: list[str], images: int) -> dict[str, Any]:
    """Return the overlay: the base, its twin under another name, the slower ones, another engine."""
    twin = {"engine": "onnxruntime", "precision": "fp32"}
    planted = {name: {**twin, "engine": "planted", "run": {"slowdown": share}} for share, name in SLOWER.items()}
    return {
        "dataset": "truth",
        "models": models,
        "variants": [BASE, AGAIN, OTHER, *planted],
        "reference": BASE,
        "timing": {"extra_s": 20, "warm_up": {"max_s": 1}},
        "variant_catalogue": {AGAIN: twin, **planted},
        "dataset_catalogue": {
            "truth": {
                "kind": "cityscapes",
                "generate": {"height": 256, "width": 512, "train": 1, "val": images, "seed": 0},
            }
        },
    }


def prepare(folder: Path, models: list[str]) -> None:
    """Copy the workflow, and plant the engine and the configuration."""
    if not (folder / "Snakefile").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, folder / name)
    (folder / "workflow_scripts/segbench/engines/planted.py").write_text(WRAPPER.format(engine="onnxruntime"))
    (folder / "config/truth.yaml").write_text(yaml.safe_dump(configuration(models, 8)))


def run(folder: Path, name: str) -> None:
    """Time all rows, and keep table and rounds under `name`."""
    kept = folder / "kept" / name
    if (kept / "table.csv").exists():
        return
    results = folder / "results"
    for stale in ("runs", "control", "rounds.json", "table.csv"):
        path = results / stale
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    start = time.monotonic()
    # The folder is this script's own: a lock in it is left from a run that was killed.
    workflow = [sys.executable, "-m", "snakemake", "--nolock", "--configfile", "config/truth.yaml", "--"]
    workflow.append("results/table.csv")
    with open(folder / f"{name}.log", "w", encoding="utf-8") as log:
        subprocess.run(workflow, cwd=folder, check=True, stdout=log, stderr=subprocess.STDOUT)
    kept.mkdir(parents=True)
    shutil.copytree(results / "runs", kept / "runs")
    shutil.copyfile(results / "table.csv", kept / "table.csv")
    print(f"{name}: {(time.monotonic() - start) / 60:.1f} min", flush=True)


def within(a: list[float], b: list[float]) -> bool | None:
    """Return whether the means of two samples of figures differ by no more than both 95% half widths combined. None: a
    sample has fewer than three.
    """
    if min(len(a), len(b)) < 3:
        return None
    (centre, half), (other, other_half) = log_interval(a), log_interval(b)
    return abs(centre - other) <= math.hypot(half, other_half)


def as_stated(a: Row, b: Row) -> bool | None:
    """Return `within` for the times of two rows and the intervals that the table states."""
    ends = [row[key] for row in (a, b) for key in ("time_s_low", "time_s_high")]
    if None in ends:
        return None
    low, high, other_low, other_high = (math.log(end) for end in ends if end)
    return abs(low + high - other_low - other_high) <= math.hypot(high - low, other_high - other_low)


def relative(row: Row) -> list[float]:
    """Return the ratio to the control in each round's block; none where a block had none."""
    figures, controls = rounds_of(row)
    return [figure / control for figure, control in zip(figures, controls, strict=False)]


def as_before(folder: Path, name: str, row: Row) -> list[float]:
    """Return the figures of the first three rounds as the clock before would have had them: from few runs each."""
    runs = folder / "kept" / name / "runs" / row["dataset"] / row["model"] / row["variant"]
    return [statistics.median(read_compute_s(runs / f"{n}/0/latencies.csv")[:OLD_RUNS]) for n in (1, 2, 3)]


def counted(ratios: Iterable[Ratio | None]) -> str:
    """Count the verdicts."""
    counts = Counter(time_verdict(ratio, MARGIN) for ratio in ratios if ratio is not None)
    return ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))


def share(found: Iterable[bool | None]) -> str:
    """Write a share with its count and its 95% interval (Clopper and Pearson's)."""
    from scipy.stats import binomtest

    known = [one for one in found if one is not None]
    if not known:
        return "none"
    result = binomtest(sum(known), len(known))
    interval = result.proportion_ci(0.95)
    return f"{sum(known)} of {len(known)} ({interval.low:.0%}–{interval.high:.0%})"


def agreement(folder: Path, kind: str, pairs: list[Pair]) -> list[list[str]]:
    """Return a line for each way to state a time. The clock before had no flags of these kinds: it has all rows."""
    clean = [pair for pair in pairs if not any(row["flags"] for _, row in pair)]
    found = {
        "ratio to the control": [within(*(relative(row) for _, row in pair)) for pair in clean],
        "time as measured": [as_stated(one, two) for (_, one), (_, two) in clean],
        f"clock before ({OLD_RUNS} runs a round, no control)": [
            within(*(as_before(folder, name, row) for name, row in pair)) for pair in pairs
        ],
    }
    return [[kind, f"rows within both intervals: {way}", share(held)] for way, held in found.items()]


def planted(rows: dict[tuple[str, str], Row], model: str, slowdown: float) -> tuple[bool, bool]:
    """Return whether a slowdown was found, and whether it was found or is said to be too small to be told."""
    base, slower = rows[model, BASE], rows[model, SLOWER[slowdown]]
    ratio = row_ratio(slower, base)
    found = ratio is not None and time_verdict(ratio, MARGIN) == "SLOWER"
    return found, found or (slower["smallest_difference"] or 0) >= slowdown


@command
def main() -> None:
    """Run four times, then compare."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["deeplabv3p_demo", "gcnet_demo", "emanet_demo", "dnlnet_demo", "pspnet_demo", "unet_demo"]
    options.add_argument("--models", nargs="+", default=names, help="demo models (default: %(default)s)")
    options.add_argument("--runs", nargs="+", default=list(RUNS), choices=RUNS, help="runs to make (default: all)")
    options.add_argument("--folder", type=Path, default=Path("results/truth"), help="folder of the copy")
    options.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder of the JSON record")
    a = options.parse_args()
    prepare(a.folder, a.models)
    for name in a.runs:
        with busy_core(min(os.sched_getaffinity(0)), HOG_S, HOG_S) if name.startswith("hog") else nullcontext():
            run(a.folder, name)
    tables = {
        name: {(row["model"], row["variant"]): row for row in read_table(a.folder / "kept" / name / "table.csv")}
        for name in a.runs
    }
    cells, every = [], list[Pair]()
    for kind in ("quiet", "hog"):
        one, two = (f"{kind} {number}" for number in (1, 2))
        if one in tables and two in tables:
            pairs: list[Pair] = [((one, row), (two, tables[two][key])) for key, row in tables[one].items()]
            every += pairs
            clean = sum(not row["flags"] for pair in pairs for _, row in pair)
            cells.append([kind, "rows without a flag", f"{clean} of {2 * len(pairs)}"])
            cells += agreement(a.folder, kind, pairs)
            repeated = [unpaired_ratio(relative(two), relative(one)) for (_, one), (_, two) in pairs if relative(one)]
            cells.append([kind, "verdicts of a row of the second run against the first", counted(repeated)])
    cells += agreement(a.folder, "both", every)
    for name, rows in tables.items():
        twins = [row_ratio(rows[model, AGAIN], rows[model, BASE]) for model in a.models]
        cells.append([name, "verdicts of a variant against its twin", counted(twins)])
        smallest = next(iter(rows.values()))["smallest_difference"]
        cells.append([name, "smallest difference that can be told", f"{smallest:.1%}" if smallest else "not known"])
        for slowdown in SLOWER:
            found, told = zip(*(planted(rows, model, slowdown) for model in a.models), strict=True)
            cells.append([name, f"{slowdown:.0%} slower: found", share(found)])
            cells.append([name, f"{slowdown:.0%} slower: found, or said to be too small", share(told)])
    leave(a.out, "truth", ["run", "figure", "found"], cells, {"cells": cells})


if __name__ == "__main__":
    main()
