"""Find the modules that a script consists of, so that an edit reruns the jobs it touches and no others."""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

SCRIPTS = Path("workflow_scripts")
PACKAGES = ("segbench.", "demo.")
TYPES_ONLY = "TYPE_CHECKING"


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
    """Return the local files that one file imports, also inside functions, but not for types only."""
    names: set[str] = set()
    for node in _statements(ast.parse(Path(path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return tuple(file for name in sorted(names) if name.startswith("segbench.") if (file := _file(name)))


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all statements below `node`, except those under `if TYPE_CHECKING`, which never run.

    `ast.walk` would visit every expression too. That is ten times as many nodes whenever a workflow is planned.
    """
    for block in ("body", "orelse", "finalbody", "handlers", "cases"):
        for child in getattr(node, block, ()):
            yield child
            if not (isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == TYPES_ONLY):
                yield from _statements(child)


def _file(module: str) -> str | None:
    """Return the path of a local module. None: an empty package, or a name that is no module."""
    path = SCRIPTS.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.exists():
            return str(candidate)
    return None
