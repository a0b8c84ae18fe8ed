"""Does the 95% interval of a row contain the long-run median? For 3 and for 6 rounds.

Rounds are recorded by the workflow's own job, or read from --latencies FILE…. A simulation then draws processes whose
medians vary like the recorded ones. Their images' latencies are stretches of a recorded round's own deviations, a block
bootstrap that keeps dependence between neighbours. A second test takes random recorded rounds against the median of the
others.
"""

from __future__ import annotations

import math
import random
import statistics
from pathlib import Path
from typing import Any

from segbench.errors import InputError
from segbench.process.lifetime import command
from segbench.timing.intervals import interval_of_rounds
from segbench.timing.latencies import read_compute_s

from validation.common import leave, parser, place_of, time_round

STRETCH = 4  # images: neighbours depend on each other (lag-1 autocorrelation up to 0.7), distant ones hardly
Rounds = list[list[float]]  # seconds per image, by round


class Processes:
    """Draws rounds like the recorded ones."""

    def __init__(self, rounds: Rounds, images: int, seed: int) -> None:
        self._random, self._images = random.Random(seed), images
        logarithms = [[math.log(time) for time in times] for times in rounds]
        medians = [statistics.median(times) for times in logarithms]
        self._centre = statistics.median(medians)
        self._deviations = [
            [time - median for time in times] for times, median in zip(logarithms, medians, strict=True)
        ]
        within = statistics.fmean(statistics.variance(self._within() for _ in range(200)) for _ in range(5))
        # The recorded medians vary between processes and by their few images. The latter is drawn separately.
        self.between = math.sqrt(max(statistics.variance(medians) - within, 0.0))

    def _within(self) -> float:
        """Return the deviation of a process's median that its few images cause, as a logarithm."""
        deviations = self._random.choice(self._deviations)
        drawn: list[float] = []
        while len(drawn) < self._images:
            start = self._random.randrange(len(deviations))
            drawn += (deviations + deviations)[start : start + min(STRETCH, len(deviations))]
        return statistics.median(drawn[: self._images])

    def median(self) -> float:
        """Draw a process's median in seconds."""
        return math.exp(self._centre + self._random.gauss(0, self.between) + self._within())


def simulated(rounds: Rounds, images: int, count: int, trials: int, seed: int = 0) -> float:
    """Return the share of `trials` in which the interval of `count` drawn rounds contains the median of 20000."""
    processes = Processes(rounds, images, seed)
    truth = statistics.median(processes.median() for _ in range(20000))
    return statistics.fmean(_holds([processes.median() for _ in range(count)], truth) for _ in range(trials))


def recorded(medians: list[float], count: int, trials: int, seed: int = 0) -> float | None:
    """Return the share of `trials` in which the interval of `count` recorded rounds contains the median of the
    others. None: fewer than twice as many were recorded.
    """
    if len(medians) < 2 * count:
        return None
    chooser, held = random.Random(seed), []
    for _ in range(trials):
        mixed = chooser.sample(medians, len(medians))
        held.append(_holds(mixed[:count], statistics.median(mixed[count:])))
    return statistics.fmean(held)


def _holds(medians: list[float], truth: float) -> bool:
    interval = interval_of_rounds(medians)
    return interval.low is not None and interval.high is not None and interval.low <= truth <= interval.high


@command
def main() -> None:
    """Record or read rounds, then simulate."""
    options = parser(
        __doc__, rounds=(24, "rounds to record"), images=(16, "images in each"), trials=(4000, "simulated tables")
    )
    options.add_argument(
        "--latencies", type=Path, nargs="*", default=[], help="latencies.csv of rounds, to read instead"
    )
    a = options.parse_args()
    rounds = [read_compute_s(path) for path in a.latencies]
    if not rounds:
        place = place_of(a)
        request = place.request(**place.side(a.variant))
        request["timing"] |= {"images_per_round": a.images, "max_repeats": 0}
        rounds = [
            time_round(request, 2 + number, f"round {number + 1}/{a.rounds}")["times_s"] for number in range(a.rounds)
        ]
    if len(rounds) < 2 or min(map(len, rounds)) < 2:
        raise InputError("at least two rounds with two latencies each are wanted")
    medians = [statistics.median(times) for times in rounds]
    found: dict[str, Any] = {}
    for count in (3, 6):
        found[str(count)] = {
            "simulated": simulated(rounds, a.images, count, a.trials),
            "recorded": recorded(medians, count, a.trials),
        }
    cells = [
        [count, f"{one['simulated']:.1%}", "" if one["recorded"] is None else f"{one['recorded']:.1%}"]
        for count, one in found.items()
    ]
    header = ["rounds", "intervals that contain the long-run median: simulated", "recorded rounds against the others"]
    spread = statistics.stdev(map(math.log, medians))
    leave(
        a.out, "interval_coverage", header, cells, {"coverage": found, "spread_of_medians": spread, "rounds_s": rounds}
    )


if __name__ == "__main__":
    main()
