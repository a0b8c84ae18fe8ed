"""Paddle Inference with TensorRT subgraphs on an NVIDIA GPU: the published page's accelerated rows.

What goes before has rules of its own: shapes (`collect_shapes`), for INT8 the calibration tables
(`segbench/calibration/paddle_tensorrt.py`). Each stage works in a private copy and hands on only files that it names.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segbench.config.options import Variant
from segbench.engines import paddle_gpu
from segbench.errors import Failed, InputError, Unsupported
from segbench.files import read_json, sha256_of, stage_files, write_json
from segbench.machine.cpu import nvidia_driver
from segbench.models.exported import ExportedModel
from segbench.process.supervise import progress
from segbench.runtimes.paddle import engine_cache, inference_log
from segbench.runtimes.paddle.program import large_sums, stage_model, undeclared

BUILT = "build.json"  # beside the engine: the options and the machine that it was built with
SHAPES = "shape_range_info.pbtxt"  # left by `collect_shapes` beside the exported model
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class SubgraphOptions:
    """`min_subgraph_size`: fewest operators that TensorRT takes together; `shapes`: dynamic or static;
    `disabled_operators`: types that stay outside of TensorRT; `workspace_mb`: MiB that it may use for its search;
    `tf32`: allow TF32; `fp32_sums`: keep sums that FP16 cannot hold (DANet's channel attention) in FP32."""

    min_subgraph_size: int = 3
    shapes: str = "dynamic"
    disabled_operators: tuple[str, ...] = ()
    workspace_mb: int = 4096
    tf32: bool = False
    fp32_sums: bool = True

    def __post_init__(self) -> None:
        if self.shapes not in ("dynamic", "static"):
            raise ValueError("shapes must be dynamic or static")
        if self.min_subgraph_size < 1 or self.workspace_mb < 1:
            raise ValueError("min_subgraph_size and workspace_mb must be at least 1")


@dataclass(frozen=True)
class RunOptions:
    """`memory_pool_mb`, `tf32`, `cudnn_exhaustive_search`, `memory_optim`: as of paddle_gpu, for what is outside of
    TensorRT."""

    memory_pool_mb: int = 100
    tf32: bool = False
    cudnn_exhaustive_search: bool = False
    memory_optim: bool = True


class PaddleTensorRT(paddle_gpu.PaddleGPU):
    """TensorRT engines inside of Paddle, serialized; a graph without any is refused, not run natively."""

    accelerated = True
    precisions = ("fp32", "fp16", "int8")
    packages = (*paddle_gpu.PaddleGPU.packages, "tensorrt")
    calibrators = ("paddle_tensorrt",)
    needs_shapes = True
    build_options = SubgraphOptions
    run_options = RunOptions

    def calibration_fault(self, options: Any, calibration: Any) -> str:
        """Tables are found by a hash of the subgraph: both have to cut the graph alike."""
        for key in ("min_subgraph_size", "shapes", "disabled_operators"):
            here, there = getattr(options, key), getattr(calibration, key)
            if here != there:
                return f"its {key} is {there}, the variant's build has {here}; they have to be equal"
        return ""

    def build(
        self, model: ExportedModel, calibration: Path | None, variant: Variant, options: Any, out: Path
    ) -> dict[str, Any]:
        """Let TensorRT build, run one image of zeros to see which operators are outside, hand on the engine's files."""
        import numpy as np

        os.environ.update(GLOG_vmodule=inference_log.VERBOSE)
        shapes = shape_file(model, options)
        tables = sorted((calibration / "tables").glob(engine_cache.TABLE)) if calibration else []
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
            work = Path(folder)
            stage(model, shapes, options, work)
            stage_files(tables, work / engine_cache.CACHE)
            config = tensorrt_config(work, variant, options, RunOptions(tf32=options.tf32), serialize=True)
            progress("letting TensorRT build", silent=True)
            with inference_log.captured() as opening:
                session = paddle_gpu.PaddleGPUSession(config)
            log = inference_log.read_log(opening.text)
            if not log.subgraphs:
                raise Unsupported(f"TensorRT takes no {options.min_subgraph_size} operators of this graph together")
            engines = engine_cache.take_engines(work / engine_cache.CACHE, log, calibrated=bool(tables))
            progress("running once")
            with inference_log.captured() as running:
                session.upload(np.zeros(model.shape, np.float32))
                session.execute()
                session.synchronize()
            log = inference_log.read_log(opening.text + running.text)
            if errors := inference_log.read_log(running.text).errors:
                raise Failed(f"TensorRT refused to run its engine: {errors[0]}")
            stage_files([*work.glob("model.pd*"), *(work / path.name for path in shapes)], out)
            stage_files([*tables, *engines], out / engine_cache.CACHE)
        write_json(out / BUILT, {"options": asdict(options), "identity": identity()})
        return {
            "trt_subgraphs": len(log.subgraphs),
            "trt_share": log.share,
            "trt_operators": list(log.subgraphs),
            "trt_fallback": log.fallback(options.min_subgraph_size),
        }

    def open(self, engine: Path, variant: Variant, options: Any, threads: int) -> paddle_gpu.PaddleGPUSession:
        """Load the serialized engine from a private copy, and prove that it was loaded. Never builds."""
        paddle_gpu.set_environment(options)  # before identity() imports Paddle
        built = read_json(engine / BUILT)
        build_options = SubgraphOptions(**built["options"])
        if build_options.tf32 != options.tf32:
            raise InputError(
                f"variant_catalogue.{variant.name}: build.tf32 is {build_options.tf32}, run.tf32 is {options.tf32};"
                " they have to be equal, or other arithmetic is timed than was built"
            )
        engine_cache.check_identity(built["identity"], identity(), engine)
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder) / "engine"
            shutil.copytree(engine, work)
            cache = work / engine_cache.CACHE
            before = engine_cache.digests(cache)
            config = tensorrt_config(work, variant, build_options, options, serialize=True)
            with inference_log.captured() as opening:
                session = paddle_gpu.PaddleGPUSession(config)
            engine_cache.check_loaded(inference_log.read_log(opening.text), before, engine_cache.digests(cache))
        return session


def tensorrt_config(folder: Path, variant: Variant, options: Any, run_options: Any, serialize: bool) -> Any:
    """`paddle.inference.Config` for the model in `folder`, the private copy that Paddle keeps its `_opt_cache` in.

    INT8 goes by calibration tables; without one Paddle calibrates. Its log stays on: it is what tells what was done.
    """
    config = paddle_gpu.gpu_config(folder, run_options)

    import paddle.inference

    kinds = paddle.inference.PrecisionType
    precision = {"fp32": kinds.Float32, "fp16": kinds.Half, "int8": kinds.Int8}[variant.precision]
    config.enable_tensorrt_engine(
        workspace_size=options.workspace_mb * MEBIBYTE,
        max_batch_size=1,
        min_subgraph_size=options.min_subgraph_size,
        precision_mode=precision,
        use_static=serialize,
        use_calib_mode=variant.precision == "int8",
    )
    if options.shapes == "dynamic":  # False: neither is an engine built in the timed run, nor the file rewritten
        config.enable_tuned_tensorrt_dynamic_shape(str(folder / SHAPES), False)
    if options.fp32_sums and variant.precision != "fp32":  # INT8 is INT8 or FP16, as TensorRT finds it faster
        sums = large_sums((folder / "model.pdmodel").read_bytes())
        paddle.inference.InternalUtils.disable_tensorrt_half_ops(config, set(sums))
    if options.disabled_operators:
        config.exp_disable_tensorrt_ops(list(options.disabled_operators))
    return config


def stage(model: ExportedModel, shapes: list[Path], options: Any, work: Path) -> None:
    """Put the model, as Paddle gets it, and its `shapes` into folder `work`.

    Raises Unsupported where a tensor has a type that Paddle's converter throws on, in calibration by a crash.
    """
    stage_model(model, work)
    stage_files(shapes, work)
    if found := undeclared((work / "model.pdmodel").read_bytes(), options.disabled_operators):
        raise Unsupported(
            f"Paddle's TensorRT converter has no type for {', '.join(found[:3])}; keep the operators that read or write"
            " it outside of TensorRT (disabled_operators)"
        )


def shape_file(model: ExportedModel, options: Any) -> list[Path]:
    """The model's file of shapes, where the options want it. Raises InputError where it is missing or damaged."""
    if options.shapes != "dynamic":
        return []
    path = model.folder / SHAPES
    if not path.exists() or sha256_of(path) != read_json(model.folder / "shapes.json").get("sha256"):
        raise InputError(f"{path}: damaged or missing; delete it and run again (rule collect_shapes makes it)")
    return [path]


def identity() -> dict[str, Any]:
    """What a serialized engine belongs to: GPU, its compute capability, driver, TensorRT and Paddle."""
    import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538

    import paddle
    import paddle.inference

    return {
        "gpu": paddle.device.cuda.get_device_name(0),
        "compute_capability": ".".join(map(str, paddle.device.cuda.get_device_capability(0))),
        "driver": nvidia_driver(),
        "tensorrt": ".".join(map(str, paddle.inference.get_trt_runtime_version())),
        "paddle": paddle.__version__,
    }


ENGINE = PaddleTensorRT()
