"""Run a busy process on one core during one round. Is the round flagged, and how far does the row's figure move?

The workflow's own job times clean rounds and a disturbed one. The latter then replaces a clean one.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from segbench.process.lifetime import command

from validation.common import leave, parser, place_of, time_round


@contextmanager
def busy_core(core: int, stretch_s: float = 1.0, pause_s: float = 0.0) -> Iterator[None]:
    """Keep a process computing on `core` as long as the block lasts: for `stretch_s`, then not for `pause_s`."""
    code = (
        f"import os, time\nos.sched_setaffinity(0, [{core}])\nwhile True:\n end = time.time() + {stretch_s}\n"
        f" while time.time() < end: pass\n time.sleep({pause_s})"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def shift(clean: list[float], disturbed: float, count: int) -> float:
    """Return by what fraction the median over `count` rounds moves when the disturbed one replaces the middle one."""
    first = clean[:count]
    planted = [*first[: count // 2], disturbed, *first[count // 2 + 1 :]]
    return statistics.median(planted) / statistics.median(first) - 1


@command
def main() -> None:
    """Time the rounds."""
    options = parser(__doc__, rounds=(6, "clean rounds"), images=(40, "images in each"))
    a = options.parse_args()
    place = place_of(a)
    request = place.request(**place.side(a.variant))
    request["timing"]["images_per_round"] = a.images
    clean = [time_round(request, 1 + number, f"clean round {number + 1}/{a.rounds}") for number in range(a.rounds)]
    with busy_core(min(os.sched_getaffinity(0))):
        disturbed = time_round(request, 1 + a.rounds, "disturbed round")
    medians = [one["median_s"] for one in clean]
    slower = disturbed["median_s"] / statistics.median(medians)
    shifts = {count: shift(medians, disturbed["median_s"], count) for count in (3, a.rounds) if count <= a.rounds}
    moves = ", ".join(f"{moved:+.1%} ({count} rounds)" for count, moved in shifts.items())
    flagged = "yes" if disturbed["contended"] else "no"
    falsely = f"{sum(bool(one['contended']) for one in clean)} of {a.rounds}"
    header = ["variant", "flagged", "runs again", "its own median", "the row's figure moves", "clean rounds flagged"]
    row = [a.variant, flagged, disturbed["repeats"], f"×{slower:.2f}", moves, falsely]
    record = {"shifts": shifts, "flagged": disturbed["contended"], "clean": clean, "disturbed": disturbed}
    leave(a.out, "planted_load", header, [row], record)


if __name__ == "__main__":
    main()
