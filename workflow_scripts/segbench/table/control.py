"""The control: one row that is timed once in every block, so that a drift of the machine can be seen and taken out."""

from __future__ import annotations

import itertools
import math
import statistics
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from segbench.files import checked, read_json
from segbench.timing.intervals import Scatter, figure_of_round, scatter_of
from segbench.timing.latencies import read_compute_s

NEAR = timedelta(minutes=30)  # a control's round that began longer before or after says nothing of a row's round
MIN_ROUNDS = 4  # of the control, below which its spread is not known


class ControlRound(NamedTuple):
    """A round of the control: in a block of which model, which round, when, its figure in seconds, on what."""

    model: str
    number: int
    started: datetime
    figure_s: float
    hardware_id: str


@dataclass
class Control:
    """All rounds of the control below `results`, of this and of earlier runs of the data set. `name` is MODEL/VARIANT.

    A variant that was added later has blocks of its own, in which only it and the control were timed.
    """

    results: Path
    dataset: str
    name: str
    average: str = "median"
    used: set[ControlRound] = field(default_factory=set)  # those that a row was compared with

    @cached_property
    def rounds(self) -> list[ControlRound]:
        """Return the rounds that ran."""
        found = []
        for path in sorted((self.results / "control" / self.dataset / self.name).glob("*/*/status.json")):
            run, folder = read_json(path), path.parent
            if run["status"] != "ok":
                continue
            times = read_compute_s(checked(folder / "latencies.csv", run))
            hardware = read_json(checked(folder / "environment.json", run))["hardware_id"]
            model = folder.parent.name.rpartition("-")[0]
            started = datetime.fromisoformat(run["started"])
            found.append(ControlRound(model, int(folder.name), started, figure_of_round(times, self.average), hardware))
        return found

    def beside(self, model: str, number: int, run: dict[str, Any], hardware_id: str) -> ControlRound | None:
        """Return the control's round in the block of a row's round, whose status.json is `run`; None: there is none."""
        if not run.get("started"):
            return None
        started = datetime.fromisoformat(run["started"])
        near = [
            one
            for one in self.rounds
            if (one.model, one.number, one.hardware_id) == (model, number, hardware_id)
            and abs(one.started - started) <= NEAR
        ]
        nearest = min(near, key=lambda one: abs(one.started - started), default=None)
        if nearest is not None:
            self.used.add(nearest)
        return nearest

    @property
    def mean_s(self) -> float:
        """Return the geometric mean of the rounds that rows were compared with."""
        return statistics.geometric_mean(one.figure_s for one in self.used)

    @property
    def scatter(self) -> Scatter | None:
        """Return how much a time scatters on this machine, with its drift. None: too few rounds."""
        return scatter_of([one.figure_s for one in self.used]) if len(self.used) >= MIN_ROUNDS else None

    @property
    def scatter_of_ratios(self) -> Scatter | None:
        """Return how much the ratio of two times of one block scatters. None: too few rounds.

        It is taken from the mean square of the differences of the control's rounds that follow each other (J. von
        Neumann et al., Annals of Mathematical Statistics 12, 1941), in which a slow drift cancels. It has two thirds of
        the degrees of freedom of a variance.
        """
        logarithms = [math.log(one.figure_s) for one in sorted(self.used, key=lambda one: one.started)]
        if len(logarithms) < MIN_ROUNDS:
            return None
        differences = [b - a for a, b in itertools.pairwise(logarithms)]
        return Scatter(math.sqrt(statistics.fmean(step**2 for step in differences)), 2 / 3 * len(differences))

    def smallest_difference(self, rounds: int) -> float | None:
        """Return the difference of two rows' times, as a fraction, below which they cannot be told apart with this many
        rounds each: the half width of the 95% interval of the ratio of two rows that are the same. None: not known.
        """
        return math.expm1(self.scatter_of_ratios.half(rounds)) if self.scatter_of_ratios else None
