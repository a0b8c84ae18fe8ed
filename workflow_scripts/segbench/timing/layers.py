"""Times of an engine's layers as they are kept: one median per layer, in running order, and how far they add up."""

from __future__ import annotations

import statistics
from typing import TypedDict

from segbench.engines.base import LayerTimes


class Layer(TypedDict):
    """One executed node. The texts are those of `LayerTimes`."""

    name: str
    kind: str
    kernel: str
    precision: str
    stands_for: list[str]
    median_s: float
    low_s: float  # quartiles over the runs
    high_s: float


class Profile(TypedDict):
    """The layers of a row: the keys of layers.json beside its status."""

    runs: int
    run_s: float  # median of a whole run while the profiler was on
    layers: list[Layer]


def profile_of(layers: list[LayerTimes], runs_s: list[float]) -> Profile:
    """Return the layers of the last runs. `runs_s` are the times of these, two at least. Earlier runs were warm-up.

    A layer that some run left out counts as 0 s there, since an engine tells of executed nodes only.
    """
    count = len(runs_s)
    found: list[Layer] = []
    for layer in layers:
        seconds = [0.0] * (count - len(layer.seconds)) + list(layer.seconds[-count:])
        low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive")
        found.append(
            {
                "name": layer.name,
                "kind": layer.kind,
                "kernel": layer.kernel,
                "precision": layer.precision,
                "stands_for": list(layer.stands_for),
                "median_s": middle,
                "low_s": low,
                "high_s": high,
            }
        )
    return {"runs": count, "run_s": statistics.median(runs_s), "layers": found}
