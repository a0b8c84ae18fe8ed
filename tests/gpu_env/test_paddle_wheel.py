"""Paddle's and TensorRT's real libraries, in the environment of `make env-gpu`; the driver is not needed.

Run by `make test-gpu-env`, in that environment's interpreter.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538
from pathlib import Path

import paddle
import paddle.inference
import pytest
from segbench.config.options import Variant
from segbench.engines import paddle_gpu, paddle_tensorrt
from segbench.engines.base import load
from segbench.errors import Unsupported
from segbench.machine.cpu import this_machine

ROOT = Path(__file__).parents[2]


def summary(config) -> dict[str, str]:
    """What the wheel itself says of a configuration."""
    rows = [line.strip("| \n").split("|") for line in config.summary().splitlines() if line.startswith("|")]
    return {row[0].strip(): row[1].strip() for row in rows if len(row) == 2}


def test_versions_agree():
    assert paddle.inference.get_trt_compile_version() == paddle.inference.get_trt_runtime_version() == (8, 5, 3)
    assert (paddle.version.cuda(), paddle.version.cudnn()) == ("11.8", "8.6.0")


@pytest.mark.parametrize(("precision", "calibrates"), [("fp32", "false"), ("fp16", "false"), ("int8", "true")])
def test_config_carries_what_the_variant_asks(tmp_path, precision, calibrates):
    exported(tmp_path)
    options = paddle_tensorrt.SubgraphOptions(min_subgraph_size=7, workspace_mb=4096)
    variant = Variant("v", "paddle_tensorrt", precision)
    config = paddle_tensorrt.tensorrt_config(tmp_path, variant, options, paddle_tensorrt.RunOptions(), serialize=True)
    told = summary(config)
    assert told["use_gpu"] == told["use_tensorrt"] == told["tensorrt_use_static_engine"] == "true"
    assert told["tensorrt_precision_mode"] == precision
    assert told["tensorrt_use_calib_mode"] == calibrates
    assert told["tensorrt_min_subgraph_size"] == "7"
    assert told["tensorrt_workspace_size"] == str(4 * 2**30)  # beyond 32 bits
    assert told["tensorrt_tuned_dynamic_shape"] == str(tmp_path / "shape_range_info.pbtxt")
    assert told["trt_runtime_version"] == "8.5.3"
    assert not config.trt_allow_build_at_runtime()
    assert config.prog_file() == str(tmp_path / "model.pdmodel")  # beside it Paddle keeps its _opt_cache
    assert not config.glog_info_disabled()  # the log proves what was loaded


def test_static_shapes_name_no_file_and_calibration_serializes_nothing(tmp_path):
    exported(tmp_path)
    options = paddle_tensorrt.SubgraphOptions(shapes="static", disabled_operators=("argmax",))
    int8 = Variant("v", "paddle_tensorrt", "int8")
    told = summary(paddle_tensorrt.tensorrt_config(tmp_path, int8, options, paddle_tensorrt.RunOptions(), False))
    assert told["tensorrt_use_static_engine"] == "false"
    assert "pbtxt" not in told.get("tensorrt_tuned_dynamic_shape", "")


def test_native_gpu_config_has_no_tensorrt(tmp_path):
    told = summary(paddle_gpu.gpu_config(tmp_path, paddle_gpu.RunOptions(memory_pool_mb=300)))
    assert (told["use_gpu"], told["use_tensorrt"]) == ("true", "false")
    assert told["memory_pool_init_size"] == "300MB"


@pytest.mark.parametrize("engine", ["paddle_gpu", "paddle_tensorrt"])
def test_everything_but_the_driver_is_here(engine):
    support = load(engine).supports(Variant("v", engine, "fp32"), this_machine())
    assert support.ok == bool(this_machine().nvidia_driver)
    assert support.ok or support.reason == "no NVIDIA driver"


@pytest.mark.parametrize(
    ("capability", "runs"), [((6, 0), False), ((6, 1), True), ((8, 6), True), ((8, 9), True), ((9, 0), False)]
)
def test_compute_capabilities_are_those_of_the_docs(monkeypatch, capability, runs):
    monkeypatch.setattr("segbench.machine.nvml.compute_capability", lambda: capability)
    machine = dataclasses.replace(this_machine(), nvidia_driver="535.104.05")
    assert load("paddle_gpu").supports(Variant("v", "paddle_gpu", "fp32"), machine).ok == runs
    for page in ("docs/use/paddle_tensorrt.md", "requirements/gpu.txt", "envs/gpu.yaml"):
        assert "compute capability 6.1 to 8.9" in " ".join((ROOT / page).read_text().split())


def test_a_machine_without_a_gpu_is_a_reason_and_no_crash(tmp_path):
    """Also where a driver is loaded, but this process may see no GPU."""
    if this_machine().nvidia_driver:
        pytest.skip("this machine has a driver")
    model = exported(tmp_path)
    with pytest.raises(Unsupported, match="no GPU is visible: no NVIDIA driver, or CUDA_VISIBLE_DEVICES hides it"):
        paddle_gpu.PaddleGPUSession(paddle_gpu.gpu_config(model, paddle_gpu.RunOptions()))


def exported(folder: Path) -> Path:
    """A convolution and what follows, saved as model.pdmodel and model.pdiparams in `folder`."""
    layer = paddle.nn.Sequential(paddle.nn.Conv2D(3, 4, 3), paddle.nn.Sigmoid())
    layer.eval()
    spec = [paddle.static.InputSpec([1, 3, 16, 16], "float32", "x")]
    paddle.jit.save(paddle.jit.to_static(layer, input_spec=spec, full_graph=True), str(folder / "model"))
    return folder


DECOY = 'extern "C" int getInferLibVersion() { return 9876; } extern "C" unsigned long cudnnGetVersion() { return 9; }'
CHILD = """
import json, sys, zlib
sys.path.insert(0, "workflow_scripts")
import paddle.inference
from segbench.machine import libraries
version = paddle.inference.get_trt_runtime_version()
try:
    libraries.check_own()
    said = ""
except Exception as error:
    said = str(error)
print(json.dumps({"version": version, "said": said, "loaded": libraries.loaded()}))
"""


def test_other_libraries_on_the_search_path_are_refused_and_do_not_reach_the_child(tmp_path, monkeypatch):
    """A library under TensorRT's name in LD_LIBRARY_PATH does beat the environment's; not in a child of ours."""
    if not shutil.which("g++"):
        pytest.skip("there is no g++ to make another library with")
    (tmp_path / "decoy.cpp").write_text(DECOY)
    for name in ("libnvinfer.so", "libcudnn.so"):
        subprocess.run(["g++", "-shared", "-fPIC", "-o", tmp_path / name, tmp_path / "decoy.cpp"], check=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    told = []
    for variables in ({}, load("paddle_tensorrt").child_variables()):
        command = [sys.executable, "-W", "ignore", "-c", CHILD]
        done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        told.append(json.loads(done.stdout.splitlines()[-1]))
    decoy, own = told
    assert f"libnvinfer was loaded from {tmp_path / 'libnvinfer.so'}, not from the environment" in decoy["said"]
    assert decoy["loaded"]["libnvinfer"] == {"file": str(tmp_path / "libnvinfer.so"), "version": 9876}
    assert (own["version"], own["said"]) == ([8, 5, 3], "")
    assert own["loaded"]["libnvinfer"]["version"] == 8503
    assert own["loaded"]["libnvinfer"]["file"].startswith(os.path.realpath(sys.prefix))
