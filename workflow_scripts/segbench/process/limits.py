"""What a stage may use: memory, time, silence."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What a stage may use. `memory_mb`: resident MiB of the child (None: all but 512 MiB of the machine's);
    `stall_s`: seconds without any progress before it counts as hung; `stage_s`: seconds in all (None: no limit)."""

    memory_mb: int | None = None
    stall_s: float = 1800.0
    stage_s: float | None = None


def configured_limits() -> Limits:
    """What the workflow's `limits` say (it hands them on in SEGBENCH_LIMITS); the defaults outside of it."""
    return Limits(**json.loads(os.environ.get("SEGBENCH_LIMITS", "{}")))


def usable_memory_mb() -> int:
    """MiB that a stage may take: the machine's, or the control group's or Slurm job's when less, less 512 MiB."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit_file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(limit_file).read_text()))
        except (OSError, ValueError):
            continue
    asked_mb = os.environ.get("SLURM_MEM_PER_NODE", "")
    total = min(total, int(asked_mb) * MEBIBYTE) if asked_mb.isdigit() and int(asked_mb) else total  # 0: all of it
    return max(total // MEBIBYTE - 512, 256)
