"""Each kind of intermediate truncated, bit-flipped, emptied or replaced: refused by name, never a wrong number.

The readers are the workflow's own commands, run by hand on a copy of a finished run.
"""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from faults.fault import Case, commands, error_line, run_script, small_flow
from segbench.files import SNAKEMAKES_OWN, read_json
from segbench.scoring.predictions import Predictions

DATE = "--date=a day"  # so that two reports are equal


def cases(count: int, seed: int, folder: Path) -> Iterator[Case]:
    """`count` cases, spread over files, faults and readers; everything is made below `folder`."""
    chance = random.Random(seed)
    flow = small_flow(folder / "flow", calibrated=True)
    flow.snakemake()
    scripts = commands(flow)
    plan = _plan(flow.folder, scripts)
    whole: dict[int, Any] = {}
    for number, (path, fault, reader) in enumerate(chance.sample(plan, min(count, len(plan))), 1):
        command = scripts[reader]
        if reader not in whole:
            whole[reader] = outcome_of(command, _copy(flow.folder, folder / "whole"))
        here = _copy(flow.folder, folder / "broken")
        FAULTS[fault](here / path, chance, flow.folder)
        name = f"{number}: {fault} {path}, read by {Path(command[0]).stem}"
        yield _judge(name, path, fault, outcome_of(command, here), whole[reader])


def _copy(source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns(".snakemake"))
    return target


# Which commands read what; a file of results/ that stands here in no line is one that no command reads.
READERS = {
    "data/made/val/images.csv": ("infer", "index_images", "index_dataset"),
    "data/made/val/images.json": ("infer", "index_dataset"),
    "data/made/timed/images.csv": ("time_round",),
    "data/made/timed/images.json": ("time_round",),
    "data/made/val/index.csv": ("score", "picture", "report"),
    "data/made/val/dataset.json": ("check_inputs", "score", "picture", "report"),
    "data/made/calibration/images.csv": ("calibrate", "index_dataset"),
    "data/made/calibration/images.json": ("calibrate", "index_dataset"),
    "data/made/calibration/index.csv": ("choose_layers",),
    "data/made/calibration/dataset.json": ("choose_layers",),
    "models/nearest/checkpoint.onnx": ("export_onnx_model",),
    "models/nearest/checkpoint.onnx.json": ("export_onnx_model",),
    "models/nearest/model.onnx": ("calibrate", "choose_layers", "build_engine"),
    "models/nearest/model.json": (
        "calibrate",
        "choose_layers",
        "build_engine",
        "infer",
        "time_round",
        "score",
        "picture",
        "report",
    ),
    "calibration/made/nearest/*/table.json": ("choose_layers", "build_engine"),
    "calibration/made/nearest/*/status.json": ("choose_layers", "build_engine"),
    "calibration/made/nearest/*/layers.*.json": ("build_engine",),
    "engines/made/nearest/*/engine/*": ("infer", "time_round"),
    "engines/made/nearest/*/status.json": ("infer", "time_round", "table", "report"),
    "predictions/made/nearest/*/0/predictions.zip": ("score", "picture", "table", "report"),
    "predictions/made/nearest/*/0/environment.json": ("table", "report"),
    "predictions/made/nearest/*/0/status.json": ("score", "picture", "table", "report"),
    "runs/made/nearest/*/*/0/latencies.csv": ("plan_rounds", "table", "report"),
    "runs/made/nearest/*/*/0/replaced.csv": ("table", "report"),
    "runs/made/nearest/*/*/0/predictions.zip": ("table", "report"),
    "runs/made/nearest/*/*/0/environment.json": ("table", "report"),
    "runs/made/nearest/*/*/0/status.json": ("plan_rounds", "table", "report"),
    "control/made/nearest/*/*/*/latencies.csv": ("table", "report"),
    "control/made/nearest/*/*/*/environment.json": ("table", "report"),
    "control/made/nearest/*/*/*/status.json": ("table", "report"),
    "rounds.json": ("table", "report"),
    "scores/made/nearest/*.json": ("table", "report"),
}


def _plan(folder: Path, scripts: list[list[str]]) -> list[tuple[Path, str, int]]:
    """Every file of the finished run with every fault and every command that reads it."""
    found = []
    for pattern, readers in READERS.items():
        files = [path.relative_to(folder) for path in sorted((folder / "results").glob(pattern)) if path.is_file()]
        for path in (path for path in files if path.name != SNAKEMAKES_OWN):
            for number, command in enumerate(scripts):
                if Path(command[0]).stem in readers and _is_given(command, path):
                    found += [(path, fault, number) for fault in FAULTS]
    return found


def _is_given(command: list[str], path: Path) -> bool:
    """Whether the command names the file or its folder among its inputs, or reads all of results/."""
    if "--results" in command:
        return True
    words = [word.split("=")[-1] for before, word in itertools.pairwise(command) if before not in WRITTEN]
    return any(word in (str(path), str(path.parent)) or Path(word).parent == path.parent for word in words)


WRITTEN = ("--out", "--latencies", "--replaced", "--environment")


def outcome_of(command: list[str], folder: Path) -> tuple[int, str, Any]:
    """Exit status, words, and what the command made, without what differs from run to run."""
    script = Path(command[0]).stem
    status, said = run_script([*command, *([DATE] if script == "report" else [])], folder)
    status = status or 2 * bool(error_line(said))  # what is refused is in the record, and the job ends well
    return status, said, made_by(command, folder) if status == 0 else None


def made_by(command: list[str], folder: Path) -> Any:
    """What the command has left in `folder`, without what differs from run to run."""
    script = Path(command[0]).stem
    values = dict(itertools.pairwise(command))

    def record(option: str) -> Any:
        return read_json(folder / values[option])

    if script in ("infer", "time_round"):
        predictions = Predictions.open(folder / values["--predictions"])
        return record("--status")["status"], {i: predictions.digest(i) for i in predictions.ids}
    if script == "build_engine":
        return record("--status")["status"], record("--status")["manifest"]
    if script == "calibrate":
        return record("--status")["status"], (folder / values["--result"]).read_text()
    if script == "choose_layers":
        return {key: value for key, value in record("--out").items() if key not in ("wall_s", "peak_rss_bytes")}
    if script == "table":
        return [(folder / f"results/table.{suffix}").read_text() for suffix in ("csv", "md")]
    option = "--html" if script == "report" else "--out" if "--out" in values else "--index"
    return (folder / values[option]).read_bytes()


def _judge(name: str, path: Path, fault: str, found: tuple[int, str, Any], whole: tuple[int, str, Any]) -> Case:
    status, said, made = found
    line = error_line(said)
    if status == 0:
        return Case("corruption", name, "" if made == whole[2] else "another result, and nothing said", "no effect")
    if not line:
        return Case("corruption", name, "no clear line", said.strip().splitlines()[-1][:300] if said.strip() else "")
    named = path.name in line or path.parent.name in line
    return Case("corruption", name, "" if named else "the file is not named", line[:300])


def _truncate(path: Path, chance: random.Random, _: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: chance.randrange(len(data))] if data else b"")


def _flip(path: Path, chance: random.Random, _: Path) -> None:
    data = bytearray(path.read_bytes())
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(bytes(data))


def _empty(path: Path, chance: random.Random, _: Path) -> None:
    path.write_bytes(chance.choice([b"", b"\n", b"{}", b"null"]) if path.suffix == ".json" else b"")


def _replace(path: Path, chance: random.Random, whole: Path) -> None:
    """By a file of the same name from another variant, round or split; else by any other of its kind."""
    others = [other for other in sorted((whole / "results").glob(f"*/**/*{path.suffix}")) if other.is_file()]
    others = [other for other in others if other.read_bytes() != path.read_bytes()]
    same = [other for other in others if other.name == path.name]
    if same or others:
        shutil.copyfile(chance.choice(same or others), path)


FAULTS: dict[str, Callable[[Path, random.Random, Path], None]] = {
    "truncated": _truncate,
    "bit flipped": _flip,
    "emptied": _empty,
    "replaced": _replace,
}
