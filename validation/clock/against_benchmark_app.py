"""Compare our images per second with those of OpenVINO's own benchmark_app, from its wheel.

Both run the same built engine on the same cores with as many streams and threads, and in the same arithmetic, which for
what an INT8 engine does not quantise is FP32. They take turns, ours, theirs, theirs, ours, so that a drift of the
machine hits both alike. benchmark_app fills its inputs with random numbers, and leaves the class maps where they are.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from segbench.engines.openvino import ENGINE_FILE, HINTS
from segbench.errors import InputError
from segbench.machine import topology
from segbench.process.lifetime import command
from segbench.timing.clock import WarmUp

from validation.common import AGREEMENT, Place, agreement, agreement_cells, leave, parser, place_of, time_round

APP = "from openvino.tools.benchmark.main import main; main()"
RATE = re.compile(r"Throughput:\s+([\d.]+) FPS")


def ours(request: dict[str, Any], number: int, name: str) -> tuple[float, int]:
    """Return our images per second, counted over the whole round as benchmark_app counts them, and the threads."""
    found = time_round(request, number, name)
    return 1 / statistics.fmean(found["times_s"]), int(found["environment"]["threads"])


def theirs(side: dict[str, Any], threads: int, seconds: float) -> float:
    """Return benchmark_app's images per second."""
    streams = side["variant"].get("streams", 1)
    options: dict[str, object] = {
        "m": Path(side["engine"]) / ENGINE_FILE, "d": "CPU", "hint": "none",
        "infer_precision": HINTS[side["variant"]["precision"]], "nstreams": streams, "nireq": streams,
        "nthreads": threads, "t": max(1, round(seconds)), "api": "async" if streams > 1 else "sync",
    }  # fmt: skip
    arguments = [str(part) for key, value in options.items() for part in (f"-{key}", value)]
    cores = topology.cores(topology.read_cpus())[:threads]
    done = subprocess.run(
        [sys.executable, "-c", APP, *arguments], capture_output=True, text=True, check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )  # fmt: skip
    return rate_of(done.stdout + done.stderr)


def rate_of(printed: str) -> float:
    """Return the images per second that benchmark_app printed. Raises InputError where there are none."""
    found = RATE.search(printed)
    if not found:
        raise InputError(f"benchmark_app printed no throughput: {' '.join(printed.split())[-300:]}")
    return float(found.group(1))


def compare(place: Place, side: dict[str, Any], blocks: int, seconds: float) -> dict[str, Any]:
    """Time a variant by both in turn. Return their images per second and the ratio, theirs over ours."""
    variant = side["variant"]["name"]
    if side["variant"]["engine"] != "openvino":
        raise InputError(f"{variant}: benchmark_app runs engine openvino, not {side['variant']['engine']}")
    request = place.request(**side)
    request["timing"] |= {"round_min_s": seconds, "warm_up": vars(WarmUp(max_s=2.0))}
    rates: dict[str, list[float]] = {"ours": [], "theirs": []}
    for number in range(1, blocks + 1):
        first, threads = ours(request, 2 * number - 1, variant)
        both = [theirs(side, threads, seconds) for _ in range(2)]
        second, _ = ours(request, 2 * number, variant)
        rates["ours"].append(statistics.geometric_mean((first, second)))
        rates["theirs"].append(statistics.geometric_mean(both))
    return {**rates, **agreement(rates["theirs"], rates["ours"])}


@command
def main() -> None:
    """Time the named variants."""
    options = parser(
        __doc__,
        variants=("openvino-fp32,openvino-fp32-b4,openvino-fp32-s2", "built variants of engine openvino, by commas"),
        blocks=(6, "turns of ours, theirs, theirs, ours; three at least"),
        seconds=(3.0, "seconds of each"),
    )
    a = options.parse_args()
    place = place_of(a)
    sides = {name: place.side(name) for name in a.variants.split(",")}  # tells of one that is not built before it times
    records = {name: compare(place, side, a.blocks, a.seconds) for name, side in sides.items()}
    cells = [
        [
            name,
            *(f"{statistics.geometric_mean(one[who]):.2f}" for who in ("ours", "theirs")),
            *agreement_cells(one),
        ]
        for name, one in records.items()
    ]
    header = ["variant", "our images/s", "benchmark_app's", "theirs / ours", *AGREEMENT]
    leave(a.out, "against_benchmark_app", header, cells, records)


if __name__ == "__main__":
    main()
