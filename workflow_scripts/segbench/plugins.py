"""Find plug-ins: the modules of a folder that define one object, such as `ENGINE`. A new file is a new plug-in."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Any


def names(folder: str, attribute: str) -> list[str]:
    """Return the modules of the package `folder` that define `attribute`, sorted. Helper modules do not define it."""
    here = Path(__file__).parents[1].joinpath(*folder.split("."))
    modules = sorted(module.name for module in pkgutil.iter_modules([str(here)]))
    return [name for name in modules if hasattr(importlib.import_module(f"{folder}.{name}"), attribute)]


def load(folder: str, attribute: str, name: str) -> Any:
    """Return `attribute` of the module `name` in the package `folder`."""
    return getattr(importlib.import_module(f"{folder}.{name}"), attribute)
