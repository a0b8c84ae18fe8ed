"""The stages of an image as they are kept: what a row's images took from the file to the class map, stage by stage."""

from __future__ import annotations

import statistics
from typing import TypedDict

STAGES = ("decode", "resize and normalise", "copy in", "network", "copy out")


class Summary(TypedDict):
    """Seconds of a stage, or of all: the median over images and passes, and the quartiles."""

    median_s: float
    low_s: float
    high_s: float


class StageTimes(TypedDict):
    """The facts of a row's stages, beside the status of its record."""

    runs: int  # images run in stages, and as many as a whole
    file_kinds: list[str]  # of the images: png, jpg
    file_bytes: int  # of an image, the median
    head: str  # of the model: with `logits` the host makes the class map, in the network's time
    stages: dict[str, Summary]  # by the names of `STAGES`
    sum: Summary  # of an image's stages: medians of stages add up to less where a machine is disturbed
    end_to_end: Summary  # of images that had one clock around everything
    contended: bool | None  # others took the machine; None: not known
    throttled: bool | None


def summary_of(seconds: list[float]) -> Summary:
    """Return median and quartiles of at least two times."""
    low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return {"median_s": middle, "low_s": low, "high_s": high}
