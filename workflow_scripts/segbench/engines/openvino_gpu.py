"""Run OpenVINO on an Intel GPU, from the same files as on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.config.options import Variant
from segbench.engines import openvino
from segbench.engines.base import Support, first_no, has_packages, has_precision
from segbench.errors import Unsupported
from segbench.machine.cpu import Machine

INTEL = "0x8086"  # PCI vendor


@dataclass(frozen=True)
class RunOptions:
    """`properties`: further plug-in properties, by their names."""

    properties: dict[str, Any] | None = None


class OpenVINOGPU(openvino.OpenVINO):
    """OpenVINO with its GPU plug-in, which needs Intel's OpenCL driver beside the kernel's."""

    device = "gpu"
    runs_pieces = False
    plugin = "GPU"
    precisions = ("fp32", "fp16", "int8")
    run_options = RunOptions
    scenarios = ()  # not tried on a GPU

    def supports(self, variant: Variant, machine: Machine) -> Support:
        """Say yes where the kernel has a driver for an Intel GPU. Whether OpenVINO can use it shows when it is
        opened.
        """
        return first_no(has_precision(self, variant), has_packages(self), has_intel_gpu())

    def open(self, engine: Path, variant: Variant, options: Any, threads: int) -> openvino.OpenVINOSession:
        """Open the engine as on the CPU. Raises Unsupported where OpenVINO does not find the GPU."""
        from openvino import Core

        if self.plugin not in (found := Core().available_devices):
            raise Unsupported(f"OpenVINO finds no Intel GPU, only {', '.join(found)}: is its OpenCL driver installed?")
        return super().open(engine, variant, options, threads)

    def settings(self, options: Any, threads: int) -> dict[str, Any]:
        """Return no properties, since the CPU's do not exist here."""
        return {}


def has_intel_gpu(devices: Path = Path("/sys/class/drm")) -> Support:
    """Check that a device of Intel's is among the kernel's render nodes."""
    vendors = [path.read_text().strip() for path in devices.glob("renderD*/device/vendor")]
    return Support(INTEL in vendors, "" if INTEL in vendors else "no Intel GPU")


ENGINE = OpenVINOGPU()
