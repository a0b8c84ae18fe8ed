"""Errors that a person can correct, and how a script shows them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT)
DISK_ERRORS = (*DISK_FULL_ERRORS, errno.EROFS, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG)


class InputError(Exception):
    """Input that a person gave is wrong: the message says what, where, and what would be right."""


class Unsupported(Exception):
    """This hardware, driver, package or graph cannot do what the variant asks: the row's reason."""


class Failed(Exception):
    """The engine gave up while doing it (out of memory, not-a-number, …): the row's reason."""


def disk_fault(error: OSError) -> str:
    """What the disk refused, in one line that names the file; empty for any other error."""
    if error.errno not in DISK_ERRORS:
        return ""
    return f"{error.filename or 'a file of results/'}: {os.strerror(error.errno)}"


def one_line(text: str, most: int = 400) -> str:
    """`text` on one line, at most `most` characters: what fits a table cell."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"


@contextmanager
def framework_errors(doing: str, *kinds: type[BaseException], unsupported: bool = False) -> Iterator[None]:
    """Turn the framework's own exceptions into the row's reason."""
    caught = kinds or (RuntimeError,)
    try:
        yield
    except caught as error:
        text = one_line(str(error))
        out_of_memory = any(word in text.lower() for word in ("out of memory", "bad_alloc", "failed to allocate"))
        if out_of_memory:
            raise Failed(f"out of memory while {doing}: {text}") from error
        raise (Unsupported if unsupported else Failed)(f"{doing}: {text}") from error
