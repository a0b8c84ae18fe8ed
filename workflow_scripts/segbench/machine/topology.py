"""Choose the CPUs that a timed process runs on: one per physical core, read from the kernel's topology in sysfs.

CPU numbers alone say nothing. Siblings of one core are numbered side by side (Hyper-V, QEMU, hybrid Intel) or apart
(bare metal). Sockets are numbered one behind the other or in turn. Source: Documentation/admin-guide/cputopology.rst
(Linux).
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

SYSTEM = Path("/sys/devices/system/cpu")
# A core below this share of the fastest core's speed is slow. Favoured cores of one kind differ by less.
FAST_SHARE = 0.85


@dataclass(frozen=True)
class Cpu:
    """A logical CPU: its number, the CPUs of its core, its socket, its NUMA node, and its speed (None: not known)."""

    number: int
    siblings: tuple[int, ...]
    package: int | None = None
    node: int | None = None
    speed: int | None = None


def read_cpus(allowed: Collection[int] | None = None, system: Path = SYSTEM) -> list[Cpu]:
    """Return the CPUs that this process may use (`allowed`: its affinity), in order of their numbers.

    Where the kernel reports no topology, each CPU counts as a core of its own.
    """
    numbers = sorted(os.sched_getaffinity(0) if allowed is None else allowed)
    return [_read_cpu(number, system / f"cpu{number}") for number in numbers]


def cores(cpus: Collection[Cpu]) -> list[int]:
    """Return one CPU per physical core. The cores to use first come first.

    A socket's cores stand together, and the socket with most cores comes first. Within a socket, fast cores come before
    slow ones.
    """
    firsts = list({min(cpu.siblings): cpu for cpu in sorted(cpus, key=lambda cpu: -cpu.number)}.values())
    size = {package: sum(cpu.package == package for cpu in firsts) for package in {cpu.package for cpu in firsts}}

    def place(cpu: Cpu) -> tuple[int, int, bool, int]:
        return -size[cpu.package], cpu.package or 0, not _is_fast(cpu, firsts), cpu.number

    return [cpu.number for cpu in sorted(firsts, key=place)]


def default_threads(cpus: Collection[Cpu], quota: float | None) -> int:
    """Return the number of threads where none is configured: the fast cores of one socket, at most the group's quota.

    A loop that is split into equal parts waits for its slowest thread, and the memory of another socket is slower.
    """
    order, by_number = cores(cpus), {cpu.number: cpu for cpu in cpus}
    firsts = [by_number[number] for number in order]
    alike = [cpu for cpu in firsts if cpu.package == firsts[0].package and _is_fast(cpu, firsts)]
    return within_quota(len(alike), quota)


def within_quota(threads: int, quota: float | None) -> int:
    """Return `threads`, bounded by the whole CPUs in `quota` (CPUs of a control group; None: no limit), at least 1."""
    return threads if quota is None else max(1, min(threads, int(quota)))


def _is_fast(cpu: Cpu, others: Collection[Cpu]) -> bool:
    fastest = max((other.speed or 0 for other in others), default=0)
    return (cpu.speed or 0) >= FAST_SHARE * fastest


def _read_cpu(number: int, folder: Path) -> Cpu:
    siblings = parse_list(_read(folder / "topology" / "thread_siblings_list")) or (number,)
    node = next((int(path.name[4:]) for path in folder.glob("node[0-9]*")), None)
    speed = _number(folder / "cpu_capacity") or _number(folder / "cpufreq" / "cpuinfo_max_freq")
    return Cpu(number, siblings, _number(folder / "topology" / "physical_package_id"), node, speed)


def parse_list(text: str) -> tuple[int, ...]:
    """Return the CPU numbers in the kernel's list form, e.g. `0-3,8`. Anything else gives none."""
    numbers: list[int] = []
    for part in filter(None, text.strip().split(",")):
        low, _, high = part.partition("-")
        if not low.isdigit() or (high and not high.isdigit()):
            return ()
        numbers += range(int(low), int(high or low) + 1)
    return tuple(numbers)


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
