"""A stand-in for nvidia-ml-py: GPUs as a test makes them. What is None is refused, as by a card that lacks it."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


@dataclass
class GPU:
    """One GPU, or one slice (MIG) of another."""

    name: str = "Made GPU"
    uuid: str = "GPU-0a1b2c3d"
    capability: tuple[int, int] | None = (8, 6)
    memory_gib: int = 16
    reasons: int | None = 0
    processes: int | None = 1
    held_ns: tuple[int, int] | None = (0, 0)  # by its power cap, by heat
    busy_percent: int | None = 0
    slices: list[GPU] = field(default_factory=list)


class NVML:
    """The module. `gpus` in the order of the bus; `driver` False: none is loaded; `cuda`: as the library counts."""

    class NVMLError(Exception):
        """Its own."""

    def __init__(self, *gpus: GPU, driver: bool = True, version: str = "535.104.05", cuda: int = 12020) -> None:
        self.gpus, self.driver, self.version, self.cuda = list(gpus or [GPU()]), driver, version, cuda

    def nvmlInit(self):
        if not self.driver:
            raise self.NVMLError

    def nvmlSystemGetDriverVersion(self):
        return self.version

    def nvmlSystemGetCudaDriverVersion_v2(self):
        return self.cuda

    def nvmlDeviceGetCount(self):
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index):
        return self.gpus[index]

    def nvmlDeviceGetUUID(self, gpu):
        return gpu.uuid

    def nvmlDeviceGetMigMode(self, gpu):
        return [int(bool(gpu.slices))] * 2

    def nvmlDeviceGetMaxMigDeviceCount(self, gpu):
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu, number):
        if number >= len(gpu.slices):
            raise self.NVMLError
        return gpu.slices[number]

    def nvmlDeviceGetName(self, gpu):
        return gpu.name

    def nvmlDeviceGetCudaComputeCapability(self, gpu):
        return self._or_refuse(gpu.capability)

    def nvmlDeviceGetMemoryInfo(self, gpu):
        return SimpleNamespace(total=gpu.memory_gib * 2**30, used=3 * 2**30)

    def nvmlDeviceGetClockInfo(self, gpu, kind):
        return {1: 1410, 2: 1593}[kind]

    nvmlDeviceGetMaxClockInfo = nvmlDeviceGetClockInfo

    def nvmlDeviceGetTemperature(self, gpu, sensor):
        return 61

    def nvmlDeviceGetCurrentClocksEventReasons(self, gpu):
        return self._or_refuse(gpu.reasons)

    def nvmlDeviceGetViolationStatus(self, gpu, policy):
        return SimpleNamespace(violationTime=self._or_refuse(gpu.held_ns)[policy])

    def nvmlDeviceGetUtilizationRates(self, gpu):
        return SimpleNamespace(gpu=self._or_refuse(gpu.busy_percent))

    def nvmlDeviceGetComputeRunningProcesses(self, gpu):
        return [SimpleNamespace(pid=number) for number in range(self._or_refuse(gpu.processes))]

    def nvmlDeviceGetPowerUsage(self, gpu):
        return 250_000  # mW

    def nvmlDeviceGetEnforcedPowerLimit(self, gpu):
        raise self.NVMLError

    def _or_refuse(self, value: Any) -> Any:
        if value is None:
            raise self.NVMLError
        return value
