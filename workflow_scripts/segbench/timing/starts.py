"""Time one start of a row in this process: from nothing to the first class map, and on until the times are steady."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from typing import TypedDict

from segbench.images.index import read_index
from segbench.timing import clock
from segbench.timing.job import choose_images, open_engine
from segbench.timing.request import Request


class StartRequest(Request):
    """The request of a job of one start."""

    tell_files: bool  # whether to return the framework's files


class StartFacts(TypedDict):
    """What a start took, in seconds."""

    begun_s: float  # from the start of the process until Python, numpy, OpenCV and SegBench were there (to 10 ms)
    framework_s: float | None  # importing the framework; None: on a GPU it is not told apart
    open_s: float  # that, and loading the engine
    first_image_s: float  # `end_to_end_s` of the first image
    first_mask_s: float  # `open_s` and `first_image_s`
    warm_up_runs: int  # runs until the times were steady or a bound was reached, the first one included
    warm_up_settled: bool | None  # whether they were steady then; None: there were too few runs to say
    files: list[str]  # that it used from then on, where they were asked for: the framework's


def time_start(request: StartRequest) -> StartFacts:
    """Open the engine in this fresh process and run images until their times are steady."""
    begun_s = clock.process_age_s()
    ours = set(files_in_use()) if request["tell_files"] else set()
    opened, timing = open_engine(request, as_start=True), request["timing"]
    images = itertools.cycle(choose_images(read_index(request["index"]), timing))
    first: list[float] = []

    def run() -> float:
        ran = clock.time_once(opened.session, opened.image(next(images)))
        if not first:
            first.append(ran.end_to_end_s)
        return ran.compute_s

    with clock.quiet():
        runs, settled = clock.warm_up(run, clock.WarmUp(**timing["warm_up"]))
    return {
        "begun_s": begun_s,
        "framework_s": opened.framework_s,
        "open_s": opened.open_s,
        "first_image_s": first[0],
        "first_mask_s": opened.open_s + first[0],
        "warm_up_runs": runs,
        "warm_up_settled": settled,
        "files": sorted(set(files_in_use()) - ours) if request["tell_files"] else [],
    }


def files_in_use() -> Iterator[str]:
    """Return the files that this process has its code from: libraries and programs that it has mapped, and its Python
    modules.
    """
    with open("/proc/self/maps") as stream:
        fields = [line.rstrip("\n").split(maxsplit=5) for line in stream]
    found = {one[5] for one in fields if len(one) > 5 and "x" in one[1]}
    for module in list(sys.modules.values()):
        spec = getattr(module, "__spec__", None)
        compiled = spec and getattr(spec, "cached", None)
        found.add((compiled if compiled and os.path.exists(compiled) else spec and spec.origin) or "")
    return filter(os.path.isfile, found)
