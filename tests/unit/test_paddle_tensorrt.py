"""Calibration tables, serialized engines and logs of Paddle-TensorRT: every way its `_opt_cache` can go wrong ends in
the right files or a clear reason.

What Paddle's real libraries do with these networks is tested in `tests/gpu_env`. The simulation here stands where the
driver would be called, for what no machine without a GPU can show: the files that a build leaves to the next process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.paddle_made import save_network
from segbench.calibration import paddle_tensorrt as calibration
from segbench.config.options import Variant
from segbench.engines import paddle_gpu, paddle_tensorrt
from segbench.errors import Failed, InputError, Unsupported
from segbench.files import manifest_of, sha256_of, write_json
from segbench.models.exported import ExportedModel
from segbench.runtimes.paddle import engine_cache, inference_log
from segbench.runtimes.paddle.program import without_cast

TABLE = "TRT-8503-EntropyCalibration2\nimage: 3c010a14\nconv2d_0.tmp_0: 3d1a2b3c\n"
HERE = {"gpu": "Made GPU", "compute_capability": "8.6", "driver": "535.1", "tensorrt": "8.5.3", "paddle": "2.6.2"}
INT8 = Variant("paddle_tensorrt-int8", "paddle_tensorrt", "int8")
FP16 = Variant("paddle_tensorrt-fp16", "paddle_tensorrt", "fp16")
PASS = "I0101 00:00:00.000000 1 tensorrt_subgraph_pass.cc:1] "
SUBGRAPH = PASS + "---  detect a sub-graph with 40 nodes\n"
LOADED = PASS + "Load TRT Optimized Info from _opt_cache/trt_serialized_1\n"


class SimulatedPaddle:
    """A predictor with one subgraph over a folder: what Paddle 2.6.2 leaves there and logs. `key` ends the names of its
    files, as this process computes it."""

    key = "1"
    says = b""  # what TensorRT writes while it runs

    def __init__(self, config) -> None:
        self.cache, self.calibrates, self.has_run = config.folder / "_opt_cache", False, False
        self.cache.mkdir(exist_ok=True)
        os.write(2, SUBGRAPH.encode())
        engine = self.cache / f"trt_serialized_{self.key}"
        if config.int8 and not (self.cache / f"trt_calib_{self.key}").exists():
            self.calibrates = True
            os.write(2, f"{PASS}RUN Paddle TRT int8 calibration mode...\n".encode())
        elif engine.exists():
            os.write(2, LOADED.encode())
        elif config.serialize:
            os.write(2, f"{PASS}Prepare TRT engine (Optimize model structure, …\n".encode())
            engine.write_bytes(b"a serialized engine")

    def upload(self, image) -> None:
        assert image.dtype == np.float32

    def execute(self) -> None:
        self.has_run = True
        os.write(2, self.says)

    def synchronize(self) -> None:
        pass

    def __del__(self) -> None:
        if self.calibrates and self.has_run:
            (self.cache / f"trt_calib_{self.key}").write_text(TABLE)


@pytest.fixture
def paddle_simulated(monkeypatch):
    """The simulation's class, a fresh one: set its attributes."""

    class Simulated(SimulatedPaddle):
        pass

    def config(folder, variant, options, run_options, serialize):
        return SimpleNamespace(folder=folder, int8=variant.precision == "int8", serialize=serialize)

    for module in (paddle_tensorrt, calibration):
        monkeypatch.setattr(module, "tensorrt_config", config)
    monkeypatch.setattr(paddle_gpu, "PaddleGPUSession", Simulated)
    monkeypatch.setattr(calibration, "PaddleGPUSession", Simulated)
    monkeypatch.setattr(paddle_tensorrt, "identity", lambda: dict(HERE))
    for name in ("GLOG_vmodule", "GLOG_minloglevel", "NVIDIA_TF32_OVERRIDE", "FLAGS_cudnn_exhaustive_search"):
        monkeypatch.setitem(os.environ, name, "")  # set by the engine; put back afterwards
    return Simulated


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Path:
    """A convolution with the argmax and the cast that every exported model ends in."""
    folder = tmp_path_factory.mktemp("network")
    return save_network(folder / "model", lambda x: x.argmax(axis=1, dtype="int32").cast("uint8"), size=(16, 32))


@pytest.fixture
def model(tmp_path, network) -> ExportedModel:
    """The exported model with a file of its shapes, which the simulation does not read."""
    folder = tmp_path / "model"
    folder.mkdir()
    for path in (network, network.with_suffix(".pdiparams")):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "shape_range_info.pbtxt").write_text("shapes")
    write_json(folder / "shapes.json", {"status": "ok", "sha256": sha256_of(folder / "shape_range_info.pbtxt")})
    return ExportedModel(folder, {"input": {"height": 16, "width": 32}, "files": {}})


def calibrate(model: ExportedModel, out: Path, **options) -> Path:
    """Folder of a calibration, as the rule leaves it."""
    tables, cache = out / "tables", out / "cache"
    cache.mkdir(parents=True)
    task = SimpleNamespace(model=model, images=[np.zeros((1, 3, 16, 32), np.float32)], cache=cache)
    calibration.CALIBRATOR.calibrate(task, calibration.Options(**options), tables)
    assert list(cache.iterdir()) == []
    return out


def build(model: ExportedModel, out: Path, variant: Variant = FP16, table: Path | None = None, **options) -> dict:
    return paddle_tensorrt.ENGINE.build(model, table, variant, paddle_tensorrt.SubgraphOptions(**options), out)


def open_engine(engine: Path, variant: Variant = FP16, **options):
    return paddle_tensorrt.ENGINE.open(engine, variant, paddle_tensorrt.RunOptions(**options), 1)


def test_table_then_engine_then_run(paddle_simulated, model, tmp_path):
    before = manifest_of(model.folder)
    table = calibrate(model, tmp_path / "calibration")
    build(model, tmp_path / "engine", INT8, table)
    engine = manifest_of(tmp_path / "engine")
    assert sorted(engine) == [
        "_opt_cache/trt_calib_1", "_opt_cache/trt_serialized_1",
        "build.json", "model.pdiparams", "model.pdmodel", "shape_range_info.pbtxt",
    ]  # fmt: skip
    open_engine(tmp_path / "engine", INT8)
    assert manifest_of(tmp_path / "engine") == engine and manifest_of(model.folder) == before
    staged = (tmp_path / "engine/model.pdmodel").read_bytes()
    assert staged == without_cast((model.folder / "model.pdmodel").read_bytes())


def test_engine_under_another_name_in_the_next_process_is_told_as_not_found(paddle_simulated, model, tmp_path):
    build(model, tmp_path / "engine")
    paddle_simulated.key = "2"
    with pytest.raises(Failed) as caught:
        open_engine(tmp_path / "engine")
    assert str(caught.value) == (
        "this process computed another name for its subgraph (trt_serialized_2) than the build did (trt_serialized_1),"
        " so that Paddle did not find the serialized engine and built another: not timed"
    )


def test_table_under_another_name_in_the_next_process_is_told_as_not_found(paddle_simulated, model, tmp_path):
    table = calibrate(model, tmp_path / "calibration")
    build(model, tmp_path / "engine", INT8, table)
    paddle_simulated.key = "2"
    with pytest.raises(Failed, match=r"no calibration table under the name .* began to calibrate: not timed"):
        open_engine(tmp_path / "engine", INT8)
    with pytest.raises(Failed, match=r"0 serialized engines for 1 subgraphs; the calibration tables are of other"):
        build(model, tmp_path / "again", INT8, table)


def test_run_that_tensorrt_refuses_is_no_engine(paddle_simulated, model, tmp_path):
    """Paddle ignores the answer, and would give a fast time and the class map of before."""
    paddle_simulated.says = b"E0101 00:00:00.000000 1 helper.h:131] 3: [executionContext.cpp::enqueueV3] Error\n"
    with pytest.raises(Failed, match=r"TensorRT refused to run its engine: 3: \[executionContext"):
        build(model, tmp_path / "engine")


def test_build_and_run_in_other_arithmetic_are_refused(paddle_simulated, model, tmp_path):
    build(model, tmp_path / "engine", tf32=True)
    with pytest.raises(InputError, match=r"-fp16: build.tf32 is True, run.tf32 is False; they have to be equal"):
        open_engine(tmp_path / "engine")
    open_engine(tmp_path / "engine", tf32=True)


def test_calibration_that_does_not_fit_is_refused_before_it_starts(paddle_simulated, model, tmp_path, monkeypatch):
    monkeypatch.setattr(calibration.nvml, "free_bytes", lambda: 10**9)
    with pytest.raises(Unsupported) as caught:
        calibrate(model, tmp_path / "calibration")
    assert str(caught.value) == (
        "INT8 calibration through Paddle holds all activations at once: it needs at least 1.1 GB of GPU memory, 1.0 GB"
        " are free; take a model entry with a smaller input, or the engine tensorrt (tensorrt-int8), whose table is"
        " calibrated on the CPU"
    )
    calibrate(model, tmp_path / "smaller", workspace_mb=100)


def test_damaged_shapes_are_refused(paddle_simulated, model, tmp_path):
    (model.folder / "shape_range_info.pbtxt").write_text("half")
    with pytest.raises(InputError, match=r"shape_range_info.pbtxt: damaged or missing"):
        build(model, tmp_path / "engine")
    assert build(model, tmp_path / "engine", shapes="static")["trt_subgraphs"] == 1


@pytest.mark.parametrize(("tf32", "value"), [(False, "0"), (True, None)])
def test_tf32_is_switched_by_the_one_value_that_nvidia_defines(monkeypatch, tf32, value):
    for name in ("NVIDIA_TF32_OVERRIDE", "GLOG_minloglevel", "FLAGS_cudnn_exhaustive_search"):
        monkeypatch.setenv(name, "1")
    paddle_gpu.set_environment(paddle_gpu.RunOptions(tf32=tf32))
    assert os.environ.get("NVIDIA_TF32_OVERRIDE") == value
    assert os.environ["GLOG_minloglevel"] == "0"  # noqa: SIM112


def tables(folder: Path, **contents: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_text(content)
    return folder


def test_late_tables_are_waited_for(tmp_path):
    cache = tables(tmp_path / "_opt_cache")
    writer = threading.Timer(0.3, lambda: tables(cache, trt_calib_1=TABLE, trt_calib_2=TABLE))
    writer.start()
    assert [path.name for path in engine_cache.take_tables(cache, 2)] == ["trt_calib_1", "trt_calib_2"]


def test_tables_that_never_come(tmp_path, monkeypatch):
    monkeypatch.setattr(engine_cache, "LATE_S", 0.1)
    cache = tables(tmp_path / "_opt_cache")
    with pytest.raises(Failed, match=r"Paddle left 0 calibration tables for 2 TensorRT subgraphs$"):
        engine_cache.take_tables(cache, 2)
    tables(cache, calibration_1=TABLE)
    with pytest.raises(Failed, match=r"0 calibration tables for 2 .*_opt_cache has calibration_1"):
        engine_cache.take_tables(cache, 2)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("TRT-8503-EntropyCalibration2\n", "the calibration table trt_calib_1 is empty: TensorRT saw no image"),
        ("<html>", "trt_calib_1 is no TensorRT calibration table: it begins with '<html>'"),
        ("", "trt_calib_1 is no TensorRT calibration table: it begins with ''"),
    ],
)
def test_table_without_content(tmp_path, monkeypatch, content, reason):
    monkeypatch.setattr(engine_cache, "LATE_S", 0.1)
    with pytest.raises(Failed) as caught:
        engine_cache.take_tables(tables(tmp_path / "_opt_cache", trt_calib_1=content), 1)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("log", "after", "reason"),
    [
        (SUBGRAPH + LOADED, {"trt_serialized_1": "b"}, "rewritten while it was opened"),
        (
            SUBGRAPH + "Fail to load TRT Optimized Info from x\nPrepare TRT engine (…",
            {},
            "could not read its serialized",
        ),
        (SUBGRAPH, {"trt_serialized_1": "a"}, r"loaded \(0 loaded, 1 there, 1 subgraphs\): not timed"),
        (SUBGRAPH * 2 + LOADED, {"trt_serialized_1": "a"}, r"loaded \(1 loaded, 1 there, 2 subgraphs\): not timed"),
    ],
)
def test_engine_that_was_not_loaded_as_built_is_not_timed(log, after, reason):
    with pytest.raises(Failed, match=reason):
        engine_cache.check_loaded(inference_log.read_log(log), {"trt_serialized_1": "a"}, after)


def test_foreign_engine_is_never_run():
    with pytest.raises(Failed) as caught:
        engine_cache.check_identity(HERE, {**HERE, "gpu": "Other GPU", "driver": "550.2"}, Path("engine"))
    assert str(caught.value) == (
        "foreign engine, not run: gpu Made GPU there, Other GPU here; driver 535.1 there, 550.2 here;"
        " delete engine and run again to build it here"
    )


def test_what_fell_back_is_told_with_its_reason():
    said = [f"run Op({kind})" for kind in ("feed", "tensorrt_engine", "argmax", "argmax", "shape", "fetch")]
    log = inference_log.read_log("\n".join([SUBGRAPH, "argmax op is not in TensorRT", *said]))
    assert log.share == 40 / 43
    assert log.fallback(5) == {
        "argmax ×2": "not taken by TensorRT",
        "shape ×1": "in a group of fewer than 5 (min_subgraph_size)",
    }


def test_out_of_gpu_memory_says_how_much():
    """Paddle's own words (paddle/fluid/memory/allocation/cuda_allocator.cc)."""
    said = (
        "Out of memory error on GPU 0. Cannot allocate 1.250000GB memory on GPU 0, 15.1GB memory has been allocated"
        " and available memory is only 310.562500MB.\n\nPlease check whether there is any other process using GPU 0."
    )
    with pytest.raises(Failed) as caught, paddle_gpu.gpu_errors("running the network"):
        raise MemoryError(said)
    assert str(caught.value) == (
        "out of GPU memory while running the network (needs 1.250000GB more, has 310.562500MB)"
    )


COUNTED = """
import json, os, sys
os.environ["GLOG_vmodule"] = {verbose!r}
from segbench.engines import paddle_gpu
paddle_gpu.set_environment(paddle_gpu.RunOptions())
import zlib, paddle.inference, numpy
from segbench.runtimes.paddle import inference_log
config = paddle.inference.Config(sys.argv[1] + ".pdmodel", sys.argv[1] + ".pdiparams")
config.disable_gpu()
config.disable_mkldnn()
with inference_log.captured() as seen:
    predictor = paddle.inference.create_predictor(config)
    predictor.get_input_handle("x0").copy_from_cpu(numpy.zeros((1, 3, 8, 8), numpy.float32))
    predictor.run()
print(json.dumps(inference_log.read_log(seen.text).executed), flush=True)
print("after", file=sys.stderr, flush=True)
os._exit(0)
"""


def test_operators_are_counted_from_the_real_log(tmp_path):
    """By the real Paddle on the CPU, where the user has silenced it: what TensorRT leaves outside is found in the same
    lines."""
    path = str(save_network(tmp_path / "net", lambda logits: logits, size=(8, 8)).with_suffix(""))
    code, silent = COUNTED.format(verbose=inference_log.VERBOSE), {"GLOG_minloglevel": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code, path],
        capture_output=True, text=True, check=False, env={**os.environ, **silent, "PYTHONPATH": "workflow_scripts"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    counted = json.loads(done.stdout)
    assert counted["conv2d"] == 1 and not counted.keys() & {"feed", "fetch"}
    assert "run Op(" not in done.stderr and "after" in done.stderr


def test_last_words_before_a_crash_come_out():
    code = (
        "import os; from segbench.runtimes.paddle import inference_log\n"
        "with inference_log.captured(): os.write(2, b'cudaErrorIllegalAddress\\n'); os.abort()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": "workflow_scripts"},
    )  # fmt: skip
    assert done.returncode < 0 and "cudaErrorIllegalAddress" in done.stderr
