"""Drop files from the system's page cache, and ask how much of them is in it. Neither needs to be root.

Pages that a process has mapped and used stay, and so do those of a file system without a disk behind it (tmpfs).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

PAGE = os.sysconf("SC_PAGE_SIZE")
mincore = ctypes.CDLL(None).mincore


class Cached(NamedTuple):
    """How many bytes of some files are in the page cache, the file that most of them are of, and the bytes of the files
    of which the system does not tell.
    """

    size: int
    most: Path | None
    untold: int = 0


def drop(paths: Iterable[Path]) -> None:
    """Ask the system to drop every page of these files (posix_fadvise, DONTNEED). One that is not written to the disk
    yet is written first. One that is gone, or may not be read, is left out.
    """
    for path in paths:
        with contextlib.suppress(FileNotFoundError, PermissionError), open(path, "rb") as stream:
            with contextlib.suppress(OSError):  # where nothing can be written, nothing is to be written
                os.fdatasync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cached(paths: Iterable[Path]) -> Cached:
    """Return how much of these files is in the page cache. Files that are gone are left out."""
    found, untold = list[tuple[int, Path]](), 0
    for path in filter(os.path.exists, paths):
        size = cached_bytes(path)
        if size is None:
            untold += path.stat().st_size
        else:
            found.append((size, path))
    return Cached(sum(size for size, _ in found), max(found, default=(0, None))[1], untold)


def cached_bytes(path: Path) -> int | None:
    """Return how many bytes of a file are in the page cache (mincore). None: this is not known, since only the file's
    owner, or who may write to it, is told; or it is gone.
    """
    if not os.access(path, os.R_OK):
        return None
    facts = path.stat()
    if facts.st_size == 0:
        return 0
    if facts.st_uid != os.geteuid() and not os.access(path, os.W_OK):
        return None
    mapped = np.memmap(path, np.uint8, "r")
    pages = np.zeros(-(-len(mapped) // PAGE), np.uint8)
    if mincore(*map(ctypes.c_void_p, (mapped.ctypes.data, len(mapped), pages.ctypes.data))):
        return None  # this system does not tell
    return min(int((pages & 1).sum()) * PAGE, facts.st_size)
