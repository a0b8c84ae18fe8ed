"""Read the GPU's clocks, temperature, throttling and memory through NVML; None stands where a value cannot be read.

Through nvidia-ml-py, which need not be installed. Names and bits are those of NVML's reference, section
"Device queries": https://docs.nvidia.com/deploy/nvml-api/
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# nvmlClocksEventReasons that slow a busy GPU down; idling and clocks set by a person are none.
REASONS = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "thermal (software)",
    0x40: "thermal (hardware)",
    0x80: "power brake",
}
POLICIES = (0, 1)  # nvmlPerfPolicyType: power, thermal
SM, MEMORY = 1, 2  # nvmlClockType


@dataclass(frozen=True)
class GPUState:
    """One reading: clocks in MHz, temperature in °C, why it is slowed down, other processes that compute on it, the
    seconds since the driver was loaded that power or heat held it back, power in W and its memory in use."""

    sm_mhz: int | None
    memory_mhz: int | None
    temperature_c: int | None
    reasons: tuple[str, ...] | None
    other_processes: int | None
    held_back_s: float | None
    power_w: float | None = None
    memory_used_bytes: int | None = None


def read(nvml: Any = None) -> GPUState | None:
    """State of the GPU now; None without library, driver or device. `nvml`: stands for the library in tests."""
    opened = _open(nvml)
    if opened is None:
        return None
    nvml, device = opened
    bits = _ask(nvml, "nvmlDeviceGetCurrentClocksEventReasons", device)
    if bits is None:  # its name until driver 535
        bits = _ask(nvml, "nvmlDeviceGetCurrentClocksThrottleReasons", device)
    held = [_ask(nvml, "nvmlDeviceGetViolationStatus", device, policy) for policy in POLICIES]
    power, memory = _ask(nvml, "nvmlDeviceGetPowerUsage", device), _ask(nvml, "nvmlDeviceGetMemoryInfo", device)
    known = [status.violationTime for status in held if status is not None]
    return GPUState(
        sm_mhz=_ask(nvml, "nvmlDeviceGetClockInfo", device, SM),
        memory_mhz=_ask(nvml, "nvmlDeviceGetClockInfo", device, MEMORY),
        temperature_c=_ask(nvml, "nvmlDeviceGetTemperature", device, 0),
        reasons=None if bits is None else tuple(text for bit, text in REASONS.items() if bits & bit),
        other_processes=_others(_ask(nvml, "nvmlDeviceGetComputeRunningProcesses", device)),
        held_back_s=sum(known) * 1e-9 if known else None,
        power_w=None if power is None else power / 1000,
        memory_used_bytes=None if memory is None else memory.used,
    )


def facts(nvml: Any = None) -> dict[str, Any] | None:
    """Name, compute capability, memory, limits of clock and power, and state now, for the environment record; None: no
    GPU."""
    opened = _open(nvml)
    if opened is None:
        return None
    nvml, device = opened
    name = _ask(nvml, "nvmlDeviceGetName", device)
    memory = _ask(nvml, "nvmlDeviceGetMemoryInfo", device)
    power = _ask(nvml, "nvmlDeviceGetEnforcedPowerLimit", device)
    state = read(nvml)
    return {
        "name": name.decode() if isinstance(name, bytes) else name,
        "compute_capability": compute_capability(nvml),
        "memory_gib": None if memory is None else round(memory.total / 2**30),
        "max_sm_mhz": _ask(nvml, "nvmlDeviceGetMaxClockInfo", device, SM),
        "power_limit_w": None if power is None else power / 1000,
        "now": None if state is None else {**vars(state), "reasons": list(state.reasons or ())},
    }


def free_bytes(nvml: Any = None) -> int | None:
    """Memory of the GPU that is free now; None: not known."""
    opened = _open(nvml)
    memory = _ask(opened[0], "nvmlDeviceGetMemoryInfo", opened[1]) if opened else None
    return None if memory is None else int(memory.free)


def compute_capability(nvml: Any = None) -> tuple[int, int] | None:
    """Of the GPU, e.g. (8, 6); None: not known."""
    opened = _open(nvml)
    found = _ask(opened[0], "nvmlDeviceGetCudaComputeCapability", opened[1]) if opened else None
    return None if found is None else (found[0], found[1])


def _open(nvml: Any) -> tuple[Any, Any] | None:
    """The library, and the first device that this process may see (by PCI bus order, as `nvidia-smi` counts)."""
    if nvml is None:
        try:
            nvml = importlib.import_module("pynvml")
        except ImportError:
            return None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    try:
        nvml.nvmlInit()
        if visible.isdigit():
            return nvml, nvml.nvmlDeviceGetHandleByIndex(int(visible))
        return nvml, nvml.nvmlDeviceGetHandleByUUID(visible)
    except nvml.NVMLError:
        return None


def _ask(nvml: Any, function: str, *arguments: Any) -> Any:
    """An answer, or None where this library, driver or device has none."""
    call: Callable[..., Any] | None = getattr(nvml, function, None)
    try:
        return call(*arguments) if call else None
    except nvml.NVMLError:
        return None


def _others(processes: list[Any] | None) -> int | None:
    """How many of `processes` are not this one: all but one. Numbers do not tell: a container has others than NVML."""
    return None if processes is None else max(len(processes) - 1, 0)
