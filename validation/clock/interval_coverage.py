"""Does the 95% interval of a row contain the truth while the machine drifts? For 3 and for 6 rounds.

Blocks are recorded by the workflow's own job: a round of the variant and one of the control, one behind the other. Each
window of rounds that follow each other is then held against the median of all others: as measured, and as the ratio to
the control. A simulation draws rounds that drift as far as the recorded ones (an autoregressive process).
"""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
from segbench.process.lifetime import command
from segbench.timing.intervals import Scatter, interval_of_rounds, scatter_of

from validation.common import leave, parser, place_of, time_round

DRIFTS = (0.0, 0.5, 0.8, 0.95)  # correlation of the machine's speed in blocks that follow each other


def in_blocks_of_time(figures: list[float], count: int, known: Scatter | None = None) -> float | None:
    """Return the share of windows of `count` figures in a row whose interval contains the median of all others. None:
    there are fewer than twice as many. `known`: the scatter of the control's rounds.
    """
    if len(figures) < 2 * count:
        return None
    windows = range(len(figures) - count + 1)
    return statistics.fmean(
        _holds(figures[at : at + count], statistics.median(figures[:at] + figures[at + count :]), known)
        for at in windows
    )


def drifting(count: int, correlation: float, drift: float, noise: float, trials: int, seed: int = 0) -> list[float]:
    """Return the shares of trials in which the interval of `count` rounds contains the truth, as measured and as the
    ratio to a control.

    The logarithms of the speed's drift and of each round's own noise have these standard deviations.
    """
    random = np.random.default_rng(seed)
    held = np.zeros(2)
    for _ in range(trials):
        speed = [random.normal(0, drift)]
        while len(speed) < count:
            speed.append(correlation * speed[-1] + random.normal(0, drift * math.sqrt(1 - correlation**2)))
        timed, control = np.exp(np.array(speed) + random.normal(0, noise, (2, count)))
        held += [_holds(list(timed), 1.0), _holds(list(timed / control), 1.0)]
    return list(held / trials)


def _holds(figures: list[float], truth: float, known: Scatter | None = None) -> bool:
    interval = interval_of_rounds(figures, known)
    return interval.low is not None and interval.high is not None and interval.low <= truth <= interval.high


@command
def main() -> None:
    """Record blocks, then simulate."""
    options = parser(__doc__, blocks=(24, "blocks to record"), trials=(4000, "simulated rows"))
    options.add_argument("--control", default="openvino-fp32", help="its variant (default: %(default)s)")
    a = options.parse_args()
    place = place_of(a)
    requests = [place.request(**place.side(name)) for name in (a.variant, a.control)]
    blocks = [
        [time_round(request, number + 1, f"block {number + 1}/{a.blocks}")["median_s"] for request in requests]
        for number in range(a.blocks)
    ]
    measured, ratios = [timed for timed, _ in blocks], [timed / control for timed, control in blocks]
    spread, of_ratios = (statistics.stdev(map(math.log, figures)) for figures in (measured, ratios))
    noise = of_ratios / math.sqrt(2)
    drift = math.sqrt(max(spread**2 - noise**2, 0.0))
    found: list[dict[str, Any]] = []
    for count in (3, 6):
        recorded = [in_blocks_of_time(figures, count) for figures in (measured, ratios)]
        found.append({"rounds": count, "of": "recorded, in blocks of time", "held": recorded})
        control = scatter_of([control for _, control in blocks])
        wider = [in_blocks_of_time(measured, count, control), None]
        found.append({"rounds": count, "of": "the same, no narrower than by the control", "held": wider})
        for correlation in DRIFTS:
            held = drifting(count, correlation, drift, noise, a.trials)
            found.append({"rounds": count, "of": f"simulated drift, correlation {correlation}", "held": held})
    cells = [
        [one["rounds"], one["of"], *("" if share is None else f"{share:.1%}" for share in one["held"])] for one in found
    ]
    header = ["rounds", "rows", "intervals that hold: as measured", "as the ratio to the control"]
    record = {"found": found, "spread": spread, "spread_of_ratios": of_ratios, "blocks_s": blocks}
    leave(a.out, "interval_coverage", header, cells, record)
    print(f"Standard deviation of logarithms: {spread:.3f} as measured, {of_ratios:.3f} as the ratio to the control")


if __name__ == "__main__":
    main()
