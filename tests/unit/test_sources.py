"""What a job reruns for: the modules behind its script."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from segbench.planning import code

SCRIPTS = sorted(path.name for path in Path("workflow_scripts").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_takes_code_from_segbench_only(script: str) -> None:
    """Another script's code would not be among a job's inputs: its edit would rerun nothing."""
    text = Path("workflow_scripts", script).read_text()
    others = [name.removesuffix(".py") for name in SCRIPTS]
    assert not [line for line in text.splitlines() if line.split()[:2] in [["from", other] for other in others]]


def test_modules_behind_imports_and_a_chosen_engine_are_found() -> None:
    found = code.modules_of("build_engine.py", "engines/openvino.py")
    assert "workflow_scripts/segbench/engines/base.py" in found
    assert "workflow_scripts/segbench/engines/openvino.py" in found
    assert "workflow_scripts/segbench/engines/paddle.py" not in found


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements below `node`, except those for types only."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING"):
            yield child
            yield from statements(child)


def imported(path: Path) -> set[str]:
    """The modules that the syntax tree of a file imports, and the names in them."""
    names: set[str] = set()
    for node in statements(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
    return names


def files_of(names: set[str]) -> set[str]:
    local = [f"workflow_scripts/{name.replace('.', '/')}" for name in names if name.startswith("segbench.")]
    return {file for one in local for file in (f"{one}.py", f"{one}/__init__.py") if Path(file).exists()}


def test_patterns_find_the_imports_that_a_syntax_tree_has() -> None:
    paths = list(Path("workflow_scripts").rglob("*.py"))
    assert [path for path in paths if set(code._imports(str(path))) != files_of(imported(path))] == []
    assert len(paths) > 200
