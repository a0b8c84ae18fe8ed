"""A TensorRT engine opened on the GPU, with its events around the network; and which GPU an engine belongs to."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any, NamedTuple

from segbench.arrays import ClassMap, Float32Image, Logits, as_downloaded
from segbench.errors import Failed, Unsupported
from segbench.files import read_json, write_json
from segbench.models.exported import ExportedModel
from segbench.runtimes.tensorrt.plan import Plan

IDENTITY = "identity.json"
# By TensorRT's names: its own `nptype` fails in 8.5 with numpy 1.24 and later.
DTYPES = {"FLOAT": "float32", "INT32": "int32", "INT64": "int64", "UINT8": "uint8"}


def check(answer: tuple[Any, ...]) -> Any:
    """What a CUDA call returned beside its error code. Raises Failed, naming the error, when there is one."""
    from cuda.bindings import runtime as cuda

    error, *values = answer
    if error != cuda.cudaError_t.cudaSuccess:
        _, name = cuda.cudaGetErrorString(error)
        text = name.decode() if isinstance(name, bytes) else str(name)
        raise Failed(f"CUDA: {text}")  # "out of memory" is one of them
    return values[0] if len(values) == 1 else values or None


class ThisGPU(NamedTuple):
    """The GPU in use: CUDA's own name for it, its compute capability, and MiB of memory, which tell slices apart."""

    name: str
    compute_capability: str
    memory_mib: int


def this_gpu() -> ThisGPU:
    """What CUDA says of the GPU in use. Raises Unsupported where it has none."""
    from cuda.bindings import runtime as cuda

    try:
        facts = check(cuda.cudaGetDeviceProperties(0))
    except Failed as error:
        raise Unsupported(f"no usable GPU: {error}") from error
    name = facts.name.decode() if isinstance(facts.name, bytes) else str(facts.name)
    return ThisGPU(name, f"{facts.major}.{facts.minor}", facts.totalGlobalMem >> 20)


def write_identity(folder: Path, trt: Any, model: ExportedModel, **gpu: Any) -> None:
    """Put what the engine is made of and for into `folder`: TensorRT's version, the model, `gpu`: name and memory_mib,
    or compute_capabilities."""
    write_json(folder / IDENTITY, {"bindings": trt.__name__, "version": trt.__version__, "model": model.digest, **gpu})


def check_identity(folder: Path, trt: Any, gpu: ThisGPU) -> None:
    """Raise Unsupported where the engine was built by another TensorRT or for another GPU than `gpu`: TensorRT may load
    such a plan all the same, and run it slower or wrongly."""
    made = read_json(folder / IDENTITY)
    name, capability, memory = gpu
    if made["version"] != trt.__version__:
        raise _foreign(folder, f"by TensorRT {made['version']}; {trt.__version__} is installed")
    if made.get("gpu", name) != name:
        raise _foreign(folder, f"for {made['gpu']}; this is {name}")
    if made.get("memory_mib", memory) != memory:
        raise _foreign(folder, f"for {name} with {made['memory_mib']} MiB; this one has {memory}")
    if capability not in made.get("compute_capabilities", [capability]):
        raise _foreign(folder, f"for compute capabilities {made['compute_capabilities']}; this GPU has {capability}")


def _foreign(folder: Path, why: str) -> Unsupported:
    return Unsupported(f"{folder}: was built {why}; delete {folder.parent} and run again")


class CUDASession:
    """One execution context on a stream of its own: pinned host buffers, device buffers, two events.

    The network has one input, 1×3×H×W float32, and one output, 1×H×W integers or 1×C×H×W logits.
    """

    def __init__(self, trt: Any, plan: Plan, context: Any, cuda_graph: bool) -> None:
        """Take buffers and run once: what TensorRT does at its first run only is not timed. `cuda_graph`: then record
        the launches, to be replayed. Raises Failed where the GPU's memory does not suffice."""
        from cuda.bindings import runtime as cuda

        if context is None:
            raise Failed("TensorRT makes no execution context: most likely out of memory on the GPU")
        self._plan, engine = plan, plan.engine  # what the engine needs must outlive it
        self._cuda, self._engine, self._context = cuda, engine, context
        self._stream = check(cuda.cudaStreamCreate())
        self._start, self._end = check(cuda.cudaEventCreate()), check(cuda.cudaEventCreate())
        names = [engine.get_tensor_name(number) for number in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        (output,) = set(names) - set(inputs)
        self._image, self._image_on_gpu = self._buffers(inputs[0])
        self._map, self._map_on_gpu = self._buffers(output)
        self._graph: Any = None
        self._launch()
        self.synchronize()
        if cuda_graph:
            self._record()

    def _buffers(self, name: str) -> tuple[Any, Any]:
        """A pinned array of a tensor's shape and type, and as much memory on the GPU, bound to the tensor."""
        import numpy as np

        shape = tuple(self._engine.get_tensor_shape(name))
        dtype = np.dtype(DTYPES[self._engine.get_tensor_dtype(name).name])
        size = int(np.prod(shape)) * dtype.itemsize
        pinned = check(self._cuda.cudaHostAlloc(size, self._cuda.cudaHostAllocDefault))
        on_gpu = check(self._cuda.cudaMalloc(size))
        self._context.set_tensor_address(name, int(on_gpu))
        bytes_ = np.ctypeslib.as_array((ctypes.c_ubyte * size).from_address(int(pinned)))
        array = bytes_.view(dtype).reshape(shape)
        array[...] = 0
        return array, on_gpu

    def _launch(self) -> None:
        if not self._context.execute_async_v3(int(self._stream)):
            raise Failed("running the network: TensorRT refused to enqueue it")

    def _record(self) -> None:
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        check(self._cuda.cudaStreamBeginCapture(self._stream, mode))
        self._launch()
        self._graph = check(self._cuda.cudaGraphInstantiate(check(self._cuda.cudaStreamEndCapture(self._stream)), 0))

    def upload(self, image: Float32Image) -> None:
        """Copy into the pinned array and from there to the GPU."""
        self._image[...] = image
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        size = self._image.nbytes
        check(self._cuda.cudaMemcpyAsync(self._image_on_gpu, self._image.ctypes.data, size, kind, self._stream))

    def execute(self) -> None:
        """Enqueue the network between two events; the call returns before the GPU is done."""
        check(self._cuda.cudaEventRecord(self._start, self._stream))
        if self._graph is None:
            self._launch()
        else:
            check(self._cuda.cudaGraphLaunch(self._graph, self._stream))
        check(self._cuda.cudaEventRecord(self._end, self._stream))

    def synchronize(self) -> None:
        """Wait for the stream."""
        check(self._cuda.cudaStreamSynchronize(self._stream))

    def device_seconds(self) -> float:
        """Seconds between the two events of the last `execute`, by the GPU's clock."""
        return float(check(self._cuda.cudaEventElapsedTime(self._start, self._end))) * 1e-3

    def download(self) -> ClassMap | Logits:
        """Copy the output back; TensorRT 8 has a class map as 32-bit integers."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        size = self._map.nbytes
        check(self._cuda.cudaMemcpyAsync(self._map.ctypes.data, self._map_on_gpu, size, kind, self._stream))
        self.synchronize()
        return as_downloaded(self._map[0])


class ProfiledCUDASession(CUDASession):
    """A session whose `runs` hold the layers of each run since it was opened, in running order, with their seconds.

    With a profiler the call waits for the GPU (IExecutionContext::setEnqueueEmitsProfile, true by default). A replayed
    CUDA graph would tell nothing.
    """

    def __init__(self, trt: Any, plan: Plan, context: Any) -> None:
        super().__init__(trt, plan, context, cuda_graph=False)
        self.runs: list[list[tuple[str, float]]] = []
        self._profiler = _profiler(trt, self.runs)  # the context does not keep it alive
        self._context.profiler = self._profiler

    def execute(self) -> None:
        """Run the network, and read what each layer took."""
        self.runs.append([])
        super().execute()
        self.synchronize()


def _profiler(trt: Any, runs: list[list[tuple[str, float]]]) -> Any:
    class Profiler(trt.IProfiler):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            runs[-1].append((layer_name, ms * 1e-3))

    return Profiler()
