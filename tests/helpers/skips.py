"""Skips that are seen: where everything is installed (SEGBENCH_NO_SKIPS=1, as in .ci/run) they are failures."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skip because `what` is not there; fail where it had to be."""
    if os.environ.get("SEGBENCH_NO_SKIPS") == "1":
        pytest.fail(f"{what} is missing, though everything should be installed here")
    pytest.skip(f"{what} is missing")


def need_command(name: str) -> str:
    """Path of a program, or a visible skip."""
    return shutil.which(name) or missing(f"program {name}")


def need_interpreter(folder: str, make: str) -> str:
    """Python of an environment of the project's that `make` leaves, or a visible skip."""
    python = Path(__file__).parents[2] / folder / "bin" / "python"
    return str(python) if python.exists() else missing(f"{folder} ({make})")


def need_package(name: str) -> None:
    """A visible skip where a Python package is not installed."""
    if importlib.util.find_spec(name) is None:
        missing(f"package {name}")
