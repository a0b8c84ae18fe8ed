"""A private copy of the workflow in a temporary folder, with small real inputs, run by the real Snakemake."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from helpers.made import make_folder_dataset, make_onnx_model

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "rules", "workflow_scripts", "config", "profiles", "envs", "resources", "report", "tools", "docs")


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
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", *arguments, "--configfile", "overlay.yaml"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            env={**os.environ, **(env or {})},
            timeout=500,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, printed[-6000:]
        return printed

    def plan(self, *arguments: str, env: dict | None = None) -> dict[str, int]:
        """Jobs that a run would do, by rule, without `all` and `tell_faults`; checks nothing else."""
        printed = self.snakemake("--dry-run", *arguments, env=env)
        if "Nothing to be done" in printed:
            return {}
        stats = printed.split("Job stats:")[1].split("\ntotal")[0]
        jobs = {name: int(count) for name, count in re.findall(r"^(\w+)\s+(\d+)$", stats, re.M)}
        jobs.pop("all", None)
        if len(jobs) > 1:  # it follows whatever ran
            jobs.pop("tell_faults", None)
        return jobs

    def planned_variants(self, rule: str) -> set[str]:
        """The variants whose jobs of `rule` a run would do."""
        blocks = re.split(r"\n(?=(?:local)?rule )", self.snakemake("--dry-run"))
        mine = [block for block in blocks if block.startswith(f"rule {rule}:")]
        return {found.group(1) for block in mine if (found := re.search(r"variant=([\w.-]+)", block))}

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
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
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
    """A copy in which the small run is done; tests copy it before they change anything."""
    folder = copy_workflow(tmp_path_factory.mktemp("finished") / "work flow")
    flow = Workflow(folder, small_config(folder))
    flow.snakemake()
    return flow


@pytest.fixture
def done(finished: Workflow, tmp_path: Path) -> Workflow:
    """A private copy of the finished run, time stamps and Snakemake's records included."""
    shutil.copytree(finished.folder, tmp_path / "work flow", symlinks=True)
    return Workflow(tmp_path / "work flow", yaml.safe_load(yaml.safe_dump(finished.config)))
