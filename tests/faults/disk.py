"""A full or read-only disk in every stage, results moved, symlinked, and two Snakemakes at once.

A small tmpfs holds results/, which wants root: without, only the cases that need no mount are tried.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faults.corruption import made_by, outcome_of
from faults.fault import Case, commands, error_line, run_script, small_flow

ROOM = "32m"
LEFT_BYTES = (0, 8192)  # that are free when a stage begins


def can_mount() -> bool:
    """Whether this process may mount a tmpfs in a namespace of its own."""
    return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


def cases(count: int, seed: int, folder: Path) -> Iterator[Case]:
    """Every stage on a full and on a read-only disk, then whole runs; `count` bounds the stages."""
    flow = small_flow(folder / "flow", calibrated=True)
    flow.snakemake()
    yield from _whole_runs(flow, folder)
    if not can_mount():
        print("disk: no right to mount a tmpfs here: full and read-only disks were not tried")
        return
    scripts = sorted(commands(flow), key=lambda command: Path(command[0]).stem == "report")
    whole = shutil.copytree(flow.folder, folder / "whole", symlinks=True)
    outcome_of(scripts[-1], whole)  # the report anew, of the date that all are given
    with _small_disk(flow.folder / "results") as results:
        for command, left in [(command, left) for command in scripts for left in LEFT_BYTES][:count]:
            _empty(results)
            shutil.copytree(whole / "results", results, dirs_exist_ok=True)
            yield _full(command, left, flow.folder, whole)
        for command in scripts[: max(count // 2, 1)]:
            yield _read_only(command, flow.folder)


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    shutil.rmtree(folder)
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _full(command: list[str], left: int, folder: Path, whole: Path) -> Case:
    """Run a stage with `left` bytes free, then again with room."""
    ballast = folder / "results" / "ballast"
    before = _files(folder)
    with open(ballast, "wb") as stream:
        stream.write(b"\0" * max(shutil.disk_usage(ballast.parent).free - left, 0))
    status, said = run_script(command, folder)
    line = error_line(said)
    ballast.unlink()
    after, name = _files(folder), f"{Path(command[0]).stem} with {left} bytes free"
    temporary = [path for path in after if ".tmp" in path]
    changed = [path for path in before if after.get(path) != before[path] and not _own(command, path)]
    if status == 0:  # what it writes fitted into what it replaced
        lost = "" if made_by(command, folder) == made_by(command, whole) else "another result, and nothing said"
    else:
        lost = "" if "make room" in line else "no clear line"
    lost = lost or (f"left: {temporary}" if temporary else f"changed: {changed}" if changed else "")
    if not lost and outcome_of(command, folder)[2] != made_by(command, whole):
        lost = "does not go on when there is room"
    return Case("disk", f"full: {name}", lost, line[:300] or (said.strip().splitlines() or [""])[-1][:300])


def _read_only(command: list[str], folder: Path) -> Case:
    subprocess.run(["mount", "-o", "remount,ro", folder / "results"], check=True)
    status, said = run_script(command, folder)
    subprocess.run(["mount", "-o", "remount,rw", folder / "results"], check=True)
    line = error_line(said)
    lost = "" if status and "Read-only file system" in line else "no clear line"
    return Case("disk", f"read-only: {Path(command[0]).stem}", lost, line[:300] or said.strip()[-300:])


def _files(folder: Path) -> dict[str, int]:
    """Size of every file of results/ but caches and logs."""
    results = folder / "results"
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in results.rglob("*")
        if path.is_file() and path.relative_to(results).parts[0] not in ("cache", "logs", "ballast")
    }


def _own(command: list[str], path: str) -> bool:
    """Whether the command itself makes the file anew."""
    words = [word.split("=")[-1] for word in command]
    return (
        any(path == word or path.startswith((f"{word}/", f"{word}.json")) for word in words) or "--results" in command
    )


def _whole_runs(flow: Any, folder: Path) -> Iterator[Case]:
    """Snakemake has nothing to do after a move, works through a link, and refuses a second of its kind."""
    moved = folder / "moved elsewhere"
    shutil.copytree(flow.folder, moved, symlinks=True)
    flow = type(flow)(moved, flow.config)
    yield Case(
        "disk", "the whole folder moved", f"does again: {plan}" if (plan := flow.plan()) else "", "nothing to be done"
    )
    shutil.move(moved / "results", folder / "large disk")
    os.symlink(folder / "large disk", moved / "results")
    yield Case(
        "disk", "results is a link", f"does again: {plan}" if (plan := flow.plan()) else "", "nothing to be done"
    )
    (moved / "results/scores/made/nearest/onnxruntime-int8.json").unlink()
    plan = flow.plan()
    flow.snakemake()
    good = plan == {"score": 1, "table": 1, "report": 1} and flow.plan() == {}
    yield Case("disk", "results is a link, a score is missing", "" if good else f"does {plan}", f"does {plan}")
    yield _two_at_once(flow)


def _two_at_once(flow: Any) -> Case:
    shutil.rmtree(flow.folder / "results/runs")
    command = [sys.executable, "-m", "snakemake", "--configfile", "overlay.yaml"]
    first, second = (
        subprocess.Popen(command, cwd=flow.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    )
    said = [process.communicate()[0] for process in (first, second)]
    ended = sorted((first.returncode, second.returncode))
    locked = sum("cannot be locked" in words for words in said)
    lost = "" if ended == [0, 1] and locked == 1 and flow.plan() == {} else f"ended with {ended}, {locked} locked out"
    return Case("disk", "two Snakemakes at once", lost, "the second is refused: Directory cannot be locked")
