"""Paddle Inference with oneDNN kernels on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.engines import paddle
from segbench.engines.base import Variant
from segbench.errors import InputError, Unsupported

# Both fuse reshape/transpose into a matmul with the wrong axes: ANN's class maps agreed with native on .81 only.
WRONG_FUSIONS = ("reshape_transpose_matmul_mkldnn_fuse_pass", "matmul_transpose_reshape_mkldnn_fuse_pass")


@dataclass(frozen=True)
class RunOptions(paddle.RunOptions):
    """`cache_capacity`: shapes whose oneDNN primitives are kept; `deleted_passes`: graph fusions left out."""

    cache_capacity: int = 1
    deleted_passes: tuple[str, ...] = WRONG_FUSIONS


class PaddleOneDNN(paddle.Paddle):
    """oneDNN on."""

    accelerated = True
    run_options = RunOptions

    def open(self, engine: Path, variant: Variant, options: Any, threads: int) -> paddle.PaddleSession:
        """Load the model with oneDNN on."""
        config = paddle.cpu_config(engine, threads, options)
        config.enable_mkldnn()
        config.set_mkldnn_cache_capacity(options.cache_capacity)
        if not config.mkldnn_enabled():
            raise Unsupported("this build of Paddle has no oneDNN")
        if unknown := set(options.deleted_passes) - set(config.pass_builder().all_passes()):
            raise InputError(f"variant_catalogue.{variant.name}.run.deleted_passes: {sorted(unknown)} are no passes")
        for name in options.deleted_passes:
            config.delete_pass(name)
        return paddle.PaddleSession(config)


ENGINE = PaddleOneDNN()
