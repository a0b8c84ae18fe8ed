"""Names for the kinds of arrays that the project passes around."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

ColourImage = npt.NDArray[np.uint8]  # H×W×3, BGR
LabelMap = npt.NDArray[np.uint8]  # H×W, trainIds
Float32Image = npt.NDArray[np.float32]  # 1×3×H×W, normalised as the model wants it
ClassMap = npt.NDArray[np.uint8]  # H×W, index of the model's output channel
