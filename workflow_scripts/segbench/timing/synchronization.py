"""Whether a time contains the device's work: a test that a session passes, and without synchronising would not.

Two things are asked. Twice the work has to take twice as long. And after `synchronize` nothing may be left to wait for:
the copy of the class map, which waits for the device in any case, has to take no longer than the same copy again.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from segbench.arrays import Float32Image
from segbench.engines.base import Session
from segbench.timing import clock

DOUBLED = (1.8, 2.2)  # what twice the work may take
MAX_LEFT = 0.1  # of the work's time: what may be left to wait for
STRETCH_S = 0.02  # of work in one reading, so that neither a launch nor a copy counts
MAX_RUNS = 200


@dataclass(frozen=True)
class Reading:
    """Medians of one session. `run_s`: of one run of the network; `doubling`: time of twice the work over time of the
    work; `left_share`: what was left to wait for after synchronising, as a share of the work's time."""

    run_s: float
    doubling: float
    left_share: float

    def fault(self) -> str:
        """Why these times are not the device's; empty where they are."""
        if self.left_share > MAX_LEFT:
            return f"{self.left_share:.0%} of the work was still to be waited for after synchronising"
        if not DOUBLED[0] <= self.doubling <= DOUBLED[1]:
            return f"twice the work took {self.doubling:.2f} times as long"
        return ""


class Unsynchronized:
    """A session whose `synchronize` does nothing."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.upload, self.execute, self.download = session.upload, session.execute, session.download

    def synchronize(self) -> None:
        """Return at once: that is the fault."""


def check(session: Session, image: Float32Image, repeats: int = 15) -> dict[str, Any]:
    """Test a session; `ok`, what there is to `say`, and the readings with and without synchronising."""
    session.upload(image)
    for _ in range(3):
        _run(session, 1)
    once = min(clock.elapsed_s(lambda: _run(session, 1)) for _ in range(3))
    runs = min(max(math.ceil(STRETCH_S / max(once, 1e-9)), 1), MAX_RUNS)
    right = read(session, runs, repeats)
    blind = read(Unsynchronized(session), runs, repeats)
    say = right.fault()
    if not say and not blind.fault():
        waits = blind.run_s >= (1 - MAX_LEFT) * right.run_s
        say = "" if waits else "a missing synchronisation would not be seen"
        found = "the call itself waits for the device"
    else:
        found = blind.fault()
    record = {"ok": not say, "say": say, "without_synchronizing": found, "runs": runs}
    return {**record, "synchronized": asdict(right), "unsynchronized": asdict(blind)}


def read(session: Session, runs: int, repeats: int) -> Reading:
    """Readings of `runs` runs and of twice as many, in turn."""
    single, double, left = [], [], []
    for _ in range(repeats):
        single.append(clock.elapsed_s(lambda: _run(session, runs)))
        waited = clock.elapsed_s(session.download)
        left.append(waited - clock.elapsed_s(session.download))
        double.append(clock.elapsed_s(lambda: _run(session, 2 * runs)))
        session.download()  # so that nothing is left for the next reading
    work = median(single)
    return Reading(work / runs, median(double) / work, max(median(left), 0.0) / work)


def _run(session: Session, runs: int) -> None:
    for _ in range(runs):
        session.execute()
    session.synchronize()
