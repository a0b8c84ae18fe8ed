"""Find plug-ins: the modules of a folder that define one object, such as `ENGINE`. A new file is a new plug-in."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import Any

from segbench.errors import InputError, one_line


def names(folder: str, attribute: str) -> list[str]:
    """Return the modules of the package `folder` that define `attribute`, sorted. Helper modules do not define it."""
    modules = sorted(module.name for module in pkgutil.iter_modules([str(_path(folder))]))
    return [name for name in modules if hasattr(_module(folder, name), attribute)]


def exists(folder: str, attribute: str, name: str) -> bool:
    """Return whether `names` has `name`. It imports no other module: some helpers import what planning does without."""
    return (_path(folder) / f"{name}.py").is_file() and hasattr(_module(folder, name), attribute)


def load(folder: str, attribute: str, name: str) -> Any:
    """`attribute` of the module `name` in the package `folder`."""
    return getattr(_module(folder, name), attribute)


def _path(folder: str) -> Path:
    return Path(__file__).parents[1].joinpath(*folder.split("."))


def _module(folder: str, name: str) -> ModuleType:
    """The module `name` of the package `folder`. Raises InputError, naming the file, where it cannot be imported."""
    try:
        return importlib.import_module(f"{folder}.{name}")
    except Exception as error:
        file = f"workflow_scripts/{folder.replace('.', '/')}/{name}.py"
        raise InputError(f"{file}: cannot be imported: {type(error).__name__}: {one_line(str(error))}") from error
