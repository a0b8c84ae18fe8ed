"""What a job reruns for: the modules behind its script."""

from __future__ import annotations

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
