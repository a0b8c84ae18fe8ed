"""Check many files, in order, on several processes, and tell how far it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from segbench.process import lifetime

FEW = 32  # files per process below which starting one costs more than it saves
Result = TypeVar("Result")


def check_each(check: Callable[..., Result], jobs: int, name: str, *columns: Sequence[Any]) -> list[Result]:
    """Return `check` of each row of `columns`, which are equally long. `name`: what the progress calls this."""
    total = len(columns[0])
    alone = jobs <= 1 or total < FEW * jobs
    return list(_told(map(check, *columns) if alone else _in_processes(check, jobs, columns), total, name))


def _in_processes(check: Callable[..., Result], jobs: int, columns: Sequence[Sequence[Any]]) -> Iterator[Result]:
    # Processes are not forked: a fork of a process with threads may wait for a lock for ever.
    with lifetime.pool(jobs) as pool:
        yield from pool.map(check, *columns, chunksize=4)


def _told(rows: Iterable[Result], total: int, name: str) -> Iterator[Result]:
    last = time.monotonic()
    for done, row in enumerate(rows, 1):
        if done == total or time.monotonic() - last >= 1:
            last = time.monotonic()
            print(f"{name}: {done}/{total}", file=sys.stderr, flush=True)
        yield row
