"""Read the GPU's clocks, temperature, throttling and memory through NVML; None stands where a value cannot be read.

Through nvidia-ml-py, which need not be installed. Names and bits are those of NVML's reference, section
"Device queries": https://docs.nvidia.com/deploy/nvml-api/
"""

from __future__ import annotations

import ctypes
import importlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

# NVML counts GPUs by their place on the bus, CUDA by speed unless it is told: number 0 has to be the same one for both.
# CUDA reads it when it starts, which is after this module is imported wherever an engine is opened or built.
ORDER, BY_BUS = "CUDA_DEVICE_ORDER", "PCI_BUS_ID"
os.environ.setdefault(ORDER, BY_BUS)

# nvmlClocksEventReasons that slow a busy GPU down; idling and clocks set by a person are none.
POWER_CAP = "power cap"
REASONS = {
    0x04: POWER_CAP,
    0x08: "hardware slowdown",
    0x20: "thermal (software)",
    0x40: "thermal (hardware)",
    0x80: "power brake",
}
POWER, THERMAL = 0, 1  # nvmlPerfPolicyType
SM, MEMORY = 1, 2  # nvmlClockType


@dataclass(frozen=True)
class GPUState:
    """One reading: clocks in MHz, temperature in °C, why it is slowed down, the number of processes that compute on it,
    the seconds since the driver was loaded that heat held it back, and those that its power cap did, power in W, its
    memory in use, and the share of the last moments in which it computed."""

    sm_mhz: int | None
    memory_mhz: int | None
    temperature_c: int | None
    reasons: tuple[str, ...] | None
    processes: int | None
    held_back_s: float | None
    power_capped_s: float | None = None
    power_w: float | None = None
    memory_used_bytes: int | None = None
    busy_share: float | None = None


def read(nvml: Any = None) -> GPUState | None:
    """State of the GPU now; None without library, driver or device. `nvml`: stands for the library in tests."""
    gpu = _open(nvml)
    if gpu is None:
        return None
    bits = gpu.ask("nvmlDeviceGetCurrentClocksEventReasons")
    if bits is None:  # its name until driver 535
        bits = gpu.ask("nvmlDeviceGetCurrentClocksThrottleReasons")
    power, memory = gpu.ask("nvmlDeviceGetPowerUsage"), gpu.ask("nvmlDeviceGetMemoryInfo")
    processes, busy = gpu.ask("nvmlDeviceGetComputeRunningProcesses"), gpu.ask("nvmlDeviceGetUtilizationRates")
    return GPUState(
        sm_mhz=gpu.ask("nvmlDeviceGetClockInfo", SM),
        memory_mhz=gpu.ask("nvmlDeviceGetClockInfo", MEMORY),
        temperature_c=gpu.ask("nvmlDeviceGetTemperature", 0),
        reasons=None if bits is None else tuple(text for bit, text in REASONS.items() if bits & bit),
        processes=None if processes is None else len(processes),
        held_back_s=_violation_s(gpu, THERMAL),
        power_capped_s=_violation_s(gpu, POWER),
        power_w=None if power is None else power / 1000,
        memory_used_bytes=None if memory is None else memory.used,
        busy_share=None if busy is None else busy.gpu / 100,
    )


def facts(nvml: Any = None) -> dict[str, Any] | None:
    """Name, compute capability, memory, limits of clock and power, and state now, for the environment record; None: no
    GPU."""
    gpu = _open(nvml)
    if gpu is None:
        return None
    name, memory = gpu.ask("nvmlDeviceGetName"), gpu.ask("nvmlDeviceGetMemoryInfo")
    power, state = gpu.ask("nvmlDeviceGetEnforcedPowerLimit"), read(nvml)
    return {
        "name": _text(name),
        "compute_capability": compute_capability(nvml),
        "memory_gib": None if memory is None else round(memory.total / 2**30),
        "max_sm_mhz": gpu.ask("nvmlDeviceGetMaxClockInfo", SM),
        "power_limit_w": None if power is None else power / 1000,
        "now": None if state is None else {**vars(state), "reasons": list(state.reasons or ())},
    }


def free_bytes(nvml: Any = None) -> int | None:
    """Memory of the GPU that is free now; None: not known."""
    gpu = _open(nvml)
    memory = gpu.ask("nvmlDeviceGetMemoryInfo") if gpu else None
    return None if memory is None else int(memory.free)


def identity(nvml: Any = None) -> tuple[Any, ...] | None:
    """What a serialized engine belongs to: name and MiB of memory, which tells two slices (MIG) of one GPU apart."""
    gpu = _open(nvml)
    if gpu is None:
        return None
    memory = gpu.ask("nvmlDeviceGetMemoryInfo")
    return _text(gpu.ask("nvmlDeviceGetName")), None if memory is None else memory.total >> 20


def compute_capability(nvml: Any = None) -> tuple[int, int] | None:
    """Of the GPU, e.g. (8, 6); None: not known."""
    gpu = _open(nvml)
    found = gpu.ask("nvmlDeviceGetCudaComputeCapability") if gpu else None
    return None if found is None else (found[0], found[1])


def driver_version(nvml: Any = None) -> str | None:
    """The driver's version, e.g. 535.104.05; None: NVML does not answer."""
    library = _library(nvml)
    return None if library is None else _text(_ask(library, "nvmlSystemGetDriverVersion"))


def cuda_version(nvml: Any = None) -> tuple[int, int] | None:
    """The newest CUDA that the driver serves, e.g. (12, 4); by libcuda itself where NVML does not answer."""
    library = _library(nvml)
    number = None if library is None else _ask(library, "nvmlSystemGetCudaDriverVersion_v2")
    if number is None and nvml is None:
        number = _libcuda_version()
    return None if number is None else (number // 1000, number % 1000 // 10)


def is_hidden(nvml: Any = None) -> bool:
    """Whether NVML answers, and has no GPU for this process: CUDA_VISIBLE_DEVICES or a container hides it."""
    return _library(nvml) is not None and _is_ordered() and _open(nvml) is None


def has_libcuda() -> bool:
    """Whether the driver's own library can be loaded: all that there is of it under WSL2."""
    return _libcuda_version() is not None


def _libcuda_version() -> int | None:
    number = ctypes.c_int(0)
    try:
        ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(number))  # the one call that needs no cuInit
    except (OSError, AttributeError):
        return None
    return number.value or None


@dataclass(frozen=True)
class _Device:
    """A GPU, or a slice (MIG) of one; what a slice does not tell, its GPU is asked."""

    nvml: Any
    handle: Any
    whole: Any = None

    def ask(self, function: str, *arguments: Any) -> Any:
        """An answer, or None where this library, driver or device has none."""
        answer = _ask(self.nvml, function, self.handle, *arguments)
        return _ask(self.nvml, function, self.whole, *arguments) if answer is None and self.whole else answer


def _library(nvml: Any) -> Any:
    """The initialised library; None where it, or the driver, is not there."""
    if nvml is None:
        try:
            nvml = importlib.import_module("pynvml")
        except ImportError:
            return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    return nvml


def _is_ordered() -> bool:
    """Whether CUDA's numbers are NVML's: not where a person set another order."""
    return os.environ.get(ORDER) == BY_BUS


def _open(nvml: Any) -> _Device | None:
    """The first device that CUDA shows this process, by the rules of CUDA_VISIBLE_DEVICES: a number, an identifier or
    the beginning of one, of a GPU or of a slice. None: there is none, or it is not known which."""
    nvml = _library(nvml)
    if nvml is None:
        return None
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    handles = [_ask(nvml, "nvmlDeviceGetHandleByIndex", i) for i in range(_ask(nvml, "nvmlDeviceGetCount") or 0)]
    if wanted.isdigit():
        if len(handles) > 1 and not _is_ordered():
            return None
        whole = handles[int(wanted)] if int(wanted) < len(handles) else None
        slices = list(_slices(nvml, whole)) if whole else []
        return _Device(nvml, slices[0], whole) if slices else whole and _Device(nvml, whole)
    if not wanted.startswith(("GPU-", "MIG-")):
        return None  # empty or -1: no GPU at all
    for whole in filter(None, handles):
        for device in (_Device(nvml, whole), *(_Device(nvml, part, whole) for part in _slices(nvml, whole))):
            if (_text(_ask(nvml, "nvmlDeviceGetUUID", device.handle)) or "").startswith(wanted):
                slices = list(_slices(nvml, whole)) if device.whole is None else []
                return _Device(nvml, slices[0], whole) if slices else device
    return None


def _slices(nvml: Any, whole: Any) -> Iterator[Any]:
    """Handles of a GPU's slices (MIG): where it is cut, CUDA shows them and not the GPU."""
    mode = _ask(nvml, "nvmlDeviceGetMigMode", whole)
    for number in range(_ask(nvml, "nvmlDeviceGetMaxMigDeviceCount", whole) or 0) if mode and mode[0] else ():
        handle = _ask(nvml, "nvmlDeviceGetMigDeviceHandleByIndex", whole, number)
        if handle is not None:
            yield handle


def _violation_s(gpu: _Device, policy: int) -> float | None:
    status = gpu.ask("nvmlDeviceGetViolationStatus", policy)
    return None if status is None else status.violationTime * 1e-9


def _text(name: Any) -> Any:
    return name.decode() if isinstance(name, bytes) else name


def _ask(nvml: Any, function: str, *arguments: Any) -> Any:
    """An answer, or None where this library, driver or device has none."""
    call: Callable[..., Any] | None = getattr(nvml, function, None)
    try:
        return call(*arguments) if call else None
    except nvml.NVMLError:
        return None
