"""These tests are for the environment of `make env-gpu` (its own interpreter: `make test-gpu-env`)."""

import pytest
from segbench.machine.cpu import package_version


@pytest.fixture(autouse=True, scope="session")
def _environment():
    if package_version("paddlepaddle-gpu") is None:
        pytest.skip("not the environment of make env-gpu: run make test-gpu-env")
