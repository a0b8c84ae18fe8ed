"""Errors that a person can correct, and how a script reports them."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

PLACE = re.compile(r"/\S+\.(?:h|cc):\d+ .*?\) (?=[A-Z])")  # of C++ source: a file, a line and a function
DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT)
DISK_ERRORS = (*DISK_FULL_ERRORS, errno.EROFS, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG)


class InputError(Exception):
    """The user's input is wrong. The message says what is wrong, where, and what would be right."""


class Unsupported(Exception):
    """This hardware, driver, package or graph cannot do what the variant asks. The message becomes the row's reason."""


class Failed(Exception):
    """The engine failed at its work (out of memory, not-a-number, …). The message becomes the row's reason."""


def disk_fault(error: OSError) -> str:
    """Return what the disk refused, in one line that names the file. The text is empty for any other error."""
    if error.errno not in DISK_ERRORS:
        return ""
    return f"{error.filename or 'a file of results/'}: {os.strerror(error.errno)}"


def one_line(text: str, most: int = 400) -> str:
    """Return `text` on one line of at most `most` characters, so that it fits into a table cell.

    ONNX Runtime's messages begin with a place in its own source, which would fill the cell before the cause.
    """
    flat = PLACE.sub("", " ".join(text.split()))
    return flat if len(flat) <= most else flat[: most - 1] + "…"


@contextmanager
def framework_errors(doing: str, *kinds: type[BaseException], unsupported: bool = False) -> Iterator[None]:
    """Turn exceptions of the framework into the row's reason."""
    caught = kinds or (RuntimeError,)
    try:
        yield
    except caught as error:
        if isinstance(error, OSError) and disk_fault(error):  # no row's reason
            raise
        text = one_line(str(error))
        out_of_memory = any(word in text.lower() for word in ("out of memory", "bad_alloc", "failed to allocate"))
        if out_of_memory:
            raise Failed(f"out of memory while {doing}: {text}") from error
        raise (Unsupported if unsupported else Failed)(f"{doing}: {text}") from error
