"""Describe this machine without importing any framework: CPU, memory, NVIDIA driver, installed packages."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segbench.machine import cgroup, nvml, topology


@dataclass(frozen=True)
class Machine:
    """CPU model and flags, cores, memory and the NVIDIA driver's version (None where there is none).

    `default_threads`: threads of an engine where the configuration names no number. `cpu_quota`: how many CPUs' time
    the control group gives (None: no limit).
    """

    cpu_model: str
    cpu_flags: frozenset[str]
    physical_cores: int
    logical_cores: int
    memory_bytes: int
    nvidia_driver: str | None
    default_threads: int
    cpu_quota: float | None


def this_machine() -> Machine:
    """Read this machine's facts from /proc, sysfs and sysconf."""
    cpus, quota = topology.read_cpus(), cgroup.cpu_quota()
    cpuinfo = _read("/proc/cpuinfo")
    flags = re.search(r"^flags\s*:\s*(.*)$", cpuinfo, re.M)
    model = re.search(r"^model name\s*:\s*(.*)$", cpuinfo, re.M)
    return Machine(
        cpu_model=model.group(1).strip() if model else platform.processor() or platform.machine(),
        cpu_flags=frozenset(flags.group(1).split()) if flags else frozenset(),
        physical_cores=len(topology.cores(cpus)),
        logical_cores=len(cpus),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        nvidia_driver=nvidia_driver(),
        default_threads=topology.default_threads(cpus, quota),
        cpu_quota=quota,
    )


def nvidia_driver(root: Path = Path("/")) -> str | None:
    """Version of the NVIDIA driver, or None; "unknown" where there is one that does not tell it.

    NVML is asked first. What it cannot be asked by: the kernel module's files (a container shows them without any GPU,
    so they come second), or WSL2's device with the driver's library, which is all that there is of it there.
    """
    if version := nvml.driver_version():
        return str(version)
    version_file = re.search(r"Kernel Module\D*([\d.]+)", _read(str(root / "proc/driver/nvidia/version")))
    if version_file:
        return version_file.group(1)
    windows = (root / "dev/dxg").exists() and nvml.has_libcuda()
    return "unknown" if windows or (root / "dev/nvidiactl").exists() else None


def package_version(name: str, paths: list[str] | None = None) -> str | None:
    """Return the installed version of a distribution, or None. It is read from metadata, so nothing is imported."""
    import importlib.metadata  # as long as all else here, and few who import this ask

    where = {"path": paths} if paths is not None else {}
    for found in importlib.metadata.distributions(name=name, **where):  # type: ignore[call-overload]
        return found.version
    return None


def describe(machine: Machine) -> dict[str, Any]:
    """Return the machine as JSON for an environment record."""
    return {**asdict(machine), "cpu_flags": sorted(machine.cpu_flags)}


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
