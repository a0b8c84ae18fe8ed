"""Paddle Inference on an NVIDIA GPU, native kernels: the published page's rows without TensorRT.

The GPU is the first that CUDA_VISIBLE_DEVICES leaves visible; the readings through NVML are of the same one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.arrays import ClassMap, Logits, as_downloaded
from segbench.config.options import Variant
from segbench.engines import paddle
from segbench.engines.base import GPUCode
from segbench.errors import Failed, Unsupported, framework_errors
from segbench.machine import libraries
from segbench.models.exported import ExportedModel
from segbench.runtimes.paddle.program import stage_model

# "Out of memory error on GPU 0. Cannot allocate 1.2GB memory on GPU 0, … and available memory is only 300.5MB."
NO_MEMORY = re.compile(r"annot allocate ([\d.]+\w+) memory on GPU.*?available memory is only ([\d.]+\w+)", re.S)
# What Paddle 2.6.2 raises by the kind of its error: exhausted resources, CUDA's and cuDNN's, fatal ones.
RAISED = (MemoryError, RuntimeError, OSError, SystemError, ValueError)


@dataclass(frozen=True)
class RunOptions:
    """`memory_pool_mb`: MiB of GPU memory taken at start; `tf32`: allow TF32 in FP32 rows; `cudnn_exhaustive_search`:
    let cuDNN try all convolution algorithms; `memory_optim`, `ir_optim`: as on the CPU."""

    memory_pool_mb: int = 100
    tf32: bool = False
    cudnn_exhaustive_search: bool = False
    memory_optim: bool = True
    ir_optim: bool = True


class PaddleGPU(paddle.Paddle):
    """Native CUDA kernels; nothing falls back to the CPU, since supports() wants a driver."""

    device = "gpu"
    runs_pieces = False
    accelerated = False
    environment = "envs/gpu.yaml"
    install = "make env-gpu"
    venv = ".venv-gpu"
    packages: tuple[str, ...] = ("paddlepaddle-gpu", "nvidia-cudnn-cu11", "nvidia-cublas-cu11")
    gpu_code = (GPUCode("2.6", ((6, 1), (7, 0), (7, 5), (8, 0), (8, 6)), cuda=(11, 0)),)  # 8.6's code serves 8.9
    run_options: type = RunOptions
    scenarios = ()  # not tried on a GPU

    def child_variables(self) -> dict[str, str]:
        """Paddle's own CUDA, cuDNN and TensorRT, whatever the shell's LD_LIBRARY_PATH holds."""
        return libraries.child_variables()

    def build(
        self, model: ExportedModel, calibration: Path | None, variant: Variant, options: Any, out: Path
    ) -> dict[str, Any]:
        """The engine is the exported model, as the GPU gets it."""
        stage_model(model, out)
        return {}

    def open(self, engine: Path, variant: Variant, options: Any, threads: int) -> PaddleGPUSession:
        """Load the model onto the GPU."""
        config = gpu_config(engine, options)
        config.disable_glog_info()
        config.switch_ir_optim(options.ir_optim)
        return PaddleGPUSession(config)


class PaddleGPUSession(paddle.PaddleSession):
    """As on the CPU, but for waiting until the GPU has finished, and for the class map's integers."""

    def __init__(self, config: Any) -> None:
        with gpu_errors("opening the model"):
            super().__init__(config)
        libraries.check_own()

    def execute(self) -> None:
        """Start the network on the GPU."""
        with gpu_errors("running the network"):
            self._predictor.run()

    def synchronize(self) -> None:
        """Wait for all work on the GPU."""
        import paddle as framework

        with gpu_errors("running the network"):
            framework.device.cuda.synchronize()

    def download(self) -> ClassMap | Logits:
        """H×W copy of the output in 8 bits, of whatever integers the graph or TensorRT's binding has; or logits."""
        return as_downloaded(super().download())


@contextmanager
def gpu_errors(doing: str) -> Iterator[None]:
    """Turn Paddle's exceptions into the row's reason; for GPU memory with what was wanted and what was free."""
    try:
        with framework_errors(doing, *RAISED):
            yield
    except Failed as error:
        if "GPU count is: 0" in str(error.__cause__):
            raise Unsupported("no GPU is visible: no NVIDIA driver, or CUDA_VISIBLE_DEVICES hides it") from error
        if numbers := NO_MEMORY.search(str(error.__cause__)):
            wanted, free = numbers.groups()
            raise Failed(f"out of GPU memory while {doing} (needs {wanted} more, has {free})") from error
        raise


def set_environment(options: Any) -> None:
    """Switches that are environment variables, read when Paddle is imported and when CUDA's libraries are loaded.

    NVIDIA defines 0 alone of NVIDIA_TF32_OVERRIDE; TensorRT complains of any other value. The lines of Paddle's log
    that prove what was loaded are of the lowest level, which a user may have switched off.
    """
    if options.tf32:
        os.environ.pop("NVIDIA_TF32_OVERRIDE", None)
    else:
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    os.environ["GLOG_minloglevel"] = "0"  # noqa: SIM112
    os.environ["FLAGS_cudnn_exhaustive_search"] = str(int(options.cudnn_exhaustive_search))  # noqa: SIM112


def gpu_config(engine: Path, options: Any) -> Any:
    """`paddle.inference.Config` of a GPU predictor."""
    set_environment(options)

    import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538

    import paddle.inference

    config = paddle.inference.Config(str(engine / "model.pdmodel"), str(engine / "model.pdiparams"))
    config.enable_use_gpu(options.memory_pool_mb, 0)
    if options.memory_optim:
        config.enable_memory_optim()
    return config


ENGINE = PaddleGPU()
