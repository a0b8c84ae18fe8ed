"""Run Paddle Inference with oneDNN kernels on the CPU."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.calibration.base import OF_MODEL
from segbench.config.options import Variant
from segbench.engines import paddle
from segbench.engines.base import Support, first_no, has_instructions
from segbench.errors import InputError, Unsupported
from segbench.machine.cpu import Machine
from segbench.runtimes.paddle.passes import left_out

# Both passes fuse reshape/transpose into a matmul with wrong axes. ANN's class maps agreed with native on .81 only.
WRONG_FUSIONS = ("reshape_transpose_matmul_mkldnn_fuse_pass", "matmul_transpose_reshape_mkldnn_fuse_pass")
PLACEMENT = "mkldnn_placement_pass"

# Convolutions and the operators between them. matmul rejects one unsigned (softmax) and one signed input,
# adaptive pooling (pool2d) has no 8-bit kernel, and layer_norm has no BF16 kernel.
INT8_OPERATORS = ("conv2d", "depthwise_conv2d", "fused_conv2d", "elementwise_add", "concat")
BF16_OPERATORS = ("conv2d", "depthwise_conv2d", "fused_conv2d", "matmul", "matmul_v2", "elementwise_add", "concat")


@dataclass(frozen=True)
class RunOptions(paddle.RunOptions):
    """`cache_capacity`: number of shapes whose oneDNN primitives are kept. `deleted_passes`: graph fusions left out.
    `int8_operators`, `bf16_operators`: operators that run in that precision where the variant asks for it.
    """

    cache_capacity: int = 1
    deleted_passes: tuple[str, ...] = WRONG_FUSIONS
    int8_operators: tuple[str, ...] = INT8_OPERATORS
    bf16_operators: tuple[str, ...] = BF16_OPERATORS


class PaddleOneDNN(paddle.Paddle):
    """Paddle Inference with oneDNN on."""

    accelerated = True
    precisions = ("fp32", "bf16", "int8")
    calibrators = ("paddle", OF_MODEL)
    run_options = RunOptions
    leaves_passes_out = True

    def supports(self, variant: Variant, machine: Machine) -> Support:
        """Refuse a precision that this CPU only emulates in another one."""
        return first_no(super().supports(variant, machine), has_instructions(variant, machine))

    def open(self, engine: Path, variant: Variant, options: Any, threads: int) -> paddle.PaddleSession:
        """Load the model with oneDNN on, and without the graph passes that are wrong for it."""
        return onednn_session(engine / "model.pdmodel", threads, options, variant, left_out(engine))


def onednn_session(
    program: Path, threads: int, options: RunOptions, variant: Variant, without: Iterable[str] = ()
) -> paddle.PaddleSession:
    """Return a predictor with oneDNN on and without some graph passes; those of another precision may be among them."""
    config = onednn_config(program, threads, options, variant)
    for name in without:
        config.delete_pass(name)
    return paddle.PaddleSession(config)


def onednn_config(program: Path, threads: int, options: RunOptions, variant: Variant) -> Any:
    """`paddle.inference.Config` with oneDNN on; the parameters lie beside `program`."""
    config = paddle.cpu_config(program, threads, options)
    config.enable_mkldnn()
    config.set_mkldnn_cache_capacity(options.cache_capacity)
    if not config.mkldnn_enabled():
        raise Unsupported("this build of Paddle has no oneDNN")
    if variant.precision == "int8":
        config.enable_mkldnn_int8(set(options.int8_operators))
    if variant.precision == "bf16":
        config.enable_mkldnn_bfloat16()
        config.set_bfloat16_op(set(options.bf16_operators))
    if unknown := set(options.deleted_passes) - set(config.pass_builder().all_passes()):
        raise InputError(f"variant_catalogue.{variant.name}.run.deleted_passes: {sorted(unknown)} are no passes")
    for name in options.deleted_passes:
        config.delete_pass(name)
    return config


def fusions(config: Any) -> list[str]:
    """Return the graph passes of a `paddle.inference.Config` with oneDNN that can be left out, the last ones first.

    Late passes are the special ones. Without the one that gives operators to oneDNN, oneDNN would have none.
    """
    return [name for name in reversed(dict.fromkeys(config.pass_builder().all_passes())) if name != PLACEMENT]


ENGINE = PaddleOneDNN()
