"""Find what disturbed a timed round: other processes, stolen time, a used-up quota, throttling.

The CPUs that the timed process is pinned to, and their siblings, are looked at one by one. A loop that is split into
equal parts waits for its slowest thread, so one busy CPU of 64 can double a time.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segbench.machine import cgroup, nvml, topology

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
# The kernel counts CPU time in ticks: a verdict never rests on fewer of them.
MIN_S = 3 * TICK_S
HELD_BACK_SHARE = 0.01  # of a stretch's time: what heat may hold a GPU back before it counts as throttled
BUSY_SHARE = 0.05  # of a stretch's time: a thread that used less does not compute


@dataclass(frozen=True)
class Disturbance:
    """What happened beside the engine in one timed stretch. None: this system does not report it.

    Shares are of one CPU's time in the stretch. `other_share`: what other processes used of the pinned CPU `other_cpu`,
    the one they used most; `sibling_share`, `sibling_cpu`: the same for a hardware thread beside a pinned one;
    `steal_share`: the most that the hypervisor took of a pinned CPU. `run_delay_share`: how long others kept the thread
    waiting that waited longest for a CPU. `own_share`: this process's CPU time as a share of its threads'. `quota_*`:
    how often and how long the control group was stopped for its quota. `pressure_share`: time in which some task of the
    control group waited. `busy_threads`: threads of this process that computed. The fields of the GPU are None for an
    engine on the CPU.
    """

    wall_s: float
    own_share: float
    other_share: float | None
    steal_share: float | None
    involuntary_switches_per_s: float
    throttle_events: int | None
    mean_mhz: float | None
    other_cpu: int | None = None
    sibling_share: float | None = None
    sibling_cpu: int | None = None
    run_delay_share: float | None = None
    quota_throttles: int | None = None
    quota_throttled_s: float | None = None
    pressure_share: float | None = None
    busy_threads: int | None = None
    gpu_sm_mhz: int | None = None
    gpu_temperature_c: int | None = None
    gpu_reasons: tuple[str, ...] | None = None
    gpu_held_back_share: float | None = None
    gpu_power_capped_share: float | None = None
    gpu_other_processes: int | None = None
    gpu_power_w: float | None = None
    gpu_memory_used_bytes: int | None = None
    gpu_busy_before: float | None = None

    def contended(self, allowed_share: float) -> bool | None:
        """Return whether others took more than `allowed_share` of a CPU that the engine ran on, or came to compute on
        the GPU. They also count if they kept the GPU busy for more than that share before the engine was opened.

        None where nothing could be read.
        """
        taken = [share for share in (self.other_share, self.steal_share) if share is not None]
        shares = (sum(taken) if taken else None, self.sibling_share, self.run_delay_share)
        known = [share for share in shares if share is not None]
        if not known and self.gpu_other_processes is None:
            return None
        beyond = any(share > allowed_share and share * self.wall_s > MIN_S * (1 - 1e-9) for share in known)
        return beyond or bool(self.gpu_other_processes) or (self.gpu_busy_before or 0) > allowed_share

    @property
    def throttled(self) -> bool | None:
        """Whether heat, hardware or a power brake slowed a CPU or the GPU down, or its quota the control group.

        A GPU's power cap is none of these: a T4, an L4 or an A10 is at it in normal use, in every round alike. None
        where nothing could be read.
        """
        known = (self.throttle_events, self.quota_throttles, self.gpu_reasons, self.gpu_held_back_share)
        if all(value is None for value in known):
            return None
        held_back = (self.gpu_held_back_share or 0) > HELD_BACK_SHARE
        slowed = set(self.gpu_reasons or ()) - {nvml.POWER_CAP}
        return bool(self.throttle_events) or bool(self.quota_throttles) or bool(slowed) or held_back

    def record(self) -> dict[str, Any]:
        """Return the disturbance as JSON."""
        return asdict(self)


class Watch:
    """Read counters before and after a stretch. Nothing runs in between, so the watch itself disturbs nothing.

    `read_gpu` reads the GPU's (for an engine on the CPU: nothing). `helpers`: processes that work for this one; they
    are not others. `counters`: the files that are read. `resident`: the GPU's state before this process used it: the
    processes that it had then (a desktop, an MPS server) are no others, unless they kept it busy.
    """

    def __init__(
        self,
        threads: int,
        read_gpu: Callable[[], nvml.GPUState | None] = lambda: None,
        helpers: Sequence[int] = (),
        counters: Counters | None = None,
        resident: nvml.GPUState | None = None,
    ) -> None:
        self._threads, self._read_gpu, self._helpers, self._resident = threads, read_gpu, helpers, resident
        self._counters = counters or Counters()
        self._gpu_before = read_gpu()
        self._before = self._counters.read(helpers)

    def stop(self) -> Disturbance:
        """Return what happened since the watch was made."""
        before, after = self._before, self._counters.read(self._helpers)
        wall = max(after.wall_s - before.wall_s, 1e-9)
        own = after.own_cpu_s - before.own_cpu_s
        pinned, siblings = self._counters.pinned, self._counters.siblings
        ours = own + after.helpers_cpu_s - before.helpers_cpu_s
        other, other_cpu = _most_taken(before, after, pinned, ours)
        sibling, sibling_cpu = _busiest(before.busy_s, after.busy_s, siblings)
        steal, _ = _busiest(before.steal_s, after.steal_s, pinned)
        quota = _difference(before.quota, after.quota)
        # Where more threads compute than there are CPUs, they wait for each other. That is no disturbance.
        delays = _delays_s(before, after, wall)
        return Disturbance(
            wall_s=wall,
            own_share=own / (wall * self._threads),
            other_share=_share(other, wall),
            other_cpu=other_cpu if other else None,
            steal_share=_share(steal, wall),
            sibling_share=_share(sibling, wall),
            sibling_cpu=sibling_cpu if sibling else None,
            run_delay_share=_share(max(delays, default=0.0) if delays and len(delays) <= len(pinned) else None, wall),
            busy_threads=len(delays) if after.threads else None,
            involuntary_switches_per_s=(after.switches - before.switches) / wall,
            throttle_events=None
            if after.throttles is None or before.throttles is None
            else after.throttles - before.throttles,
            quota_throttles=None if quota is None else int(quota[0]),
            quota_throttled_s=None if quota is None else quota[1],
            pressure_share=None
            if after.pressure_s is None or before.pressure_s is None
            else (after.pressure_s - before.pressure_s) / wall,
            mean_mhz=after.mhz,
            **self._gpu_facts(wall),
        )

    def _gpu_facts(self, wall_s: float) -> dict[str, Any]:
        before, after = self._gpu_before, self._read_gpu()
        if before is None or after is None:
            return {}
        return {
            "gpu_sm_mhz": after.sm_mhz,
            "gpu_temperature_c": after.temperature_c,
            "gpu_reasons": after.reasons,
            "gpu_held_back_share": _growth(before.held_back_s, after.held_back_s, wall_s),
            "gpu_power_capped_share": _growth(before.power_capped_s, after.power_capped_s, wall_s),
            "gpu_other_processes": self._others(after.processes),
            "gpu_power_w": after.power_w,
            "gpu_memory_used_bytes": after.memory_used_bytes,  # Paddle gives none back: its peak, and the driver's own
            "gpu_busy_before": self._resident.busy_share if self._resident else None,
        }

    def _others(self, processes: int | None) -> int | None:
        """How many of `processes` are neither this one nor were there before it. Numbers do not tell which is which: a
        container has others than NVML."""
        if processes is None:
            return None
        before = (self._resident.processes if self._resident else None) or 0
        return max(processes - 1 - before, 0)


def _growth(before_s: float | None, after_s: float | None, wall_s: float) -> float | None:
    return None if before_s is None or after_s is None else (after_s - before_s) / wall_s


def _share(seconds: float | None, wall_s: float) -> float | None:
    return None if seconds is None else seconds / wall_s


def _difference(before: tuple[int, float] | None, after: tuple[int, float] | None) -> tuple[int, float] | None:
    return None if before is None or after is None else (after[0] - before[0], after[1] - before[1])


def _busiest(before: dict[int, float], after: dict[int, float], cpus: Sequence[int]) -> tuple[float | None, int | None]:
    """Return seconds and number of the CPU among `cpus` whose counter grew most; None where no counter is known."""
    grown = {cpu: max(after[cpu] - before[cpu], 0.0) for cpu in cpus if cpu in before and cpu in after}
    if not grown:
        return None, None
    cpu = max(grown, key=lambda number: grown[number])
    return grown[cpu], cpu


def _most_taken(
    before: Reading, after: Reading, pinned: Sequence[int], ours_s: float
) -> tuple[float | None, int | None]:
    """Return the seconds that others used of the pinned CPU that they used most, and its number.

    The kernel says what our threads used in all, which is exact and bounds the answer. What they used of each CPU is
    known only by where each ran last.
    """
    known = [cpu for cpu in pinned if cpu in before.busy_s and cpu in after.busy_s]
    if not known:
        return None, None
    busy = {cpu: after.busy_s[cpu] - before.busy_s[cpu] for cpu in known}
    own = dict.fromkeys(known, 0.0)
    for thread, (ran_s, _, cpu) in after.threads.items():
        if cpu in own:
            own[cpu] += ran_s - before.threads.get(thread, (0.0, 0.0, cpu))[0]
    taken = {cpu: max(busy[cpu] - own[cpu], 0.0) for cpu in known}
    cpu = max(taken, key=lambda number: taken[number])
    return min(taken[cpu], max(sum(busy.values()) - ours_s, 0.0)), cpu


def _delays_s(before: Reading, after: Reading, wall_s: float) -> list[float]:
    """Return for each thread that computed the seconds in which it was ready to run and did not."""
    started = {thread: before.threads.get(thread, (0.0, 0.0, 0)) for thread in after.threads}
    grown = [
        (ran - started[thread][0], waited - started[thread][1]) for thread, (ran, waited, _) in after.threads.items()
    ]
    return [waited for ran, waited in grown if ran > BUSY_SHARE * wall_s]


@dataclass(frozen=True)
class Reading:
    """One reading of all counters, in seconds by CPU. `threads`: seconds run, seconds waited and last CPU by thread."""

    wall_s: float
    own_cpu_s: float
    switches: int
    helpers_cpu_s: float
    busy_s: dict[int, float]
    steal_s: dict[int, float]
    threads: dict[int, tuple[float, float, int]]
    throttles: int | None
    mhz: float | None
    quota: tuple[int, float] | None
    pressure_s: float | None


class Counters:
    """Read the kernel's counters of the CPUs that this process may run on, and of their siblings.

    `proc` and `system` (…/devices/system/cpu) stand for the real folders in tests, `pinned` for the process's affinity.
    """

    def __init__(
        self,
        pinned: Sequence[int] | None = None,
        proc: Path = Path("/proc"),
        system: Path = topology.SYSTEM,
    ) -> None:
        cpus = topology.read_cpus(pinned, system)
        self.pinned = [cpu.number for cpu in cpus]
        self.siblings = sorted({number for cpu in cpus for number in cpu.siblings} - set(self.pinned))
        self._proc, self._system = proc, system

    def read(self, helpers: Sequence[int] = ()) -> Reading:
        """Read all counters now."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        busy, steal = self._times()
        return Reading(
            wall_s=time.perf_counter(),
            own_cpu_s=usage.ru_utime + usage.ru_stime,
            switches=usage.ru_nivcsw,
            helpers_cpu_s=sum(map(_cpu_s_of, helpers)),
            busy_s=busy,
            steal_s=steal,
            threads=self._threads(),
            throttles=self._sum("thermal_throttle/core_throttle_count"),
            mhz=self._mean_mhz(),
            quota=cgroup.throttled(),
            pressure_s=cgroup.pressure_s(),
        )

    def _times(self) -> tuple[dict[int, float], dict[int, float]]:
        """Return by CPU the seconds since boot that it was busy (user, nice, system, irq, softirq), and that were
        stolen.
        """
        busy, steal = {}, {}
        for line in _read(self._proc / "stat").splitlines():
            name, *fields = line.split()
            if name.startswith("cpu") and name[3:].isdigit() and len(fields) >= 8:
                user, nice, system, _idle, _iowait, irq, softirq, stolen = map(int, fields[:8])
                busy[int(name[3:])] = (user + nice + system + irq + softirq) * TICK_S
                steal[int(name[3:])] = stolen * TICK_S
        return busy, steal

    def _threads(self) -> dict[int, tuple[float, float, int]]:
        """Return for each thread of this process (Documentation/scheduler/sched-stats.rst): run, waited, last CPU."""
        found = {}
        for folder in (self._proc / "self" / "task").glob("[0-9]*"):
            times, stat = _read(folder / "schedstat").split(), _read(folder / "stat").rpartition(")")[2].split()
            if len(times) == 3 and len(stat) > 36:
                found[int(folder.name)] = (int(times[0]) * 1e-9, int(times[1]) * 1e-9, int(stat[36]))
        return found

    def _sum(self, file: str) -> int | None:
        texts = [_read(self._system / f"cpu{cpu}" / file).strip() for cpu in self.pinned]
        numbers = [int(text) for text in texts if text.isdigit()]
        return sum(numbers) if numbers else None

    def _mean_mhz(self) -> float | None:
        total = self._sum("cpufreq/scaling_cur_freq")
        return None if total is None else total / len(self.pinned) / 1000


def _cpu_s_of(process: int) -> float:
    """Return the seconds of CPU that another process has used; 0 where the system does not report them."""
    fields = _read(Path(f"/proc/{process}/stat")).rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S if len(fields) > 12 else 0.0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
