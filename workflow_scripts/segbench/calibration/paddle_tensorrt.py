"""TensorRT's calibration through Paddle, on the GPU: a table for each subgraph, which the INT8 engine is built from.

Paddle calibrates where it finds no table: it lets TensorRT see each image, and writes the tables when the predictor is
destroyed. So it is a process of its own; the next one builds.
"""

from __future__ import annotations

import gc
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.calibration.base import Calibrator, Task
from segbench.config.options import Variant
from segbench.engines.base import load
from segbench.engines.paddle_gpu import PaddleGPUSession
from segbench.engines.paddle_tensorrt import (
    MEBIBYTE,
    RunOptions,
    SubgraphOptions,
    shape_file,
    stage,
    tensorrt_config,
)
from segbench.errors import Unsupported
from segbench.files import stage_files
from segbench.machine import nvml
from segbench.machine.cpu import this_machine
from segbench.process.supervise import progress
from segbench.runtimes.paddle import engine_cache, inference_log
from segbench.runtimes.paddle.program import activation_bytes

INT8 = Variant("paddle_tensorrt-int8", "paddle_tensorrt", "int8")


@dataclass(frozen=True)
class Options(SubgraphOptions):
    """`min_subgraph_size`, `shapes` and `disabled_operators` as of the variant's build (they have to be equal);
    `workspace_mb`, `tf32`: of the calibration itself, beside which all activations of the network lie in memory."""

    workspace_mb: int = 1024


class PaddleTensorRTTables(Calibrator):
    """TensorRT's entropy calibration; what TensorRT takes is INT8 or, where that is slower, FP16; the loss is not
    measured."""

    engine = "paddle_tensorrt"
    packages = ("paddlepaddle-gpu", "tensorrt")
    reads = ("paddle",)
    folder = "tables"
    options = Options

    def child_variables(self) -> dict[str, str]:
        """The engine's."""
        return load(self.engine).child_variables()

    def missing(self) -> str:
        """What the engine misses."""
        return load(self.engine).supports(INT8, this_machine()).reason

    def calibrate(self, task: Task, options: Any, out: Path) -> dict[str, Any]:
        """Leave the tables of all subgraphs."""
        with tempfile.TemporaryDirectory(dir=task.cache) as folder:
            work = Path(folder)
            stage(task.model, shape_file(task.model, options), options, work)
            needs = needed_bytes(work, options)
            check_memory(needs, nvml.free_bytes())
            config = tensorrt_config(work, INT8, options, RunOptions(tf32=options.tf32), serialize=False)
            progress("opening the model", silent=True)
            with inference_log.captured() as opening:
                session = PaddleGPUSession(config)
            subgraphs = inference_log.read_log(opening.text).subgraphs
            if not subgraphs:
                raise Unsupported(f"TensorRT takes no {options.min_subgraph_size} operators of this graph together")
            for number, image in enumerate(task.images):
                if not number:  # it waits until TensorRT has built in FP32
                    progress("letting TensorRT build, and see the first image", silent=True)
                session.upload(image)
                session.execute()
                session.synchronize()
            progress("letting TensorRT build in INT8 and write the calibration tables", silent=True)
            del session
            gc.collect()
            tables = engine_cache.take_tables(work / engine_cache.CACHE, len(subgraphs))
            stage_files(tables, out)
        return {"trt_subgraphs": len(subgraphs), "needs_gpu_bytes": needs}


def needed_bytes(work: Path, options: Any) -> int:
    """GPU memory that calibrating the model in folder `work` takes at least: all activations of the FP32 network, the
    weights twice (Paddle's and TensorRT's), TensorRT's workspace."""
    weights = (work / "model.pdiparams").stat().st_size
    activations = activation_bytes((work / "model.pdmodel").read_bytes())
    return activations + 2 * weights + options.workspace_mb * MEBIBYTE


def check_memory(needs: int, free: int | None) -> None:
    """Say what is needed. Raises Unsupported where less is free; None: that is not known."""
    told = f"INT8 calibration through Paddle holds all activations at once: it needs at least {needs / 1e9:.1f} GB"
    print(f"{told} of GPU memory", flush=True)
    if free is not None and free < needs:
        raise Unsupported(
            f"{told} of GPU memory, {free / 1e9:.1f} GB are free; take a model entry with a smaller input, or the"
            " engine tensorrt (tensorrt-int8), whose table is calibrated on the CPU"
        )


CALIBRATOR = PaddleTensorRTTables()
