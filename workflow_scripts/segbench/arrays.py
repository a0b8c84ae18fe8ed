"""Names for the kinds of arrays that the project passes around.

Engines import this, and so do the processes that only wait for one: numpy would be most of what starting these costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

ColourImage: TypeAlias = "npt.NDArray[np.uint8]"  # H×W×3, BGR
LabelMap: TypeAlias = "npt.NDArray[np.uint8]"  # H×W, trainIds
Float32Image: TypeAlias = "npt.NDArray[np.float32]"  # 1×3×H×W, normalised as the model wants it; N×3×H×W of a batch
ClassMap: TypeAlias = "npt.NDArray[np.uint8]"  # H×W, index of the model's output channel; N×H×W of a batch
Logits: TypeAlias = "npt.NDArray[np.float32]"  # C×H×W, scores of the model's output channels

# Share of pixels on which two forms of one FP32 network have the same class at least. Rounding moves a few.
SAME_NETWORK = 0.9995


def agreement(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> float:
    """Return the share of pixels on which class maps (of one image, or of several) are equal."""
    return float((first == second).mean())


def as_class_map(output: ClassMap | Logits) -> ClassMap:
    """Return a class map as it is, and of logits the class of the highest."""
    return output.argmax(0).astype("uint8") if output.ndim == 3 else output.astype("uint8")


def without_batch(output: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an engine's output of one image without the axis of images, and that of a batch as it is."""
    return output[0] if len(output) == 1 else output


def as_downloaded(output: npt.NDArray[Any]) -> ClassMap | Logits:
    """Return a copy of an engine's output: class ids of any integer type in 8 bits, logits as they are."""
    return output.astype("float32") if output.dtype.kind == "f" else output.astype("uint8")
