"""Calibration, build and timed run of Paddle-TensorRT against a simulated Paddle: every way its `_opt_cache` can go
wrong ends in the right files or a clear reason.

The simulation stands where the driver would be called, and writes and logs what Paddle 2.6.2 does
(tensorrt_subgraph_pass.cc). Nothing here says that TensorRT itself works.
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

TABLE = "TRT-8503-EntropyCalibration2\nimage: 3c010a14\nconv2d_0.tmp_0: 3d1a2b3c\n"
HERE = {"gpu": "Made GPU", "compute_capability": "8.6", "driver": "535.1", "tensorrt": "8.5.3", "paddle": "2.6.2"}
INT8 = Variant("paddle_tensorrt-int8", "paddle_tensorrt", "int8")
FP16 = Variant("paddle_tensorrt-fp16", "paddle_tensorrt", "fp16")


def log(line: str) -> None:
    os.write(2, f"I0101 00:00:00.000000 1 tensorrt_subgraph_pass.cc:1] {line}\n".encode())


class SimulatedPaddle:
    """A predictor over a folder, with two subgraphs. Class attributes say what goes wrong."""

    subgraphs = (40, 9)
    executed = ("feed", "tensorrt_engine", "argmax", "tensorrt_engine", "argmax", "shape", "fetch")
    refused = ("argmax",)
    key = "1234567"  # of the first subgraph; the second's is one more
    table = TABLE
    table_prefix = "trt_calib_"
    late_s = 0.0
    unreadable = False
    rewrites = False

    def __init__(self, config) -> None:
        self.config, self.calibrates, self.has_run = config, False, False
        self.cache = config.folder / "_opt_cache"
        self.cache.mkdir(exist_ok=True)
        for number, operators in enumerate(self.subgraphs):
            log(f"---  detect a sub-graph with {operators} nodes")
            key = str(int(self.key) + number)
            if config.int8 and not (self.cache / f"trt_calib_{key}").exists():
                self.calibrates = True
            elif config.serialize:
                self._load_or_build(self.cache / f"trt_serialized_{key}")
        for kind in self.refused:
            log(f"{kind} op is not in TensorRT")

    def _load_or_build(self, engine: Path) -> None:
        if engine.exists() and not self.unreadable:
            log(f"Load TRT Optimized Info from {engine}")
            if self.rewrites:
                engine.write_bytes(b"another")
            return
        if engine.exists():
            log(f"Fail to load TRT Optimized Info from {engine}. Engine deserialization failed")
        log("Prepare TRT engine (Optimize model structure, Select OP kernel etc). This process may cost a lot of time.")
        engine.write_bytes(b"a serialized engine")

    def upload(self, image) -> None:
        assert image.shape == (1, 3, 16, 32)

    def execute(self) -> None:
        self.has_run = True
        for kind in self.executed:
            os.write(2, f"I0101 00:00:00.000000 1 naive_executor.cc:96] 140 run Op({kind}), inputs:{{}}.\n".encode())

    def synchronize(self) -> None:
        pass

    def __del__(self) -> None:
        if self.calibrates and self.has_run:
            writer = threading.Timer(self.late_s, self._write_tables)
            writer.start()
            if not self.late_s:
                writer.join()

    def _write_tables(self) -> None:
        for number in range(len(self.subgraphs)):
            (self.cache / f"{self.table_prefix}{int(self.key) + number}").write_text(self.table)


@pytest.fixture
def paddle_simulated(monkeypatch):
    """Returns the simulation's class, a fresh one: set its attributes."""

    class Simulated(SimulatedPaddle):
        pass

    def config(folder, variant, options, run_options, serialize):
        return SimpleNamespace(folder=folder, int8=variant.precision == "int8", serialize=serialize, options=options)

    for module in (paddle_tensorrt, calibration):
        monkeypatch.setattr(module, "tensorrt_config", config)
    monkeypatch.setattr(paddle_gpu, "PaddleGPUSession", Simulated)
    monkeypatch.setattr(calibration, "PaddleGPUSession", Simulated)
    monkeypatch.setattr(paddle_tensorrt, "identity", lambda: dict(HERE))
    monkeypatch.setitem(os.environ, "GLOG_vmodule", "")  # the build sets it; it is put back afterwards
    return Simulated


@pytest.fixture
def model(tmp_path) -> ExportedModel:
    """Files of an exported model with its shapes; the simulation reads none of them."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("model.pdmodel", "model.pdiparams", "shape_range_info.pbtxt"):
        (folder / name).write_bytes(name.encode())
    write_json(folder / "shapes.json", {"status": "ok", "sha256": sha256_of(folder / "shape_range_info.pbtxt")})
    return ExportedModel(folder, {"input": {"height": 16, "width": 32}, "files": {}})


def calibrate(model: ExportedModel, out: Path, images: int = 3) -> Path:
    """Folder of a calibration, as the rule leaves it."""
    tables, cache = out / "tables", out / "cache"
    cache.mkdir(parents=True)
    task = SimpleNamespace(model=model, images=[np.zeros((1, 3, 16, 32), np.float32)] * images, cache=cache)
    calibration.CALIBRATOR.calibrate(task, calibration.Options(), tables)
    assert list(cache.iterdir()) == []
    return out


def build(model: ExportedModel, out: Path, variant: Variant = FP16, table: Path | None = None, **options) -> dict:
    return paddle_tensorrt.ENGINE.build(model, table, variant, paddle_tensorrt.SubgraphOptions(**options), out)


def open_engine(engine: Path, variant: Variant = FP16):
    return paddle_tensorrt.ENGINE.open(engine, variant, paddle_tensorrt.RunOptions(), 1)


def test_table_then_engine_then_run(paddle_simulated, model, tmp_path):
    before = manifest_of(model.folder)
    table = calibrate(model, tmp_path / "calibration")
    assert sorted(manifest_of(table / "tables")) == ["trt_calib_1234567", "trt_calib_1234568"]
    facts = build(model, tmp_path / "engine", INT8, table)
    engine = manifest_of(tmp_path / "engine")
    assert sorted(engine) == [
        "_opt_cache/trt_calib_1234567", "_opt_cache/trt_calib_1234568",
        "_opt_cache/trt_serialized_1234567", "_opt_cache/trt_serialized_1234568",
        "build.json", "model.pdiparams", "model.pdmodel", "shape_range_info.pbtxt",
    ]  # fmt: skip
    assert open_engine(tmp_path / "engine", INT8).config.folder != tmp_path / "engine"
    assert manifest_of(tmp_path / "engine") == engine and manifest_of(model.folder) == before
    assert facts["trt_subgraphs"] == 2 and facts["trt_operators"] == [40, 9]


def test_what_fell_back_is_told_with_its_reason(paddle_simulated, model, tmp_path):
    facts = build(model, tmp_path / "engine", min_subgraph_size=5)
    assert facts["trt_share"] == 49 / 52
    assert facts["trt_fallback"] == {
        "argmax ×2": "not taken by TensorRT",
        "shape ×1": "in a group of fewer than 5 (min_subgraph_size)",
    }


def test_graph_without_a_subgraph_is_not_run_natively_in_tensorrts_name(paddle_simulated, model, tmp_path):
    paddle_simulated.subgraphs = ()
    with pytest.raises(Unsupported, match="takes no 50 operators of this graph together"):
        build(model, tmp_path / "engine", min_subgraph_size=50)


def test_late_tables_are_waited_for(paddle_simulated, model, tmp_path):
    paddle_simulated.late_s = 0.3
    assert len(manifest_of(calibrate(model, tmp_path / "calibration") / "tables")) == 2


def test_tables_that_never_come(paddle_simulated, model, tmp_path, monkeypatch):
    """Nor do they without an image: Paddle has seen nothing."""
    monkeypatch.setattr(engine_cache, "LATE_S", 0.1)
    with pytest.raises(Failed, match=r"Paddle left 0 calibration tables for 2 TensorRT subgraphs$"):
        calibrate(model, tmp_path / "calibration", images=0)


def test_tables_of_another_name(paddle_simulated, model, tmp_path, monkeypatch):
    monkeypatch.setattr(engine_cache, "LATE_S", 0.1)
    paddle_simulated.table_prefix = "calibration_"
    with pytest.raises(Failed, match=r"0 calibration tables for 2 .*_opt_cache has calibration_1234567, calibration_"):
        calibrate(model, tmp_path / "calibration")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("TRT-8503-EntropyCalibration2\n", "the calibration table trt_calib_1234567 is empty: TensorRT saw no image"),
        ("<html>", "trt_calib_1234567 is no TensorRT calibration table: it begins with '<html>'"),
        ("", "trt_calib_1234567 is no TensorRT calibration table: it begins with ''"),
    ],
)
def test_table_without_content(paddle_simulated, model, tmp_path, monkeypatch, content, reason):
    monkeypatch.setattr(engine_cache, "LATE_S", 0.1)
    paddle_simulated.table = content
    with pytest.raises(Failed) as caught:
        calibrate(model, tmp_path / "calibration")
    assert str(caught.value) == reason


def test_table_of_other_subgraphs_is_told_by_the_build(paddle_simulated, model, tmp_path):
    """Paddle would start calibrating, without a word, and serialize nothing."""
    table = calibrate(model, tmp_path / "calibration")
    paddle_simulated.key = "999"
    with pytest.raises(Failed, match=r"0 serialized engines for 2 subgraphs; the calibration tables are of other"):
        build(model, tmp_path / "engine", INT8, table)


def test_foreign_engine_is_never_run(paddle_simulated, model, tmp_path, monkeypatch):
    build(model, tmp_path / "engine")
    monkeypatch.setattr(paddle_tensorrt, "identity", lambda: {**HERE, "gpu": "Other GPU", "driver": "550.2"})
    monkeypatch.setattr(paddle_gpu, "PaddleGPUSession", None)  # is not even opened
    with pytest.raises(Failed) as caught:
        open_engine(tmp_path / "engine")
    assert str(caught.value) == (
        "foreign engine, not run: gpu Made GPU there, Other GPU here; driver 535.1 there, 550.2 here;"
        f" delete {tmp_path / 'engine'} and run again to build it here"
    )


def test_engine_that_paddle_rebuilds_silently_is_not_timed(paddle_simulated, model, tmp_path):
    build(model, tmp_path / "engine")
    paddle_simulated.unreadable = True
    with pytest.raises(Failed, match="could not read its serialized engine and built another: not timed"):
        open_engine(tmp_path / "engine")


def test_lost_engine_is_not_timed(paddle_simulated, model, tmp_path):
    build(model, tmp_path / "engine")
    (tmp_path / "engine/_opt_cache/trt_serialized_1234568").unlink()
    with pytest.raises(Failed, match="built another"):
        open_engine(tmp_path / "engine")


def test_engine_under_another_key_is_not_timed(paddle_simulated, model, tmp_path):
    table = calibrate(model, tmp_path / "calibration")
    build(model, tmp_path / "engine", INT8, table)
    paddle_simulated.key = "999"
    with pytest.raises(Failed, match=r"not every serialized .* loaded \(0 loaded, 2 there, 2 subgraphs\): not timed"):
        open_engine(tmp_path / "engine", INT8)


def test_rewritten_engine_is_not_timed(paddle_simulated, model, tmp_path):
    build(model, tmp_path / "engine")
    paddle_simulated.rewrites = True
    with pytest.raises(Failed, match="rewritten while it was opened"):
        open_engine(tmp_path / "engine")


def test_damaged_shapes_are_refused(paddle_simulated, model, tmp_path):
    (model.folder / "shape_range_info.pbtxt").write_text("half")
    with pytest.raises(InputError, match=r"shape_range_info.pbtxt: damaged or missing"):
        build(model, tmp_path / "engine")
    assert build(model, tmp_path / "engine", shapes="static")["trt_subgraphs"] == 2


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
    """By the real Paddle on the CPU: what TensorRT leaves outside is found in the same lines."""
    path = str(save_network(tmp_path / "net", lambda logits: logits, size=(8, 8)).with_suffix(""))
    code = COUNTED.format(verbose=inference_log.VERBOSE)
    done = subprocess.run(
        [sys.executable, "-c", code, path],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": "workflow_scripts"},
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
