"""Find the modules that a script consists of, so that an edit reruns the jobs it touches and no others."""

from __future__ import annotations

import functools
import hashlib
import re
from pathlib import Path

SCRIPTS = Path("workflow_scripts")

_IMPORT = re.compile(
    r"^[ \t]*(?:from (segbench[\w.]*) import (?:\(([^)]*)\)|([^\n#]*))|import (segbench\.[\w.]+))", re.MULTILINE
)
_TYPES_ONLY = re.compile(r"^if TYPE_CHECKING:.*\n(?:(?:[ \t].*)?\n)*", re.MULTILINE)  # a block that never runs


def modules_of(script: str, chosen: str | None = None) -> list[str]:
    """Return the files of `segbench` that `script` imports, directly or not, as sorted relative paths. `chosen` is
    the file of an engine or calibrator that is loaded by name; it and its imports are added.
    """
    found: set[str] = set()
    todo = [str(SCRIPTS / script)]
    if chosen:
        todo.append(str(SCRIPTS / "segbench" / chosen))
        found.add(todo[-1])
    while todo:
        for path in _imports(todo.pop()):
            if path not in found:
                found.add(path)
                todo.append(path)
    return sorted(found)


def engine_digest(engine: str) -> str:
    """Return a short digest of the modules that open and run an engine: its file, and what it imports of `engines` and
    `runtimes`.
    """
    file = f"engines/{engine}.py"
    rooms = tuple(f"{SCRIPTS}/segbench/{room}/" for room in ("engines", "runtimes"))
    found = hashlib.sha256()
    for path in modules_of(f"segbench/{file}", file):
        if path.startswith(rooms):
            found.update(path.encode() + Path(path).read_bytes())
    return found.hexdigest()[:12]


@functools.cache
def _imports(path: str) -> tuple[str, ...]:
    """Return the local files that one file imports, also inside functions, but not for types only.

    Patterns find what a syntax tree would, in a sixth of the time, whenever a workflow is planned.
    """
    names: set[str] = set()
    for found in _IMPORT.finditer(_TYPES_ONLY.sub("", Path(path).read_text(encoding="utf-8"))):
        package, in_brackets, in_line, module = found.groups()
        names.add(module or package)
        names.update(f"{package}.{name}" for name in re.findall(r"\w+", in_brackets or in_line or ""))
    return tuple(file for name in sorted(names) if name.startswith("segbench.") if (file := _file(name)))


def _file(module: str) -> str | None:
    """Return the path of a local module. None: an empty package, or a name that is no module."""
    path = SCRIPTS.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.exists():
            return str(candidate)
    return None
