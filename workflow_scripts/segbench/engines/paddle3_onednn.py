"""Paddle Inference 3 with oneDNN kernels on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.config.options import Variant
from segbench.engines import paddle, paddle3
from segbench.errors import InputError, Unsupported

# The fusions that paddle_onednn leaves out, by their names here: with them ANN's class maps agree on .956 only.
WRONG_FUSIONS = ("reshape_transpose_matmul_onednn_fuse_pass", "matmul_transpose_reshape_onednn_fuse_pass")
# With a .json model: the same fusion (again .956), and the pass that gives oneDNN every operator that it has, also the
# bilinear enlargement, which then cannot run (PaddlePaddle/Paddle#79749). Without it oneDNN keeps what is fused.
WRONG_OR_FAILING = ("reshape_transpose_matmul_fuse_pass", "onednn_placement_pass")


@dataclass(frozen=True)
class RunOptions(paddle.RunOptions):
    """`cache_capacity`: shapes whose oneDNN primitives are kept; `deleted_passes`, `json_deleted_passes`: graph passes
    left out of a `.pdmodel`'s and of a `.json` model's."""

    cache_capacity: int = 1
    deleted_passes: tuple[str, ...] = WRONG_FUSIONS
    json_deleted_passes: tuple[str, ...] = WRONG_OR_FAILING


class Paddle3OneDNN(paddle3.Paddle3):
    """oneDNN on."""

    accelerated = True
    run_options = RunOptions

    def open(self, engine: Path, variant: Variant, options: Any, threads: int) -> paddle.PaddleSession:
        """Load the model with oneDNN on."""
        config = paddle3.cpu_config(engine, threads, options)
        config.enable_onednn()
        config.set_onednn_cache_capacity(options.cache_capacity)
        if not config.onednn_enabled():
            raise Unsupported("this build of Paddle has no oneDNN")
        is_json = paddle3.is_json_model(engine)
        key = "json_deleted_passes" if is_json else "deleted_passes"
        deleted = getattr(options, key)
        unknown = [name for name in deleted if not (_is_new_pass(name) if is_json else _is_old_pass(name, config))]
        if unknown:
            raise InputError(f"variant_catalogue.{variant.name}.run.{key}: {unknown} are no passes")
        for name in deleted:
            config.delete_pass(name)
        return paddle3.Paddle3Session(config)


def _is_old_pass(name: str, config: Any) -> bool:
    return name in config.pass_builder().all_passes()


def _is_new_pass(name: str) -> bool:
    """Whether the new program format has that pass; Paddle tells its list for the old one only."""
    import paddle as framework

    try:
        framework.pir.PassManager().add_pass(name, {})
    except ValueError:
        return False
    return True


ENGINE = Paddle3OneDNN()
