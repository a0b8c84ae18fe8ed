"""Put the layers that INT8 hurts most back to FP32, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from segbench.arrays import ClassMap, Float32Image

Predict = Callable[[Float32Image], ClassMap]


class Candidate(NamedTuple):
    """A quantised network: the layers that it keeps in FP32, its class maps, and what its maker needs to save it."""

    fp32_layers: list[str]
    predict: Predict
    made: Any = None


def first_1_2_4(layers: list[str]) -> Iterator[list[str]]:
    """Yield the first 1, 2, 4, … of these layers, and at the end all of them."""
    count = 1
    while count < len(layers):
        yield layers[:count]
        count *= 2
    if layers:
        yield layers


def worst_first(losses: dict[str, float]) -> list[str]:
    """Sort layers by their losses, the worst first."""
    return sorted(losses, key=lambda layer: -losses[layer])
