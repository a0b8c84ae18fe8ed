"""A private copy of the workflow in a temporary folder, with small real inputs, run by the real Snakemake."""

from __future__ import annotations

import csv
import fcntl
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from helpers.made import make_folder_dataset, make_onnx_model
from helpers.snakemake_forks import run_snakemake

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "rules", "workflow_scripts", "config", "profiles", "envs", "resources", "report", "tools", "docs")


class Plan(dict[str, int]):
    """Jobs of a dry run, by rule, without `all` and `tell_faults`."""

    def __init__(self, printed: str) -> None:
        if "Nothing to be done" not in printed:
            stats = printed.split("Job stats:")[1].split("\ntotal", maxsplit=1)[0]
            self.update({name: int(count) for name, count in re.findall(r"^(\w+)\s+(\d+)$", stats, re.M)})
        self.pop("all", None)
        if len(self) > 1:  # it follows whatever ran
            self.pop("tell_faults", None)
        self._blocks = re.split(r"\n(?=(?:local)?rule )", printed)

    def variants(self, rule: str) -> set[str]:
        """The variants that have a job of `rule`."""
        mine = [block for block in self._blocks if block.startswith(f"rule {rule}:")]
        return {found.group(1) for block in mine if (found := re.search(r"variant=([\w.-]+)", block))}


@dataclass
class Workflow:
    """The copy below `folder`; `config` is the overlay that every run uses."""

    folder: Path
    config: dict = field(default_factory=dict)

    def snakemake(self, *arguments: str, fails: bool = False, env: dict | None = None) -> str:
        """Run Snakemake; returns all it printed. Asserts that it succeeded, or failed where `fails`."""
        (self.folder / "overlay.yaml").write_text(yaml.safe_dump(self.config))
        if "--dry-run" in arguments and "--quiet" not in arguments:
            arguments += ("--quiet", "host")  # with each job and its wildcards, unlike the default profile
        arguments = (*arguments, "--configfile", "overlay.yaml")
        status, printed = run_snakemake(self.folder, [*arguments], {**os.environ, **(env or {})}, limit_s=500)
        assert status >= 0 and (status != 0) == fails, f"exit status {status}: {printed[-6000:]}"
        return printed

    def plan(self, *arguments: str, env: dict | None = None) -> Plan:
        """Jobs that a run would do; checks nothing else."""
        return Plan(self.snakemake("--dry-run", *arguments, env=env))

    def copy(self, folder: Path) -> Workflow:
        """A private copy below `folder`, time stamps and Snakemake's records included."""
        shutil.copytree(self.folder, folder / self.folder.name, symlinks=True)
        return Workflow(folder / self.folder.name, yaml.safe_load(yaml.safe_dump(self.config)))

    def rows(self) -> list[dict[str, str]]:
        """results/table.csv."""
        with open(self.folder / "results" / "table.csv", newline="") as stream:
            return list(csv.DictReader(stream))

    def edit(self, path: str) -> None:
        """Change a Python file of the copy, but not what it does."""
        with open(self.folder / path, "a") as stream:
            stream.write("\n# edited\n")


def copy_workflow(folder: Path) -> Path:
    """Copy what a run needs of the project."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            # With its bytecode, but for what another process is writing right now.
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("*.pyc.*"))
        else:
            shutil.copy(source, folder / part)
    return folder


def small_config(folder: Path) -> dict:
    """A user's own ONNX model on a user's own folder of images."""
    make_folder_dataset(folder / "street scenes")
    make_onnx_model(folder / "nearest.onnx")
    return {
        "dataset": "made",
        "models": ["nearest"],
        "variants": ["onnxruntime-fp32", "openvino-fp32"],
        "rounds": 2,
        "timing": {"images_per_round": 2, "round_min_s": 0, "extra_s": 0},  # short rounds, and no further ones
        "dataset_catalogue": {
            "made": {
                "kind": "folder",
                "root": "street scenes",
                "splits": {"val": {"images": "val/*.png", "labels": "labels/*.png"}},
                "classes": ["red", "green", "blue", "grey"],
            }
        },
        "model_catalogue": {
            "nearest": {
                "kind": "onnx",
                "weights": {"path": "nearest.onnx"},
                "input": {"height": 32, "width": 64},
                "class_count": 4,
            }
        },
    }


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    """A fresh copy with nothing run yet."""
    folder = copy_workflow(tmp_path / "work flow")  # the blank is meant: every path is quoted
    return Workflow(folder, small_config(folder))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A copy in which the small run is done; tests copy it before they change anything. All processes share it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished" / "work flow"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # which the end of the block gives back
        if (folder.parent / "done").exists():
            return Workflow(folder, yaml.safe_load((folder / "overlay.yaml").read_text()))
        shutil.rmtree(folder)  # what another process could not finish
        flow = Workflow(copy_workflow(folder), small_config(folder))
        flow.snakemake()
        (folder.parent / "done").touch()
    return flow


@pytest.fixture
def done(finished: Workflow, tmp_path: Path) -> Workflow:
    """A private copy of the finished run."""
    return finished.copy(tmp_path)
