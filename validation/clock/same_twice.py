"""Time a variant against itself (A/A), alternating, many times. How often is the verdict not SAME?"""

from __future__ import annotations

import statistics
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from segbench.errors import InputError
from segbench.process.lifetime import command
from segbench.process.limits import Limits
from segbench.table.verdict import Ratio, time_verdict
from time_pair import time_pair

from validation.common import MARGIN, leave, parser, place_of


def spread(ratios: list[float]) -> tuple[float, float]:
    """Return the 5% and 95% quantiles (inclusive)."""
    cuts = statistics.quantiles(ratios, n=20, method="inclusive")
    return cuts[0], cuts[-1]


def trial(request: Any, name: str) -> dict[str, Any]:
    """Return one pair's record with its verdict."""
    record = time_pair(request, Limits(), name)
    if record["status"] != "ok":
        raise InputError(record["reason"])
    ratio = Ratio(record["ratio"], record["ratio_low"], record["ratio_high"], record["method"])
    verdict = time_verdict(ratio, MARGIN)
    print(f"{name}: {verdict} {ratio.value:.4f} ({ratio.low:.4f}–{ratio.high:.4f})", flush=True)
    return {**record, "verdict": verdict}


@command
def main() -> None:
    """Run all trials."""
    options = parser(__doc__, trials=(20, "trials"), rounds=(6, "processes in each"), blocks=(32, "A B B A in each"))
    options.add_argument("--apart", action="store_true", help="process by process, as two engines are")
    a = options.parse_args()
    place = place_of(a)
    request = place.request()
    request["sides"] = [place.side(a.variant), place.side(a.variant)]
    if a.apart:  # the same interpreter under another name: two interpreters alternate process by process
        request["sides"][1]["python"] = str(Path(sys.executable).with_name("python3"))
    request["timing"] |= {"rounds": a.rounds, "blocks": a.blocks, "round_s": 20, "max_repeats": 0}
    name = "same_twice_apart" if a.apart else "same_twice"
    trials = [trial(request, f"trial {number + 1}/{a.trials}") for number in range(a.trials)]
    low, high = spread([one["ratio"] for one in trials]) if a.trials > 1 else (trials[0]["ratio"],) * 2
    verdicts = Counter(one["verdict"] for one in trials)
    counts = ", ".join(f"{count} {word}" for word, count in sorted(verdicts.items()))
    disturbed = sum(bool(one["contended"] or one["throttled"]) for one in trials)
    row = [a.variant, a.trials, counts, f"{low:.4f}–{high:.4f}", disturbed]
    header = ["variant against itself", "trials", "verdicts", "ratio, 5–95%", "disturbed trials"]
    leave(a.out, name, header, [row], {"verdicts": verdicts, "low": low, "high": high, "trials": trials})


if __name__ == "__main__":
    main()
