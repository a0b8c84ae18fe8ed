"""NVIDIA's libraries in this process: which files were really loaded, and whether they are the environment's own.

The packages' libraries have a RUNPATH, which the loader searches after LD_LIBRARY_PATH; where a cluster's module or
CUDA's installation guide sets that, other libraries than the recorded packages would be timed.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from pathlib import Path
from typing import Any

from segbench.errors import Failed

SEARCHED = "LD_LIBRARY_PATH"
# Of the toolkit, cuDNN and TensorRT. The driver's own libcuda and libnvidia-ml come from the system, and have to.
NAMES = ("libcudart", "libcublas", "libcublasLt", "libcudnn", "libnvinfer", "libnvinfer_plugin")
LIBRARY = re.compile(rf"({'|'.join(NAMES)})\.so[.\d]*$")
VERSIONS = {"libcudnn": "cudnnGetVersion", "libnvinfer": "getInferLibVersion"}  # functions that return a number


def child_variables() -> dict[str, str]:
    """LD_LIBRARY_PATH without the folders that hold such libraries, for a process that is to load its own.

    The others stay: a container may have the driver there, a cluster's module the Python that starts.
    """
    if SEARCHED not in os.environ:
        return {}
    folders = [folder for folder in os.environ[SEARCHED].split(":") if folder]
    return {SEARCHED: ":".join(folder for folder in folders if not _holds_libraries(Path(folder)))}


def loaded() -> dict[str, Any]:
    """File and, where it tells one, version number of each of NAMES that this process has loaded."""
    found: dict[str, Any] = {}
    for name, path in _mapped().items():
        found[name] = {"file": path}
        if name in VERSIONS:
            ask = getattr(ctypes.CDLL(path), VERSIONS[name])
            ask.restype = ctypes.c_size_t if name == "libcudnn" else ctypes.c_int
            found[name]["version"] = ask()
    return found


def check_own(prefix: str = sys.prefix) -> None:
    """Raises Failed where one of NAMES was loaded from outside of the environment `prefix`."""
    own = Path(prefix).resolve()
    for name, path in _mapped().items():
        if not Path(path).resolve().is_relative_to(own):
            raise Failed(
                f"{name} was loaded from {path}, not from the environment {own}: other libraries than the recorded"
                f" packages would be timed; unset {SEARCHED} and LD_PRELOAD, and run again"
            )


def _mapped() -> dict[str, str]:
    """Path by name of the libraries that are mapped into this process."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:  # no Linux: not known
        return {}
    paths = sorted({line.split(maxsplit=5)[5] for line in lines if "/" in line and len(line.split(maxsplit=5)) == 6})
    return {match[1]: path for path in paths if (match := LIBRARY.match(os.path.basename(path)))}


def _holds_libraries(folder: Path) -> bool:
    try:
        return any(LIBRARY.match(name) for name in os.listdir(folder))
    except OSError:  # not there, or not to be read: the loader finds nothing in it either
        return False
