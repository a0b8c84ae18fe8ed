"""Which GPUs a CUDA library has machine code for, read off its fat binaries; no CUDA tool is needed."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

MAGIC = struct.pack("<I", 0xBA55ED50)
HEADER = struct.Struct("<IHHQ")  # magic, version, bytes of this header, bytes of the entries behind it
ENTRY = struct.Struct("<HHIQIIHHI")  # kind, version, bytes of header and of data, packed bytes, –, version twice, SM
PTX, SASS = 1, 2


def architectures(library: Path) -> dict[int, set[tuple[int, int]]]:
    """Compute capabilities by kind of code: PTX, which a driver can compile for later GPUs, and SASS."""
    found: dict[int, set[tuple[int, int]]] = {PTX: set(), SASS: set()}
    with open(library, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        place = content.find(MAGIC)
        while place >= 0:
            _, version, header, size = HEADER.unpack_from(content, place)
            end = place + header + size
            if version == 1 and header == HEADER.size and end <= len(content):
                entry = place + header
                while entry < end:
                    kind, _, head, data, *_, number = ENTRY.unpack_from(content, entry)
                    if kind in found:
                        found[kind].add(divmod(number, 10))
                    entry += head + data
            place = content.find(MAGIC, place + 4)
    return found
