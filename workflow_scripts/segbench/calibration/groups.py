"""Deal the layers of a network to groups, so that each group's precision can be switched as a whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from segbench.calibration.base import Operator


class LayerGroup(NamedTuple):
    """Layers that follow each other in the graph, and the seconds that a profiled run spends there."""

    layers: list[str]
    seconds: float


def in_groups(
    operators: list[Operator], profiled: Iterable[tuple[Iterable[str], float]], count: int
) -> list[LayerGroup]:
    """Deal the layers in the graph's order to `count` groups at most that take about the same time.

    Groups that follow each other keep conversions few: only their edges have some. `profiled` has names and seconds of
    each executed node. One that is no layer counts for the layer before it. Where no name is known, as of Paddle's
    operators, all layers count the same.
    """
    place = {name: at for at, operator in reversed(list(enumerate(operators))) for name in operator.names}
    seconds = [0.0] * len(operators)
    for names, took in profiled:
        # ONNX Runtime marks nodes that its blocked layout runs in.
        known = [place[name] for name in (one.removesuffix("_nchwc") for one in names) if name in place]
        if known:
            seconds[max(known)] += took
    took_by: dict[str, float] = {}
    layer = ""
    for operator, took in zip(operators, seconds, strict=True):
        layer = operator.layer or layer
        if layer:
            took_by[layer] = took_by.get(layer, 0.0) + took
    whole = sum(took_by.values())
    groups: dict[int, LayerGroup] = {}
    before, waiting = 0.0, list[str]()
    for layer, took in took_by.items():
        share = took / whole if whole else 1 / len(took_by)
        waiting.append(layer)
        if share:
            number = min(count - 1, int((before + share / 2) * count))
            layers, so_far = groups.get(number, LayerGroup([], 0.0))
            groups[number] = LayerGroup([*layers, *waiting], so_far + took)
            waiting = []
        before += share
    found = list(groups.values())
    if found:
        found[-1].layers.extend(waiting)
    return found
