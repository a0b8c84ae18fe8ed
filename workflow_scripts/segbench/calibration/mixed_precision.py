"""Mixed precision: the layers that INT8 hurts most go back to FP32, as many as a bound on the loss asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from segbench.arrays import ClassMap, Float32Image
from segbench.process.supervise import progress

if TYPE_CHECKING:  # rules look calibrators up: nothing heavy is imported for that
    from segbench.calibration.images import CalibrationImages

Predict = Callable[[Float32Image], ClassMap]
JUDGES = 4  # images that each layer is judged on


class Mixed(NamedTuple):
    """Layers that stay in FP32, the loss of mIoU with them there, and how many layers were ranked (None: not asked)."""

    fp32_layers: list[str]
    drop: float | None
    layer_count: int | None


def drop_of(full: float | None, kept: float | None) -> float | None:
    """What is lost of mIoU `full` where `kept` is left; None where either was not measured."""
    return None if full is None or kept is None else full - kept


def too_much(drop: float | None, bound: float | None) -> bool:
    """Whether a measured loss is beyond the bound."""
    return drop is not None and bound is not None and drop > bound


def keep_worst(
    drop: float | None,
    bound: float | None,
    rank: Callable[[], list[str]],
    drop_with: Callable[[list[str]], float | None],
) -> Mixed:
    """Put the worst 1, 2, 4, … layers back to FP32 until the loss is within `bound`, or all are.

    `drop` is the loss with every layer in INT8. `rank` gives the layers, the worst first, and is called only where that
    is too much; `drop_with` quantises the model with these layers in FP32 and measures the loss.
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
    """Share of pixels that change class when a layer alone is quantised, by layer, over the first JUDGES images.

    `exact` is the FP32 network, `with_only` makes the one in which nothing but the named layer is quantised.
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
    """Layers by what they lose, the worst first."""
    return sorted(losses, key=lambda layer: -losses[layer])
