"""What the fault suites share: a small finished run in a folder of its own, its commands, and how a case ended."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "workflow_scripts"), str(ROOT / "tests")]

from helpers.made import make_folder_dataset
from workflow.conftest import Workflow, copy_workflow, small_config


@dataclass(frozen=True)
class Case:
    """One fault that was tried: `lost`: what went wrong, empty where it was survived; `told`: what was said."""

    kind: str
    name: str
    lost: str = ""
    told: str = ""


def small_flow(folder: Path, calibrated: bool = False) -> Any:
    """A copy of the workflow with a convolution and four images; `calibrated`: one variant in INT8."""
    copy_workflow(folder)
    flow = Workflow(folder, small_config(folder))
    if calibrated:
        make_folder_dataset(folder / "street scenes", count=6, seed=1, split="train")
        splits = flow.config["dataset_catalogue"]["made"]["splits"]
        splits["train"] = {"images": "train/*.png", "labels": "train labels/*.png"}
        flow.config["variants"] = ["onnxruntime-fp32", "onnxruntime-int8"]
        flow.config["calibration"] = {"images": 3, "judging_images": 3}
    flow.config["timing"] |= {"max_repeats": 0}
    (folder / "overlay.yaml").write_text(yaml.safe_dump(flow.config))
    return flow


def drawn_flow(folder: Path) -> Any:
    """A copy of the workflow with a Paddle network of the demo, in FP32 and INT8, on four drawn images."""
    copy_workflow(folder)
    small = {"height": 64, "width": 128}
    flow = Workflow(
        folder,
        {
            "dataset": "drawn",
            "models": ["gcnet_demo"],
            "variants": ["paddle_onednn-fp32", "paddle_onednn-int8", "openvino-int8-table"],
            "reference": "paddle_onednn-fp32",
            "rounds": 2,
            "timing": {
                "images_per_round": 2,
                "round_min_s": 0,
                "extra_s": 0,
                "max_repeats": 0,
                "warm_up": {"max_s": 1},
            },
            "calibration": {"images": 3, "judging_images": 3},
            "dataset_catalogue": {
                "drawn": {"kind": "cityscapes", "generate": {**small, "train": 6, "val": 4, "seed": 0}}
            },
            "model_catalogue": {"gcnet_demo": {"input": small}},
        },
    )
    (folder / "overlay.yaml").write_text(yaml.safe_dump(flow.config))
    return flow


def commands(flow: Any) -> list[list[str]]:
    """The command line of every job of a run, as the rules make them."""
    printed = flow.snakemake("--dry-run", "--forceall", "--printshellcmds", "--quiet", "host")
    lines = re.findall(r"^Shell command: python (workflow_scripts/.*?) 2>&1 \| tee ", printed, re.MULTILINE)
    return [shlex.split(line) for line in lines]


def run_script(command: list[str], folder: Path, timeout_s: float = 120) -> tuple[int, str]:
    """Run a job's command by hand in `folder`; exit status and all it said."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def error_line(said: str) -> str:
    """The line that names the fault; empty where there is none, as with a traceback."""
    return next((line for line in said.splitlines() if line.startswith("error: ")), "")


def running_below(folder: Path) -> list[str]:
    """Commands of the processes whose working folder is `folder`, or lies below it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            here, command = (entry / "cwd").resolve(strict=True), (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if here.is_relative_to(folder) and command and int(entry.name) != os.getpid():  # a zombie has no command
            found.append(f"{entry.name}: {command.replace(bytes(1), b' ').decode(errors='replace')}")
    return found
