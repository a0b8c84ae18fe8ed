"""Read this process's control group: the CPU time that it may use, and how long it was stopped for having used it.

Both versions are read: v2's `cpu.max` and `cpu.stat` (Documentation/admin-guide/cgroup-v2.rst), v1's `cpu.cfs_quota_us`
and `cpu.stat` (Documentation/scheduler/sched-bwc.rst). A limit of any group above counts too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

MOUNTED = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def cpu_quota(mounted: Path = MOUNTED, membership: Path = MEMBERSHIP) -> float | None:
    """Return how many CPUs' time the process may use: the least over its group and those above it. None: no limit."""
    quotas = [quota for folder in _folders(mounted, membership) if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def throttled(mounted: Path = MOUNTED, membership: Path = MEMBERSHIP) -> tuple[int, float] | None:
    """Return how often, and for how many seconds, the group was stopped because its quota was used up. None:
    unknown.
    """
    stats = [_keys(folder / "cpu.stat") for folder in _folders(mounted, membership) if _quota(folder) is not None]
    limited = [stat for stat in stats if "nr_throttled" in stat]
    if not limited:
        return None
    seconds = [stat.get("throttled_usec", 0) * 1e-6 + stat.get("throttled_time", 0) * 1e-9 for stat in limited]
    return sum(stat["nr_throttled"] for stat in limited), sum(seconds)


def pressure_s(mounted: Path = MOUNTED, membership: Path = MEMBERSHIP) -> float | None:
    """Return the seconds in which some task of the group waited for a CPU (pressure stall information). None:
    unknown.
    """
    for folder in _folders(mounted, membership):
        for line in _read(folder / "cpu.pressure").splitlines():
            facts = dict(part.split("=", 1) for part in line.split()[1:] if "=" in part)
            if line.startswith("some ") and facts.get("total", "").isdigit():
                return int(facts["total"]) * 1e-6
    return None


def _folders(mounted: Path, membership: Path) -> Iterator[Path]:
    """Yield the folders of the group that limits CPU time and of those above it, the group's own first.

    In a container the membership names a path of the host, while the group's own folder is mounted.
    """
    for line in _read(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for root in [mounted] if not controllers else [mounted / name for name in ("cpu", "cpu,cpuacct")]:
            folder = root / path.lstrip("/")
            while folder != root:
                if folder.is_dir():
                    yield folder
                folder = folder.parent
            if root.is_dir() and (controllers or (root / "cpu.stat").exists()):
                yield root


def _quota(folder: Path) -> float | None:
    maximum = _read(folder / "cpu.max").split()
    if len(maximum) == 2 and maximum[0].isdigit():
        return int(maximum[0]) / int(maximum[1])
    quota, period = _read(folder / "cpu.cfs_quota_us").strip(), _read(folder / "cpu.cfs_period_us").strip()
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _keys(path: Path) -> dict[str, int]:
    """Read a file of lines `name number`."""
    pairs = [line.split() for line in _read(path).splitlines()]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
