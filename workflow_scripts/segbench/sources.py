"""Which modules a script is made of, so that an edit reruns the jobs it touches and no others."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

SCRIPTS = Path("workflow_scripts")


def modules_of(script: str, chosen: str | None = None) -> list[str]:
    """Files of `segbench` that `script` imports, directly or not, and those of file `chosen` below it (an engine's or a
    calibrator's, loaded by name); sorted, relative paths."""
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


@functools.cache
def _imports(path: str) -> tuple[str, ...]:
    """Local files behind the import statements of one file, those inside functions included, those for types not."""
    names: set[str] = set()
    for node in _walk(ast.parse(Path(path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return tuple(file for name in sorted(names) if name.startswith("segbench.") if (file := _file(name)))


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """As `ast.walk`, without what stands under `if TYPE_CHECKING`: it is never run."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING"):
            yield from _walk(child)


def _file(module: str) -> str | None:
    """Path of a module of ours; None for a package's folder without content or a name that is no module."""
    path = SCRIPTS.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.exists():
            return str(candidate)
    return None
