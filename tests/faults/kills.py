"""SIGTERM, SIGINT and SIGKILL at random moments of every stage: a rerun ends in the results of an undisturbed run.

A run is killed in one stage after the other until it comes through. After each kill no process may be left, and what
was finished must not be done again; at the end everything that is not a time has to equal the undisturbed run's, and
no temporary file may be left.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faults.fault import Case, drawn_flow, running_below, small_flow
from segbench.files import sha256_of
from segbench.scoring.predictions import Predictions

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)
# Who is hit: Snakemake alone, all of its process group (what Ctrl-C does), or one of its jobs' scripts.
TARGETS = ("snakemake", "group", "script")
# The scripts in the order in which they start; each is hit up to LONGEST_S after it was first seen.
STAGES = (
    "make_demo_set", "index_images", "index_dataset", "fetch_checkpoint", "check_inputs", "decode_images",
    "export_onnx_model", "export_paddle", "export_onnx", "calibrate", "choose_layers",
    "build_engine", "infer", "score", "time_round", "plan_rounds", "measure_brightness", "picture",
    "table", "report",
)  # fmt: skip
LONGEST_S = {"onnx": 1.5, "paddle": 6.0}  # by kind of model: Paddle alone takes 3 s to import
FLOWS = {"onnx": lambda folder: small_flow(folder, calibrated=True), "paddle": drawn_flow}
END_S = 15.0  # after a kill, until the last process has to be gone
# What has times, dates of files or the machine in it; and Paddle's quantised graph, whose bytes are not the same twice.
TIMES = re.compile(
    r"(latencies|replaced)\.csv|(environment|status|layers\.\w+|onnx)\.json|table\.|report\.html|plots/|logs/|cache/"
    r"|paddle_(ptq|onednn-int8)/.*pdmodel|data/.*/(images|index|dataset)\.(csv|json)"
)


def cases(count: int, seed: int, folder: Path) -> Iterator[Case]:
    """`count` kills, over as many runs as that takes: of an ONNX model and of a Paddle model in turn."""
    chance = random.Random(seed)
    expected: dict[str, dict[str, Any]] = {}
    tried = runs = 0
    while tried < count:
        kind = list(FLOWS)[runs % len(FLOWS)]
        runs += 1
        if kind not in expected:
            undisturbed = FLOWS[kind](folder / f"undisturbed {kind}")
            undisturbed.snakemake()
            expected[kind] = outcome(undisturbed.folder)
        flow = FLOWS[kind](folder / f"run{runs}")
        for case in _until_through(flow, chance, count - tried, LONGEST_S[kind]):
            tried += 1
            yield case
        _unlock(flow)
        flow.snakemake()
        found = outcome(flow.folder)
        wanted = expected[kind]
        wrong = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
        left = [str(path) for path in (flow.folder / "results").rglob("*") if ".tmp" in path.name]
        if wrong or left:
            yield Case("kills", f"run {runs}, at its end", f"differs: {wrong}; left: {left}")


def outcome(folder: Path) -> dict[str, Any]:
    """What a run found, without times: digests of files and of class maps, and the accuracies of the table."""
    results = folder / "results"
    found: dict[str, Any] = {}
    for path in (path for path in sorted(results.rglob("*")) if path.is_file()):
        name = str(path.relative_to(results))
        if path.name == "predictions.zip":
            predictions = Predictions.open(path)
            found[name] = [predictions.digest(image_id) for image_id in predictions.ids]
        elif not TIMES.search(name) and path.name != "model.json":
            found[name] = sha256_of(path)
    with open(results / "table.csv", newline="") as stream:
        for row in csv.DictReader(stream):
            found[row["variant"]] = [row[key] for key in ("status", "reason", "miou", "pixel_agreement", "n", "rounds")]
    return found


def _until_through(flow: Any, chance: random.Random, most: int, longest_s: float) -> Iterator[Case]:
    """Kill the run once in each stage, until it ends by itself."""
    stage = 0
    for _ in range(most):
        signal_, target = chance.choice(SIGNALS), chance.choice(TARGETS)
        moment = chance.uniform(0, longest_s)
        _unlock(flow)
        before = _finished(flow.folder)
        log = flow.folder / "killed.log"
        with open(log, "a") as stream:
            running = subprocess.Popen(
                [sys.executable, "-m", "snakemake", "--configfile", "overlay.yaml"],
                cwd=flow.folder,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            seen = _wait_for_stage(running, stage)
            if seen < 0:
                if running.returncode == 0:
                    return  # it came through
                raise RuntimeError(log.read_text()[-3000:])
            stage, name = seen + 1, f"{signal_.name} to {target}, {moment:.2f} s into {STAGES[seen]}"
            time.sleep(moment)
            hit = _hit(running.pid, target, signal_)
            try:
                running.wait(120)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
                yield Case("kills", name, "Snakemake did not end within 120 s", hit)
                continue
        alive = _wait_for_the_last(flow.folder)
        now = _finished(flow.folder)
        again = [path for path, facts in before.items() if now.get(path) != facts]
        lost = f"still running: {alive}" if alive else f"made again: {again}" if again else ""
        yield Case("kills", name, lost, hit)


def _unlock(flow: Any) -> None:
    """Do what a Snakemake asks for that finds the lock of one that was killed with SIGKILL."""
    locks = flow.folder / ".snakemake" / "locks"
    if locks.exists() and any(locks.iterdir()):
        flow.snakemake("--unlock")


def _wait_for_stage(running: subprocess.Popen[bytes], stage: int) -> int:
    """The number of the first script from `stage` on that runs; -1 when Snakemake ended before."""
    while running.poll() is None:
        found = [Path(said.split()[1]).stem for pid, said in _jobs() if _leader(pid) == running.pid]
        numbers = [number for number, name in enumerate(STAGES) if name in found and number >= stage]
        if numbers:
            return numbers[0]
        time.sleep(0.02)
    return -1


def _hit(snakemake: int, target: str, signal_: signal.Signals) -> str:
    """Send the signal; returns what was running."""
    jobs = _jobs()
    scripts = [(pid, said) for pid, said in jobs if _leader(pid) == snakemake]
    doing = ", ".join(sorted({Path(said.split()[1]).stem for _, said in scripts})) or "between jobs"
    with contextlib.suppress(ProcessLookupError):  # just over
        if target == "script" and scripts:
            for pid, _ in scripts:
                os.kill(pid, signal_)
        elif target == "group":
            os.killpg(snakemake, signal_)
        else:
            os.kill(snakemake, signal_)
    return f"while: {doing}"


def _jobs() -> list[tuple[int, str]]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if len(words) > 2 and words[1].startswith(b"workflow_scripts/") and b"python" in words[0]:
            found.append((int(entry.name), b" ".join(words).decode(errors="replace")))
    return found


def _leader(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def _wait_for_the_last(folder: Path) -> list[str]:
    end = time.monotonic() + END_S
    while (alive := running_below(folder)) and time.monotonic() < end:
        time.sleep(0.1)
    return alive


def _finished(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of change of the status of each run, engine and calibration whose job has ended."""
    marks = (folder / ".snakemake" / "incomplete").glob("*")
    begun = {base64.urlsafe_b64decode(mark.name).decode() for mark in marks}
    paths = {str(path.relative_to(folder)): path.stat() for path in (folder / "results").rglob("status.json")}
    return {name: (facts.st_ino, facts.st_mtime_ns) for name, facts in paths.items() if name not in begun}
