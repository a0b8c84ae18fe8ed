"""NVIDIA's libraries of another place neither reach an engine's process nor go unnoticed there."""

import ctypes
import os
import subprocess
import sys

from segbench.engines.base import load
from segbench.machine import libraries


def test_folders_with_such_libraries_leave_the_search_path_and_others_stay(tmp_path, monkeypatch):
    decoy, driver = tmp_path / "cuda", tmp_path / "driver"
    for folder, name in ((decoy, "libnvinfer.so"), (driver, "libcuda.so.1")):
        folder.mkdir()
        (folder / name).write_bytes(b"")
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{decoy}::{driver}:{tmp_path / 'missing'}")
    wanted = {"LD_LIBRARY_PATH": f"{driver}:{tmp_path / 'missing'}"}
    assert libraries.child_variables() == wanted == load("paddle_tensorrt").child_variables()
    assert load("paddle").child_variables() == {}
    monkeypatch.delenv("LD_LIBRARY_PATH")
    assert libraries.child_variables() == {}


def test_library_of_another_place_is_found_in_the_process_and_refused(tmp_path):
    """A real shared library of that name, loaded in a process of its own."""
    code = (
        "import ctypes, sys; sys.path.insert(0, 'workflow_scripts')\n"
        "from segbench.machine import libraries\n"
        "assert libraries.loaded() == {}; libraries.check_own()\n"
        "ctypes.CDLL(sys.argv[1])\n"
        "print(libraries.loaded())\n"
        "libraries.check_own(sys.argv[2])\n"
        "libraries.check_own()"
    )
    path = tmp_path / "libcudart.so.12"
    path.write_bytes(_file_of("libz.so.1"))
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == str({"libcudart": {"file": str(path)}})
    assert f"Failed: libcudart was loaded from {path}, not from the environment" in done.stderr


def _file_of(library: str) -> bytes:
    """The bytes of a small library that the loader finds."""
    ctypes.CDLL(library)
    with open("/proc/self/maps") as stream:
        path = next(line.split()[-1] for line in stream if os.path.basename(line.split()[-1]).startswith("libz."))
    with open(path, "rb") as stream:
        return stream.read()
