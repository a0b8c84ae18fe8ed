"""Our calibration table as TensorRT's calibration cache (until version 9).

A text: a first line of version and algorithm, then a line `tensor: scale` each, the scale (largest magnitude / 127) as
the eight hexadecimal digits of a big-endian 32-bit float. The builder takes a cache whose first line is its own.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

LEVELS = 127


def cache_text(ranges: Mapping[str, tuple[float, float]], version: str) -> bytes:
    """The cache of these ranges (lowest, highest by tensor) for TensorRT `version` (8.5.3.1, say)."""
    major, minor, patch = (int(part) for part in version.split(".")[:3])
    lines = [f"TRT-{major * 1000 + minor * 100 + patch}-EntropyCalibration2"]  # the number of getInferLibVersion
    for name, (low, high) in ranges.items():
        lines.append(f"{name}: {struct.pack('>f', max(abs(low), abs(high)) / LEVELS).hex()}")
    return ("\n".join(lines) + "\n").encode()
