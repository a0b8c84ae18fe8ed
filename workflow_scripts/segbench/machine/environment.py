"""The environment record of a run: which machine, which software, which commit."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segbench.machine import nvml
from segbench.machine.cpu import Machine, describe, package_version
from segbench.machine.topology import Cpu

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
SOFTWARE = (
    "paddlepaddle",
    "paddlepaddle-gpu",
    "openvino",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt",
    "tensorrt-rtx-cu13-libs",
    "cuda-bindings",
    "nvidia-cuda-runtime-cu11",
    "nvidia-cudnn-cu11",
    "nncf",
    "numpy",
    "opencv-python-headless",
    "nvidia-ml-py",
)


def environment_record(machine: Machine, threads: int, cpus: Sequence[Cpu] = ()) -> dict[str, Any]:
    """What a reader needs to judge a figure, as JSON. `hardware_id` is equal on equal hardware only.

    `cpus`: the CPUs that the process was pinned to.
    """
    graphics = nvml.facts() if machine.nvidia_driver else None
    hardware: dict[str, Any] = {
        "cpu_model": machine.cpu_model,
        "physical_cores": machine.physical_cores,
        "memory_gib": round(machine.memory_bytes / 2**30),
        "nvidia_driver": machine.nvidia_driver,
        "cpu_flags": sorted(machine.cpu_flags),
    }
    if graphics:
        hardware["gpu"] = [graphics["name"], graphics["memory_gib"]]
    digest = hashlib.sha256(json.dumps(hardware, sort_keys=True).encode()).hexdigest()
    return {
        "hardware_id": digest[:12],
        "machine": describe(machine),
        "gpu": graphics,
        "host": platform.node(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "interpreter": sys.executable,
        "software": {name: version for name in SOFTWARE if (version := package_version(name))},
        "threads": threads,
        "cpus": [vars(cpu) for cpu in cpus],
        "thread_variables": {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
        "governor": _first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "load_average": list(os.getloadavg()),
        "git_commit": git_commit(),
    }


def config_hash(request: dict[str, Any]) -> str:
    """Short digest of what config says of one timed job: variant, options, timing and threads. Equal settings, equal
    digest; of the whole configuration it would differ between jobs that measured the same."""
    facts = {key: request[key] for key in ("variant", "options", "timing", "threads")}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def git_commit() -> str | None:
    """The workflow's commit, with `+` behind it when files differ from it; None outside a repository."""
    here = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+" if changed else "")


def _first_line(path: str) -> str | None:
    try:
        return Path(path).read_text().splitlines()[0]
    except (OSError, IndexError):
        return None
