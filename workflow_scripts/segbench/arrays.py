"""Names for the kinds of arrays that the project passes around."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

ColourImage = npt.NDArray[np.uint8]  # H×W×3, BGR
LabelMap = npt.NDArray[np.uint8]  # H×W, trainIds
Float32Image = npt.NDArray[np.float32]  # 1×3×H×W, normalised as the model wants it
ClassMap = npt.NDArray[np.uint8]  # H×W, index of the model's output channel
Logits = npt.NDArray[np.float32]  # C×H×W, scores of the model's output channels


def as_downloaded(output: npt.NDArray[Any]) -> ClassMap | Logits:
    """Return a copy of an engine's output: class ids of any integer type in 8 bits, logits as they are."""
    return output.astype(np.float32) if output.dtype.kind == "f" else output.astype(np.uint8)
