"""Limits of a stage: its memory, its time, and its time without progress."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Limits of a stage. `memory_mb` is the child's resident memory in MiB (None: the machine's, less 512 MiB).
    `stall_s` is the time without any progress after which a stage counts as hung. `stage_s` is the time in all (None:
    no limit), `conversion_s` that of a conversion to ONNX. `stage_key` is the setting that `stage_s` comes from.
    """

    memory_mb: int | None = None
    stall_s: float = 1800.0
    stage_s: float | None = None
    conversion_s: float | None = 900.0
    stage_key: str = "limits.stage_s"

    def of_conversion(self) -> Limits:
        """Return the limits of a stage that converts a model: the shorter time holds."""
        if self.conversion_s is None or (self.stage_s is not None and self.stage_s <= self.conversion_s):
            return self
        return replace(self, stage_s=self.conversion_s, stage_key="limits.conversion_s")


def configured_limits() -> Limits:
    """Return the workflow's `limits`, which it passes in SEGBENCH_LIMITS. Outside of the workflow the defaults hold."""
    return Limits(**json.loads(os.environ.get("SEGBENCH_LIMITS", "{}")))


def usable_memory_mb() -> int:
    """Return the MiB that a stage may take: 512 less than the least of machine, control group and Slurm job."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit_file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(limit_file).read_text()))
        except (OSError, ValueError):
            continue
    asked_mb = os.environ.get("SLURM_MEM_PER_NODE", "")
    # A job that asked for 0 gets all memory of the node.
    total = min(total, int(asked_mb) * MEBIBYTE) if asked_mb.isdigit() and int(asked_mb) else total
    return max(total // MEBIBYTE - 512, 256)
