"""Kill the processes that work beside a script when the script ends, for whatever reason."""

from __future__ import annotations

import ctypes
import functools
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from segbench.errors import InputError, disk_fault

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor


def pool(jobs: int) -> ProcessPoolExecutor:
    """Return a pool of `jobs` processes that import only what their work needs, and die with this one.

    Orphaned processes would wait for work for ever, and so would the reader of this script's output.
    """
    # Every script imports this module, and few start a pool.
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    return ProcessPoolExecutor(jobs, get_context("spawn"), _begin)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent has ended."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _begin() -> None:
    from multiprocessing import parent_process

    die_with_parent()
    parent = parent_process()
    if parent is not None and parent.pid != os.getppid():
        os._exit(1)  # the parent ended before the request reached the kernel


WORKFLOW = "SEGBENCH_WORKFLOW"  # environment variable: process id of the Snakemake that started the script


def command(main: Callable[[], None]) -> Callable[[], None]:
    """Run a script's `main`; an `InputError` becomes its bare message on stderr and exit status 2.

    A read-only folder or a full disk is reported in the same way. The script ends when its Snakemake ends.
    """

    @functools.wraps(main)
    def run() -> None:
        _end_with_workflow()
        try:
            main()
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        except OSError as error:
            if message := disk_fault(error):
                print(f"error: {message}", file=sys.stderr)
                sys.exit(2)
            raise

    return run


def _end_with_workflow() -> None:
    """Die when Snakemake dies. After a SIGKILL Snakemake cannot end its jobs, and they would go on unseen.

    A thread sleeps in the kernel until then, so nothing is polled. A supervised child dies with this process.
    """
    workflow = int(os.environ.get(WORKFLOW, "0"))
    if not workflow or not hasattr(os, "pidfd_open"):
        return
    try:
        ended = os.pidfd_open(workflow)
    except ProcessLookupError:
        sys.exit(f"the workflow's process {workflow} has ended before its job began")
    except OSError:
        return  # this kernel has no pidfd

    def wait() -> None:
        select.select([ended], [], [])
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()
