"""ONNX Runtime's TensorRT provider on an NVIDIA GPU: its engine is built once, and kept inside an ONNX file."""

from __future__ import annotations

import importlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.calibration.base import ANY_TABLE
from segbench.calibration.typed_onnx import write_typed
from segbench.config.options import Variant
from segbench.engines import onnxruntime_cuda
from segbench.engines.onnxruntime_cuda import ENGINE_FILE, GPUSession, Providers, open_session
from segbench.errors import Failed, Unsupported
from segbench.models.exported import ExportedModel


def providers(settings: dict[str, str]) -> Providers:
    """TensorRT first; CUDA takes what it leaves. Loads TensorRT's libraries, which the provider does not look for.

    The provider has no switch for TF32: the environment has, as long as CUDA is not loaded.
    """
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    try:
        importlib.import_module("tensorrt_libs")
    except (ImportError, OSError) as error:
        raise Unsupported(f"TensorRT's libraries cannot be loaded: {error}") from error
    return [("TensorrtExecutionProvider", settings), (onnxruntime_cuda.PROVIDER, {"use_tf32": "0"})]


@dataclass(frozen=True)
class BuildOptions:
    """`workspace_mb`: MiB of GPU memory that a layer may use (null: all); `cpu_nodes`: let nodes that neither
    TensorRT nor CUDA takes run on the CPU, instead of refusing the model."""

    workspace_mb: int | None = None
    cpu_nodes: bool = False


@dataclass(frozen=True)
class RunOptions:
    """`cuda_graph`: record the launches once and replay them; `cpu_nodes`: as for the build."""

    cuda_graph: bool = False
    cpu_nodes: bool = False


class ONNXRuntimeTensorRT(onnxruntime_cuda.ONNXRuntimeCUDA):
    """FP16 by a cast model, INT8 by symmetric Q/DQ pairs of our calibration table."""

    accelerated = True
    precisions = ("fp32", "fp16", "int8")
    install = "make env-onnxruntime-tensorrt"
    packages = ("onnxruntime-gpu", "tensorrt-cu13-libs")  # it is linked with TensorRT 10's
    modules = ("onnx", "onnxruntime", "tensorrt_libs")
    calibrators = (ANY_TABLE,)
    build_options = BuildOptions
    run_options = RunOptions

    def build(
        self, model: ExportedModel, calibration: Path | None, variant: Variant, options: Any, out: Path
    ) -> dict[str, Any]:
        """Let the provider build its engines, and keep them in a model of `EPContext` nodes."""
        import onnx

        out.mkdir(parents=True)
        with tempfile.TemporaryDirectory(dir=out.parent) as folder:
            typed = Path(folder) / ENGINE_FILE
            facts = write_typed(model, calibration, variant, typed)
            settings = {
                "trt_dump_ep_context_model": "1",
                "trt_ep_context_file_path": str(out / ENGINE_FILE),
                "trt_ep_context_embed_mode": "1",
                "trt_fp16_enable": str(int(variant.precision == "fp16")),
                "trt_int8_enable": str(int(variant.precision == "int8")),
            }
            if options.workspace_mb:
                settings["trt_max_workspace_size"] = str(options.workspace_mb << 20)
            open_session(typed, providers(settings), options.cpu_nodes)
        if not (out / ENGINE_FILE).exists():
            raise Failed("the TensorRT provider left no engine")
        graph = onnx.load(str(out / ENGINE_FILE), load_external_data=False).graph
        count = sum(node.op_type == "EPContext" for node in graph.node)
        return {**facts, "trt_subgraphs": count}

    def open(self, engine: Path, variant: Variant, options: Any, threads: int) -> GPUSession:
        """Load the engines out of the model; TensorRT refuses those of another version or GPU."""
        settings = {"trt_cuda_graph_enable": str(int(options.cuda_graph))}
        return GPUSession(engine / ENGINE_FILE, providers(settings), options.cpu_nodes)


ENGINE = ONNXRuntimeTensorRT()
