"""The real onnxruntime-gpu without a GPU: make env-onnxruntime-gpu, make test-onnxruntime-gpu."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from helpers.fatbin import PTX, SASS, architectures
from helpers.made import make_onnx_model
from segbench.engines import onnxruntime_cuda
from segbench.machine.cpu import package_version

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".venv-onnxruntime-gpu"
PYTHON = ENVIRONMENT / "bin/python"
OPEN = """
import sys
from pathlib import Path
from segbench.engines.onnxruntime_cuda import open_session
from segbench.errors import Unsupported
try:
    open_session(Path(sys.argv[1]), [(name, {}) for name in sys.argv[2:]], False)
    print("opened")
except Unsupported as error:
    print(f"unsupported: {error}")
"""


@pytest.fixture(scope="module")
def package() -> Path:
    """The folder of the installed package."""
    found = sorted(ENVIRONMENT.glob("lib/python3*/site-packages/onnxruntime"))
    if not found:
        pytest.skip("there is no .venv-onnxruntime-gpu: make env-onnxruntime-gpu")
    return found[0]


def test_the_engine_names_the_gpus_that_the_wheel_has_code_for(package):
    (code,) = onnxruntime_cuda.ENGINE.gpu_code
    version = package_version("onnxruntime-gpu", [str(package.parent)])
    assert version is not None and code.is_of(version)
    found = architectures(package / "capi/libonnxruntime_providers_cuda.so")
    assert found[SASS] == set(code.capabilities)
    assert found[PTX] == set()  # nothing that a driver could compile for other GPUs


def test_the_engine_names_the_cuda_that_the_wheel_is_built_for(package):
    ask = "from onnxruntime.capi import build_and_package_info as info; print(info.cuda_version)"
    done = subprocess.run([PYTHON, "-c", ask], capture_output=True, text=True, check=True)
    (code,) = onnxruntime_cuda.ENGINE.gpu_code
    assert tuple(map(int, done.stdout.split()[0].split(".")[:2])) == code.cuda


@pytest.mark.parametrize(
    ("providers", "lacks"),
    [
        (["CUDAExecutionProvider"], "libcuda.so.1"),
        (["TensorrtExecutionProvider", "CUDAExecutionProvider"], "libnvinfer.so.10"),
    ],
)
def test_a_provider_that_does_not_load_names_the_library_that_it_lacks(package, tmp_path, providers, lacks):
    make_onnx_model(tmp_path / "model.onnx")
    environment = {"PYTHONPATH": str(ROOT / "workflow_scripts")}
    command = [PYTHON, "-c", OPEN, tmp_path / "model.onnx", *providers]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    if "opened" in said:
        pytest.skip("this machine has the library")
    assert f"{providers[0]} does not load: {lacks}: cannot open shared object file" in said
