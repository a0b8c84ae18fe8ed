"""Make the environment record of a run: which machine, which software, which commit."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segbench.machine import libraries, nvml
from segbench.machine.cpu import Machine, describe
from segbench.machine.topology import Cpu

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
# Engines, their thread pools, the loader and the allocator read variables with these prefixes.
VARIABLES = (
    "OMP_", "GOMP_", "KMP_", "MKL_", "ONEDNN_", "DNNL_", "OPENBLAS_", "VECLIB_", "ORT_", "OV_", "OPENVINO_", "FLAGS_",
    "GLOG_", "CUDA_", "CUDNN_", "NVIDIA_", "TF32_", "LD_PRELOAD", "LD_LIBRARY_PATH", "MALLOC_", "GLIBC_TUNABLES",
)  # fmt: skip
SETTINGS = {
    "governor": "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
    "max_khz": "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq",
    "boost": "/sys/devices/system/cpu/cpufreq/boost",
    "no_turbo": "/sys/devices/system/cpu/intel_pstate/no_turbo",
    "smt": "/sys/devices/system/cpu/smt/active",
    "transparent_hugepages": "/sys/kernel/mm/transparent_hugepage/enabled",
    "numa_balancing": "/proc/sys/kernel/numa_balancing",
}
# Words of the kernel's command line that concern CPUs. The other words stay private.
BOOT_WORDS = ("isolcpus", "nohz", "rcu_nocbs", "mitigations", "intel_pstate", "amd_pstate", "idle", "nosmt", "maxcpus")
VULNERABILITIES = "/sys/devices/system/cpu/vulnerabilities"


def environment_record(machine: Machine, threads: int, cpus: Sequence[Cpu] = ()) -> dict[str, Any]:
    """Return as JSON what a reader needs to judge a figure, and to explain why two differ.

    `hardware_id` is equal on equal hardware, whatever runs on it. `software_id` is equal where driver, kernel, packages
    and the variables that engines read are equal too. `cpus`: the CPUs that the process was pinned to.
    """
    graphics = nvml.facts() if machine.nvidia_driver else None
    cpu = cpu_facts()
    hardware = {
        "cpu": {"model": machine.cpu_model, **cpu},
        "gpu": graphics and [graphics["name"], graphics["memory_gib"]],
    }
    software = {
        "kernel": platform.release(),
        "nvidia_driver": machine.nvidia_driver,
        "python": platform.python_version(),
        "packages": installed(),
        "variables": engine_variables(),
    }
    return {
        "hardware_id": _digest(hardware),
        "software_id": _digest({**software, "threads": threads}),
        "machine": {**describe(machine), **cpu},
        "gpu": graphics,
        "host": platform.node(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "interpreter": sys.executable,
        "libraries": libraries.loaded(),
        "software": software["packages"],
        "threads": threads,
        "cpus": [vars(one) for one in cpus],
        "variables": software["variables"],
        "settings": {name: text for name, path in SETTINGS.items() if (text := _first_line(path)) is not None},
        "boot": [word for word in _text("/proc/cmdline").split() if word.startswith(BOOT_WORDS)],
        "mitigations": {path.name: _first_line(path) for path in sorted(Path(VULNERABILITIES).glob("*"))},
        "load_average": list(os.getloadavg()),
        "git_commit": git_commit(),
    }


def cpu_facts() -> dict[str, Any]:
    """Return the first CPU's family, model, stepping and microcode, the CPUs online, and caches. Some virtual
    machines mask them.
    """
    lines = _text("/proc/cpuinfo").split("\n\n")[0].splitlines()
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    caches = sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"))
    levels = [
        f"L{_first_line(one / 'level')} {_first_line(one / 'type')} {_first_line(one / 'size')}" for one in caches
    ]
    names = ("vendor_id", "cpu family", "model", "stepping", "microcode")
    return {name.replace(" ", "_"): found[name] for name in names if name in found} | {
        "online_cpus": os.cpu_count(),
        "caches": levels,
    }


def installed() -> dict[str, str]:
    """Return every installed distribution with its version, read from the folders' names. A chosen list would drift."""
    found: dict[str, str] = {}
    for folder in reversed(sys.path):
        for path in sorted(Path(folder or ".").glob("*.dist-info")):
            name, _, version = path.stem.rpartition("-")
            found[name.replace("_", "-").lower()] = version
    return dict(sorted(found.items()))


def engine_variables() -> dict[str, str]:
    """Return the environment variables that change what an engine does or how fast. Its children get them all."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(VARIABLES)}


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def config_hash(request: Mapping[str, Any]) -> str:
    """Return a short digest of one timed job's settings: variant, options, timing and threads. Equal settings have
    equal digests. A digest of the whole configuration would differ between jobs that measured the same.
    """
    facts = {key: request[key] for key in ("variant", "options", "timing", "threads")}
    return _digest(facts)


def git_commit() -> str | None:
    """Return the workflow's commit, followed by `+` when files differ from it. None outside a repository."""
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


def _first_line(path: str | Path) -> str | None:
    return next(iter(_text(path).splitlines()), None)


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
