"""Put the layers that INT8 hurts most back to FP32, as many as a bound on the loss requires."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from segbench.arrays import ClassMap, Float32Image
from segbench.process.supervise import progress

if TYPE_CHECKING:  # rules look calibrators up: nothing heavy is imported for that
    from segbench.calibration.images import CalibrationImages

Predict = Callable[[Float32Image], ClassMap]
JUDGES = 4  # number of images that each layer is judged on


class Mixed(NamedTuple):
    """The layers that stay in FP32, the loss of mIoU that remains, and how many layers were ranked (None: not
    needed).
    """

    fp32_layers: list[str]
    drop: float | None
    layer_count: int | None


def drop_of(full: float | None, kept: float | None) -> float | None:
    """Return the loss from mIoU `full` to mIoU `kept`; None where either was not measured."""
    return None if full is None or kept is None else full - kept


def too_much(drop: float | None, bound: float | None) -> bool:
    """Return whether a measured loss is beyond the bound."""
    return drop is not None and bound is not None and drop > bound


def keep_worst(
    drop: float | None,
    bound: float | None,
    rank: Callable[[], list[str]],
    drop_with: Callable[[list[str]], float | None],
) -> Mixed:
    """Put the worst 1, 2, 4, … layers back to FP32 until the loss is within `bound`, or all are in FP32.

    `drop` is the loss with every layer in INT8. `rank` returns the layers, the worst first, and is called only where
    that loss is too much. `drop_with` quantises the model with given layers in FP32 and measures the loss.
    """
    ranked = rank() if too_much(drop, bound) else []
    kept: list[str] = []
    while too_much(drop, bound) and len(kept) < len(ranked):
        kept = ranked[: max(2 * len(kept), 1)]
        drop = drop_with(kept)
    return Mixed(kept, drop, len(ranked) or None)


def changed_pixels(
    images: CalibrationImages, exact: Predict, layers: list[str], with_only: Callable[[str], Predict]
) -> dict[str, float]:
    """Return by layer the share of pixels that change class when it alone is quantised, over the first JUDGES images.

    `exact` is the FP32 network. `with_only` makes the network in which only the named layer is quantised.
    """
    judges = [images[number] for number in range(min(JUDGES, len(images)))]
    expected = [exact(image) for image in judges]
    changed = {}
    for done, layer in enumerate(layers, 1):
        alone = with_only(layer)
        shares = [np.mean(alone(image) != want) for image, want in zip(judges, expected, strict=True)]
        changed[layer] = float(np.mean(shares))
        progress("finding the layers that hurt most", done, len(layers))
    return changed


def worst_first(losses: dict[str, float]) -> list[str]:
    """Sort layers by their losses, the worst first."""
    return sorted(losses, key=lambda layer: -losses[layer])
