"""Bound the memory and time that jobs ask of a cluster, from the input size and the number of images.

On one machine these bounds limit nothing. A profile's `set-resources` overrides each of them.
"""

from __future__ import annotations

import functools
import os

MEGAPIXEL = 1 << 20
# Frameworks, libraries and activations. The largest of the eight full-size models took 10.2 GB at 2 megapixels.
BASE_MB, MB_PER_MEGAPIXEL = 2000, 6000
# The slowest CPU run took 16 s per megapixel, and a disturbed round runs twice. A GPU takes far less than a tenth.
START_MINUTES = 30
MINUTES_PER_MEGAPIXEL = {"cpu": 0.6, "gpu": 0.06}


def memory_mb(height: int, width: int, attempt: int) -> int:
    """Return the MiB of a job that runs or builds a model with this input. The next attempt asks for twice as much."""
    return int(BASE_MB + MB_PER_MEGAPIXEL * height * width / MEGAPIXEL) * 2 ** (attempt - 1)


def runtime_minutes(height: int, width: int, images: int, device: str, attempt: int) -> int:
    """Return the minutes of a job that runs a model on this many images. The next attempt asks for twice as many."""
    per_image = MINUTES_PER_MEGAPIXEL[device] * height * width / MEGAPIXEL
    return int(START_MINUTES + per_image * images) * 2 ** (attempt - 1)


def image_count(index: str) -> int:
    """Count the images of an index.csv. Before it is made, FileNotFoundError makes Snakemake ask again at the job."""
    status = os.stat(index)
    return _lines(index, status.st_mtime_ns, status.st_size) - 1


@functools.cache
def _lines(path: str, mtime_ns: int, size: int) -> int:
    """Count the lines of a file in this state, once for all jobs that read it."""
    with open(path, "rb") as stream:
        return sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
