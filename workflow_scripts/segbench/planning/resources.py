"""What jobs ask of a cluster: upper bounds of memory and time, from the input size and the number of images.

On one machine nothing of this limits anything. A profile's `set-resources` overrides each of it.
"""

from __future__ import annotations

import functools
import os

MEGAPIXEL = 1 << 20
# Frameworks and their libraries, and the activations: the hungriest of the eight full-size models took 10.2 GB at 2 MP.
BASE_MB, MB_PER_MEGAPIXEL = 2000, 6000
# The slowest CPU run of these took 16 s for a megapixel, and a disturbed round runs twice; a GPU is far below a tenth.
START_MINUTES = 30
MINUTES_PER_MEGAPIXEL = {"cpu": 0.6, "gpu": 0.06}


def memory_mb(height: int, width: int, attempt: int) -> int:
    """MiB of a job that runs or builds a model with this input; the next attempt asks for twice as much."""
    return int(BASE_MB + MB_PER_MEGAPIXEL * height * width / MEGAPIXEL) * 2 ** (attempt - 1)


def runtime_minutes(height: int, width: int, images: int, device: str, attempt: int) -> int:
    """Minutes of a job that runs a model on so many images; the next attempt asks for twice as many."""
    per_image = MINUTES_PER_MEGAPIXEL[device] * height * width / MEGAPIXEL
    return int(START_MINUTES + per_image * images) * 2 ** (attempt - 1)


def image_count(index: str) -> int:
    """Images of an index.csv. Raises FileNotFoundError before it is made: Snakemake then asks again at the job."""
    status = os.stat(index)
    return _lines(index, status.st_mtime_ns, status.st_size) - 1


@functools.cache
def _lines(path: str, mtime_ns: int, size: int) -> int:
    """Lines of a file as it is now; counted once for all jobs that read it."""
    with open(path, "rb") as stream:
        return sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
