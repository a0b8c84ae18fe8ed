"""The errors that a person can mend, and how a script shows them."""

from __future__ import annotations

import errno
import functools
import os
import select
import signal
import sys
import threading
from collections.abc import Callable

WORKFLOW = "SEGBENCH_WORKFLOW"  # environment variable: process id of the Snakemake that started the script
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG)


class InputError(Exception):
    """Input that a person gave is wrong: the message says what, where, and what would be right."""


class Unsupported(Exception):
    """This hardware, driver, package or graph cannot do what the variant asks: the row's reason."""


class Failed(Exception):
    """The engine gave up while doing it (out of memory, not-a-number, …): the row's reason."""


def command(main: Callable[[], None]) -> Callable[[], None]:
    """Run a script's `main`; an `InputError` becomes its bare message on stderr and exit status 2.

    So does what the disk refuses: a folder that is read-only, a disk that is full. The script ends with its Snakemake.
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
            if told := disk_fault(error):
                print(f"error: {told}", file=sys.stderr)
                sys.exit(2)
            raise

    return run


def disk_fault(error: OSError) -> str:
    """What the disk refused, in one line that names the file; empty for any other error."""
    if error.errno not in DISK:
        return ""
    return f"{error.filename or 'a file of results/'}: {os.strerror(error.errno)}"


def _end_with_workflow() -> None:
    """Die when Snakemake dies: one that is killed with SIGKILL cannot end its jobs, and they would go on unseen.

    A thread sleeps in the kernel until then: nothing is polled. A supervised child dies with this process.
    """
    workflow = int(os.environ.get(WORKFLOW, "0"))
    if not workflow or not hasattr(os, "pidfd_open"):
        return
    try:
        ended = os.pidfd_open(workflow)
    except ProcessLookupError:
        sys.exit(f"the workflow's process {workflow} has ended before its job began")
    except OSError:
        return  # this kernel has none

    def wait() -> None:
        select.select([ended], [], [])
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()
