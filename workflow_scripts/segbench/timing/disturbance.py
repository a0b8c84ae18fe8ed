"""What else the machine did while a round was timed: other processes, stolen time, throttling."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segbench.machine import nvml

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
CPUS = Path("/sys/devices/system/cpu")
HELD_BACK_SHARE = 0.01  # of a stretch's time: what power or heat may hold a GPU back before it counts as throttled


@dataclass(frozen=True)
class Disturbance:
    """What happened beside the engine in one timed stretch. None: this system does not tell.

    `other_share`: CPU time of other processes, `steal_share`: time that the hypervisor took, both as shares of all
    cores' time; `own_share`: this process's CPU time as a share of its threads' time. The fields of the GPU are None
    for an engine on the CPU: what a GPU beside it does is not its concern.
    """

    wall_s: float
    own_share: float
    other_share: float | None
    steal_share: float | None
    involuntary_switches_per_s: float
    throttle_events: int | None
    mean_mhz: float | None
    gpu_sm_mhz: int | None = None
    gpu_temperature_c: int | None = None
    gpu_reasons: tuple[str, ...] | None = None
    gpu_held_back_share: float | None = None
    gpu_other_processes: int | None = None
    gpu_power_w: float | None = None
    gpu_memory_used_bytes: int | None = None

    def contended(self, allowed_share: float) -> bool:
        """Whether others took more than `allowed_share` of the machine, or computed on the GPU."""
        return (self.other_share or 0) + (self.steal_share or 0) > allowed_share or bool(self.gpu_other_processes)

    @property
    def throttled(self) -> bool:
        """Whether a core or the GPU was slowed down by heat, power or hardware."""
        held_back = (self.gpu_held_back_share or 0) > HELD_BACK_SHARE
        return bool(self.throttle_events) or bool(self.gpu_reasons) or held_back

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


class Watch:
    """Counters read before and after; nothing runs in between, so the watch itself disturbs nothing.

    `read_gpu` reads the GPU's (for an engine on the CPU: nothing). `helpers`: processes that work for this one; they
    are not others.
    """

    def __init__(
        self,
        threads: int,
        read_gpu: Callable[[], nvml.GPUState | None] = lambda: None,
        helpers: Sequence[int] = (),
    ) -> None:
        self._threads, self._read_gpu, self._helpers = threads, read_gpu, helpers
        self._gpu_before = read_gpu()
        self._before = _Counters(helpers)

    def stop(self) -> Disturbance:
        """What happened since the watch was made."""
        before, after = self._before, _Counters(self._helpers)
        wall = max(after.wall_s - before.wall_s, 1e-9)
        own = after.own_cpu_s - before.own_cpu_s
        whole = wall * after.cores
        other = steal = throttles = None
        if after.busy_s is not None and before.busy_s is not None:
            ours = own + after.helpers_cpu_s - before.helpers_cpu_s
            other = max(after.busy_s - before.busy_s - ours, 0.0) / whole
        if after.steal_s is not None and before.steal_s is not None:
            steal = (after.steal_s - before.steal_s) / whole
        if after.throttles is not None and before.throttles is not None:
            throttles = after.throttles - before.throttles
        return Disturbance(
            wall_s=wall,
            own_share=own / (wall * self._threads),
            other_share=other,
            steal_share=steal,
            involuntary_switches_per_s=(after.switches - before.switches) / wall,
            throttle_events=throttles,
            mean_mhz=after.mhz,
            **self._gpu_facts(wall),
        )

    def _gpu_facts(self, wall_s: float) -> dict[str, Any]:
        before, after = self._gpu_before, self._read_gpu()
        if before is None or after is None:
            return {}
        held = None
        if before.held_back_s is not None and after.held_back_s is not None:
            held = (after.held_back_s - before.held_back_s) / wall_s
        return {
            "gpu_sm_mhz": after.sm_mhz,
            "gpu_temperature_c": after.temperature_c,
            "gpu_reasons": after.reasons,
            "gpu_held_back_share": held,
            "gpu_other_processes": after.other_processes,
            "gpu_power_w": after.power_w,
            "gpu_memory_used_bytes": after.memory_used_bytes,  # Paddle gives none back: its peak, and the driver's own
        }


class _Counters:
    """One reading of all counters."""

    def __init__(self, helpers: Sequence[int]) -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self.wall_s = time.perf_counter()
        self.own_cpu_s = usage.ru_utime + usage.ru_stime
        self.switches = usage.ru_nivcsw
        self.helpers_cpu_s = sum(map(_cpu_s_of, helpers))
        self.cores = os.cpu_count() or 1
        self.busy_s, self.steal_s = _system_times()
        self.throttles = _throttle_count()
        self.mhz = _mean_mhz()


def _cpu_s_of(process: int) -> float:
    """Seconds of CPU that another process has used; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) * TICK_S


def _system_times() -> tuple[float | None, float | None]:
    """Seconds that all cores were busy (user, nice, system, irq, softirq), and that were stolen, since boot."""
    try:
        fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    except (OSError, ValueError, IndexError):
        return None, None
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq) * TICK_S, steal * TICK_S


def _throttle_count() -> int | None:
    files = list(CPUS.glob("cpu[0-9]*/thermal_throttle/core_throttle_count"))
    try:
        return sum(int(path.read_text()) for path in files) if files else None
    except (OSError, ValueError):
        return None


def _mean_mhz() -> float | None:
    files = list(CPUS.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    try:
        return sum(int(path.read_text()) for path in files) / len(files) / 1000 if files else None
    except (OSError, ValueError):
        return None
