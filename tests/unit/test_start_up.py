"""What processes of a timed job import: they start for every round, so each import is paid a hundred times a run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "workflow_scripts"
LOADED = "import json, sys; print(json.dumps(sorted(set(sys.modules) & set(json.loads(sys.argv[1])))))"


def loaded(code: str, watched: list[str]) -> list[str]:
    """Those of the modules `watched` that a fresh process has after `code`."""
    command = [sys.executable, "-c", f"{code}\n{LOADED}", json.dumps(watched)]
    done = subprocess.run(command, cwd=SCRIPTS, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("script", ["time_round", "infer"])
def test_process_that_waits_for_an_engine_imports_no_numpy(script):
    code = f"import {script}\nfrom segbench.engines import base\nfor name in base.names(): base.load(name)"
    watched = ["numpy", "cv2", "onnx", "concurrent.futures", "multiprocessing", "importlib.metadata"]
    assert loaded(code, watched) == []
