"""Paddle Inference on an NVIDIA GPU, native kernels: the published page's rows without TensorRT."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.engines import paddle
from segbench.engines.base import Variant, framework_errors


@dataclass(frozen=True)
class RunOptions:
    """`memory_pool_mb`: MiB of GPU memory taken at start; `device_id`: which GPU; `tf32`: allow TF32 in FP32 rows;
    `cudnn_exhaustive_search`: let cuDNN try all convolution algorithms; `memory_optim`, `ir_optim`: as on the CPU."""

    memory_pool_mb: int = 100
    device_id: int = 0
    tf32: bool = False
    cudnn_exhaustive_search: bool = False
    memory_optim: bool = True
    ir_optim: bool = True


class PaddleGPU(paddle.Paddle):
    """Native CUDA kernels; nothing falls back to the CPU, since supports() wants a driver."""

    device = "gpu"
    accelerated = False
    environment = "envs/gpu.yaml"
    install = "make env-gpu"
    packages: tuple[str, ...] = ("paddlepaddle-gpu",)
    run_options = RunOptions

    def open(self, engine: Path, variant: Variant, options: Any, threads: int) -> PaddleGPUSession:
        """Load the model onto the GPU."""
        return PaddleGPUSession(gpu_config(engine, options))


class PaddleGPUSession(paddle.PaddleSession):
    """As on the CPU, but for waiting until the GPU has finished."""

    def synchronize(self) -> None:
        """Wait for all work on the GPU."""
        import paddle as framework

        with framework_errors("running the network", RuntimeError, OSError):
            framework.device.cuda.synchronize()


def gpu_config(engine: Path, options: Any) -> Any:
    """`paddle.inference.Config` of a GPU predictor. TF32 is switched by the environment, before CUDA is loaded."""
    os.environ["NVIDIA_TF32_OVERRIDE"] = "1" if options.tf32 else "0"
    os.environ["FLAGS_cudnn_exhaustive_search"] = str(int(options.cudnn_exhaustive_search))  # noqa: SIM112

    import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538

    import paddle.inference

    config = paddle.inference.Config(str(engine / "model.pdmodel"), str(engine / "model.pdiparams"))
    config.disable_glog_info()
    config.enable_use_gpu(options.memory_pool_mb, options.device_id)
    config.switch_ir_optim(options.ir_optim)
    if options.memory_optim:
        config.enable_memory_optim()
    return config


ENGINE = PaddleGPU()
