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
from segbench.engines.paddle_tensorrt import RunOptions, SubgraphOptions, shape_file, tensorrt_config
from segbench.errors import Unsupported
from segbench.files import stage_files
from segbench.machine.cpu import this_machine
from segbench.models.exported import paddle_files
from segbench.process.supervise import progress
from segbench.runtimes.paddle import engine_cache, inference_log

INT8 = Variant("paddle_tensorrt-int8", "paddle_tensorrt", "int8")


@dataclass(frozen=True)
class Options(SubgraphOptions):
    """`min_subgraph_size`, `shapes` and `disabled_operators` as of the variant's build (they have to be equal);
    `workspace_mb`, `tf32`: of the calibration itself."""


class PaddleTensorRTTables(Calibrator):
    """TensorRT's entropy calibration; all that TensorRT takes is INT8, the loss is not measured."""

    engine = "paddle_tensorrt"
    packages = ("paddlepaddle-gpu", "tensorrt")
    reads = ("paddle",)
    folder = "tables"
    options = Options

    def missing(self) -> str:
        """What the engine misses."""
        return load(self.engine).supports(INT8, this_machine()).reason

    def calibrate(self, task: Task, options: Any, out: Path) -> dict[str, Any]:
        """Leave the tables of all subgraphs."""
        with tempfile.TemporaryDirectory(dir=task.cache) as folder:
            work = Path(folder)
            stage_files([*paddle_files(task.model), *shape_file(task.model, options)], work)
            config = tensorrt_config(work, INT8, options, RunOptions(tf32=options.tf32), serialize=False)
            with inference_log.captured() as opening:
                session = PaddleGPUSession(config)
            subgraphs = inference_log.read_log(opening.text).subgraphs
            if not subgraphs:
                raise Unsupported(f"TensorRT takes no {options.min_subgraph_size} operators of this graph together")
            for image in task.images:
                session.upload(image)
                session.execute()
                session.synchronize()
            progress("writing the calibration tables")
            del session
            gc.collect()
            tables = engine_cache.take_tables(work / engine_cache.CACHE, len(subgraphs))
            stage_files(tables, out)
        return {"trt_subgraphs": len(subgraphs)}


CALIBRATOR = PaddleTensorRTTables()
