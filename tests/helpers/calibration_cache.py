"""TensorRT's calibration cache, read back: the workflow itself only writes it."""

from __future__ import annotations

import struct

from segbench.runtimes.tensorrt.calibration_cache import LEVELS


def read_cache(content: bytes) -> dict[str, float]:
    """Largest magnitude by tensor."""
    heading, *lines = content.decode().splitlines()
    assert heading.startswith("TRT-"), heading
    found = {}
    for line in lines:
        name, _, digits = line.rpartition(": ")
        (scale,) = struct.unpack(">f", bytes.fromhex(digits))
        found[name] = scale * LEVELS
    return found
