"""These tests are for the environment of `make env-gpu` (its own interpreter: `make test-gpu-env`)."""

from pathlib import Path

import pytest
from exported import PYTHON
from segbench.machine.cpu import package_version


@pytest.fixture(autouse=True, scope="session")
def _environment():
    if package_version("paddlepaddle-gpu") is None:
        pytest.skip("not the environment of make env-gpu: run make test-gpu-env")


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """A folder for exported models."""
    if not PYTHON.exists():
        pytest.skip("there is no .venv to export models with: make env")
    return tmp_path_factory.mktemp("models")
