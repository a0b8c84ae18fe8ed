"""Digest what a status depends on besides files: packages, driver, CPU flags. A change reruns that engine's jobs."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from segbench.engines.base import load
from segbench.machine import nvml
from segbench.machine.cpu import package_version, this_machine


@functools.cache
def fingerprint(engine: str, interpreter: str | None = None) -> str:
    """Short digest of the installed versions of the engine's packages, the driver, the GPU and the CPU's flags.

    Nothing is imported. Versions are read from the metadata below `interpreter`'s folder (None: this interpreter's).
    """
    kind = load(engine)
    machine = this_machine()
    paths = _site_packages(interpreter) if interpreter else None
    facts: dict[str, Any] = {
        "packages": {name: package_version(name, paths) for name in kind.packages},
        "driver": machine.nvidia_driver if kind.device == "gpu" else None,
        "cpu_flags": sorted(machine.cpu_flags) if kind.device == "cpu" else None,
    }
    if kind.device == "gpu":  # a serialized engine runs on this kind of GPU only
        facts["gpu"] = nvml.identity()
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _site_packages(interpreter: str) -> list[str]:
    """Return the package folders of the environment that `interpreter` (PREFIX/bin/python) belongs to."""
    found = Path(shutil.which(interpreter) or interpreter)
    return [str(path) for path in found.parent.parent.glob("lib/python3*/site-packages")]
