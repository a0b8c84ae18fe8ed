"""ONNX Runtime's CUDA provider on an NVIDIA GPU, from the model's ONNX form."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.arrays import ClassMap, Float32Image, Logits
from segbench.calibration.typed_onnx import write_typed
from segbench.config.options import Variant
from segbench.engines.base import Engine, GPUCode
from segbench.errors import Unsupported, framework_errors
from segbench.models.exported import ExportedModel

ENGINE_FILE = "model.onnx"
PROVIDER = "CUDAExecutionProvider"
DTYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}  # of a class map, of logits
Providers = list[tuple[str, dict[str, str]]]  # names with their settings, the preferred first


@dataclass(frozen=True)
class RunOptions:
    """`tf32`: allow TF32 in FP32 rows; `cuda_graph`: record the launches once and replay them; `cpu_nodes`: let nodes
    that the GPU provider does not take run on the CPU, instead of refusing the model; `conv_search`: how cuDNN chooses
    a convolution: `heuristic`, or `exhaustive`, by timing all of them, so that two processes may choose, and round,
    differently."""

    tf32: bool = False
    cuda_graph: bool = False
    cpu_nodes: bool = False
    conv_search: str = "heuristic"

    def __post_init__(self) -> None:
        if self.conv_search not in ("heuristic", "exhaustive"):
            raise ValueError("conv_search must be heuristic or exhaustive")


class ONNXRuntimeCUDA(Engine):
    """The CUDA provider alone: a node that it would leave to the CPU is a refusal, unless options say otherwise."""

    device = "gpu"
    accelerated = False  # the native FP32 row of a GPU that Paddle 2.6 does not know
    precisions: tuple[str, ...] = ("fp32", "fp16")
    environment = "envs/onnxruntime_gpu.yaml"
    install: str = "make env-onnxruntime-gpu"
    venv = ".venv-onnxruntime-gpu"
    packages: tuple[str, ...] = ("onnxruntime-gpu",)
    modules: tuple[str, ...] = ("onnx", "onnxruntime")
    # The CUDA provider's library; a test reads it. It has no code that a driver could compile for other GPUs (PTX).
    gpu_code = (GPUCode("1.31", ((7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (12, 0)), cuda=(13, 0)),)
    reads = ("onnx",)
    run_options: type = RunOptions

    def build(
        self, model: ExportedModel, calibration: Path | None, variant: Variant, options: Any, out: Path
    ) -> dict[str, Any]:
        """The typed model is the engine: the provider chooses its kernels when it opens it."""
        out.mkdir(parents=True)
        return write_typed(model, calibration, variant, out / ENGINE_FILE)

    def open(self, engine: Path, variant: Variant, options: Any, threads: int) -> GPUSession:
        """Open it on the GPU, with graph optimisation as the library has it by default."""
        settings = {
            "use_tf32": str(int(options.tf32)),
            "enable_cuda_graph": str(int(options.cuda_graph)),
            "cudnn_conv_algo_search": options.conv_search.upper(),
        }
        return GPUSession(engine / ENGINE_FILE, [(PROVIDER, settings)], options.cpu_nodes)


def open_session(model: Path, providers: Providers, cpu_nodes: bool) -> Any:
    """An inference session of `providers`, the first of which must load.

    Raises Unsupported, with the library's own words, where it does not, or where nodes are left over for the CPU and
    `cpu_nodes` is not set.
    """
    import onnxruntime

    onnxruntime.preload_dlls()  # CUDA's libraries of the nvidia packages
    first = providers[0][0]
    if first not in onnxruntime.get_available_providers():
        raise Unsupported(f"this build of ONNX Runtime has no {first}")
    if fault := loading_fault(Path(onnxruntime.__file__).parent, first):
        raise Unsupported(f"{first} does not load: {fault}")
    settings = onnxruntime.SessionOptions()
    settings.add_session_config_entry("session.disable_cpu_ep_fallback", str(int(not cpu_nodes)))
    with framework_errors(f"opening the model on {first}", Exception, unsupported=True):
        # Left to itself it would try other providers after an error, and tell of these alone.
        session = onnxruntime.InferenceSession(str(model), settings, providers=providers, enable_fallback=0)
    if first not in session.get_providers():
        raise Unsupported(f"{first} does not load (see the log)")
    return session


def loading_fault(package: Path, provider: str) -> str:
    """Why the loader cannot open a provider's library: the name of one that it needs; empty where it can.

    ONNX Runtime says this in its log only, and goes on without the provider.
    """
    name = provider.removesuffix("ExecutionProvider").lower()
    library = package / "capi" / f"libonnxruntime_providers_{name}.so"
    if not library.exists():
        return ""
    try:
        for path in (library.with_name("libonnxruntime_providers_shared.so"), library):
            ctypes.CDLL(str(path))
    except OSError as error:
        return str(error)
    return ""


class GPUSession:
    """Input and output are bound to memory on the GPU, so that `run` copies nothing."""

    def __init__(self, model: Path, providers: Providers, cpu_nodes: bool) -> None:
        import numpy as np
        import onnxruntime

        self._session = open_session(model, providers, cpu_nodes)
        (given,), (result,) = self._session.get_inputs(), self._session.get_outputs()
        with framework_errors("taking memory on the GPU", Exception):
            self._image = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(given.shape, np.float32), "cuda", 0)
            output = np.zeros(result.shape, DTYPES[result.type])
            self._map = onnxruntime.OrtValue.ortvalue_from_numpy(output, "cuda", 0)
        self._binding = self._session.io_binding()
        self._binding.bind_ortvalue_input(given.name, self._image)
        self._binding.bind_ortvalue_output(result.name, self._map)

    def upload(self, image: Float32Image) -> None:
        """Copy into the bound input."""
        self._image.update_inplace(image)

    def execute(self) -> None:
        """Run with what is bound."""
        with framework_errors("running the network", Exception):
            self._session.run_with_iobinding(self._binding)

    def synchronize(self) -> None:
        """Wait until outputs are there; the run itself waits for the provider's stream too."""
        self._binding.synchronize_outputs()

    def download(self) -> ClassMap | Logits:
        """Copy of the output: an H×W class map, or C×H×W logits."""
        return self._map.numpy()[0].copy()


ENGINE = ONNXRuntimeCUDA()
