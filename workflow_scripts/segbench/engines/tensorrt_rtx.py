"""TensorRT for RTX, from the model's ONNX form: built on any machine for stated GPUs, run on an RTX card.

What the builder leaves is made into kernels by the card's own machine when the engine is opened first; those are kept
in a file beside the engine.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.calibration.base import ANY_TABLE
from segbench.calibration.typed_onnx import write_typed
from segbench.config.options import Variant
from segbench.engines.base import Engine, GPUCode, Session, Support, first_no, has_packages, has_precision
from segbench.errors import Unsupported
from segbench.files import atomic
from segbench.machine.cpu import Machine
from segbench.models.exported import ExportedModel
from segbench.runtimes.tensorrt.plan import Builder, load_plan
from segbench.runtimes.tensorrt.session import CUDASession, check_identity, this_gpu, write_identity

KERNELS = "runtime.cache"


@dataclass(frozen=True)
class BuildOptions:
    """`compute_capabilities`: GPUs that the engine is for: 8.6 Ampere, 8.9 Ada, 12.0 Blackwell cards. (7.5, Turing,
    is refused by the builder for most networks: it has no FP32 matrix product there.)"""

    compute_capabilities: tuple[str, ...] = ("8.6", "8.9", "12.0")

    def __post_init__(self) -> None:
        if not self.compute_capabilities or not all(re.fullmatch(r"\d+\.\d", c) for c in self.compute_capabilities):
            raise ValueError('compute_capabilities must be a list of texts such as "8.9"')


@dataclass(frozen=True)
class RunOptions:
    """`cuda_graph`: record the network's launches once and replay them; `keep_kernels`: keep just-in-time compiled
    kernels beside the engine, so that the next process opens it faster."""

    cuda_graph: bool = False
    keep_kernels: bool = True


class TensorRTRTX(Engine):
    """Strongly typed: FP16 by a cast model, INT8 by Q/DQ pairs. It has no calibrator and no timing cache."""

    device = "gpu"
    precisions = ("fp32", "fp16", "int8")
    environment = "envs/tensorrt_rtx.yaml"
    install = "make env-rtx"
    packages = ("tensorrt-rtx-cu13-bindings", "tensorrt-rtx-cu13-libs", "cuda-bindings")
    modules = ("onnx", "tensorrt_rtx_bindings", "cuda.bindings.runtime")
    gpu_code = (GPUCode("", ((8, 0), (8, 6), (8, 9), (12, 0)), cuda=(13, 0)),)  # 7.5: see BuildOptions
    calibrators = (ANY_TABLE,)
    reads = ("onnx",)
    build_options = BuildOptions
    run_options = RunOptions
    has_cache = True

    def can_build(self, variant: Variant, machine: Machine) -> Support:
        """Without a GPU too."""
        return first_no(has_precision(self, variant), has_packages(self))

    def build(
        self, model: ExportedModel, calibration: Path | None, variant: Variant, options: Any, out: Path
    ) -> dict[str, Any]:
        """Serialize the typed ONNX model for the stated compute capabilities; same input, same bytes."""
        import tensorrt_rtx_bindings as trt

        out.mkdir(parents=True)
        with tempfile.TemporaryDirectory(dir=out.parent) as folder:
            typed = Path(folder) / "model.onnx"
            facts = write_typed(model, calibration, variant, typed)
            builder = Builder(trt, typed)
        builder.config.num_compute_capabilities = len(options.compute_capabilities)
        for place, name in enumerate(options.compute_capabilities):
            builder.config.set_compute_capability(_capability(trt, name), place)
        builder.build(out)
        write_identity(out, trt, model, compute_capabilities=list(options.compute_capabilities))
        return facts

    def with_cache(self, options: dict[str, Any], folder: Path | None) -> dict[str, Any]:
        """Keep the kernels, which always lie beside the engine."""
        return {**options, "keep_kernels": folder is not None}

    def open(self, engine: Path, variant: Variant, options: Any, threads: int) -> Session:
        """Load the plan, make its kernels (or read them), and run once so that none is made inside the clock."""
        import tensorrt_rtx_bindings as trt

        check_identity(engine, trt, this_gpu())
        loaded = load_plan(trt, engine)
        config = loaded.engine.create_runtime_config()
        kernels = config.create_runtime_cache()
        path = engine.parent / KERNELS
        if options.keep_kernels and path.exists():
            kernels.deserialize(path.read_bytes())  # refused, and made anew, where anything differs
        config.set_runtime_cache(kernels)
        session = CUDASession(trt, loaded, loaded.engine.create_execution_context(config), options.cuda_graph)
        made = bytes(kernels.serialize())
        if options.keep_kernels and not (path.exists() and path.read_bytes() == made):
            with atomic(path) as temporary:
                temporary.write_bytes(made)
        return session


def _capability(trt: Any, name: str) -> Any:
    """The bindings' name of a compute capability. Raises Unsupported for one that this version does not know."""
    known = {
        f"{key[2:-1]}.{key[-1]}": value for key, value in trt.ComputeCapability.__members__.items() if key[:2] == "SM"
    }
    if name not in known:
        raise Unsupported(f"TensorRT for RTX {trt.__version__} builds for {', '.join(sorted(known))}, not for {name}")
    return known[name]


ENGINE = TensorRTRTX()
