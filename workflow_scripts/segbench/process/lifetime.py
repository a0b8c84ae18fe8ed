"""Processes that work beside a script and end with it, however it ends."""

from __future__ import annotations

import ctypes
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process


def pool(jobs: int) -> ProcessPoolExecutor:
    """`jobs` processes that import only what their work needs, and die with this one.

    Left alone they would wait for work for ever, and with them whoever reads what this script prints.
    """
    return ProcessPoolExecutor(jobs, get_context("spawn"), _begin)


def die_with_parent() -> None:
    """The kernel kills this process when its parent has ended."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _begin() -> None:
    die_with_parent()
    parent = parent_process()
    if parent is not None and parent.pid != os.getppid():
        os._exit(1)  # it ended before the kernel was told
