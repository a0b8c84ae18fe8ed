"""The rooms of `segbench/`: a module imports only from its own room and from those below it."""

from __future__ import annotations

import ast
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "workflow_scripts"
ROOMS = (
    "report", "table", "planning", "timing", "engines", "calibration", "runtimes", "models", "scoring", "datasets",
    "images", "config", "process", "machine", "",
)  # fmt: skip
# Calibrators that have to run an engine: nothing else may look up.
UPWARD = {("segbench.calibration.paddle", "engines"), ("segbench.calibration.paddle_tensorrt", "engines")}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(SCRIPTS).with_suffix("").parts)


def room_of(module: str) -> str:
    """The folder below `segbench` that a module lies in; "" for the modules that every room may use."""
    parts = module.split(".")
    return parts[1] if len(parts) > 2 or (len(parts) == 2 and (SCRIPTS / "segbench" / parts[1]).is_dir()) else ""


def imported(path: Path) -> set[str]:
    """Modules of the project that a file imports, those inside functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {
                name if (SCRIPTS / name.replace(".", "/")).with_suffix(".py").exists() else node.module
                for name in names
            }
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split(".")[0] in ("segbench", "demo")}


ARROWS = {module_of(path): imported(path) for path in sorted((SCRIPTS / "segbench").rglob("*.py"))}


def test_every_room_is_in_the_list():
    assert {room_of(module) for module in ARROWS if not module.endswith("__init__")} == set(ROOMS)


def test_no_module_imports_from_a_room_above_its_own():
    upward = {
        (module, room_of(target))
        for module, targets in ARROWS.items()
        for target in targets
        if ROOMS.index(room_of(target)) < ROOMS.index(room_of(module))
    }
    assert upward == UPWARD


def test_the_library_does_not_know_the_demo():
    assert not [(module, targets) for module, targets in ARROWS.items() if any(t.startswith("demo") for t in targets)]


def test_no_module_imports_itself_through_others():
    def reached(module: str) -> set[str]:
        seen, todo = set(), [module]
        while todo:
            for target in ARROWS.get(todo.pop(), ()):
                if target not in seen:
                    seen.add(target)
                    todo.append(target)
        return seen

    assert [module for module in ARROWS if module in reached(module)] == []
