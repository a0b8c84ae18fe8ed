"""Import TensorRT where its wheel does not find CUDA's libraries by itself."""

from __future__ import annotations

import ctypes
import importlib
import sys
from pathlib import Path
from typing import Any

from segbench.errors import Unsupported

# In the order in which they need each other. 8.5's wheel names them without saying where they are: once they are loaded
# from the folders of the nvidia-*-cu11 packages, the loader takes these.
NEEDED = ("cuda_runtime/lib/libcudart.so.11.0", "cublas/lib/libcublasLt.so.11", "cublas/lib/libcublas.so.11",
          "cudnn/lib/libcudnn.so.8")  # fmt: skip


def import_tensorrt() -> Any:
    """Module `tensorrt`. Raises Unsupported, naming the library, where one that it needs is not there."""
    for library in NEEDED:
        for folder in sys.path:
            path = Path(folder) / "nvidia" / library
            if path.exists():
                ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
                break
    try:
        return importlib.import_module("tensorrt")
    except (ImportError, OSError) as error:
        raise Unsupported(f"TensorRT cannot be imported: {error}") from error
