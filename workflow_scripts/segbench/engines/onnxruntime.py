"""Run ONNX Runtime's CPU provider on the model's ONNX form."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segbench.arrays import ClassMap, Float32Image, Logits, without_batch
from segbench.calibration import qdq
from segbench.calibration.base import ANY_TABLE, OF_MODEL
from segbench.config.options import Variant
from segbench.engines.base import Engine, LayerTimes, Session, none_in_int8
from segbench.errors import Unsupported, framework_errors
from segbench.files import read_json
from segbench.models.exported import ExportedModel
from segbench.models.onnx_batch import set_batch

if TYPE_CHECKING:
    import numpy.typing as npt

ENGINE_FILE = "model.onnx"
KERNEL = "_kernel_time"  # how a trace calls the time inside a node
TYPES = {"float": "fp32", "float16": "fp16", "bfloat16": "bf16", "uint8": "int8", "int8": "int8"}
INT8_KERNELS = (
    "QLinearConv", "QLinearMatMul", "MatMulIntegerToFloat", "QGemm", "ConvInteger", "MatMulInteger",
    "DynamicQuantizeMatMul",
)  # fmt: skip


@dataclass(frozen=True)
class BuildOptions:
    """`optimization`: ONNX Runtime's graph optimisation level. `all` adds layouts for this CPU."""

    optimization: str = "all"

    def __post_init__(self) -> None:
        if self.optimization not in ("disable", "basic", "extended", "all"):
            raise ValueError("optimization must be one of disable, basic, extended, all")


@dataclass(frozen=True)
class RunOptions:
    """`spinning`: worker threads wait actively between operators. `memory_arena`: keep freed memory."""

    spinning: bool = True
    memory_arena: bool = True


class ONNXRuntime(Engine):
    """ONNX Runtime with its CPU provider only. No other provider is offered, so nothing can fall back."""

    precisions = ("fp32", "int8")
    packages = ("onnxruntime",)
    modules = ("onnx", "onnxruntime")
    scenarios = ("batch", "streams")
    calibrators: tuple[str, ...] = (ANY_TABLE, OF_MODEL)
    reads = ("onnx",)
    build_options = BuildOptions
    run_options = RunOptions
    runs_pieces = True

    def build(
        self, model: ExportedModel, calibration: Path | None, variant: Variant, options: Any, out: Path
    ) -> dict[str, Any]:
        """Optimise the graph once and save it. The engine is the optimised ONNX file.

        INT8 is the model's own, or is made from the table's Q/DQ model. ONNX Runtime fuses the pairs into 8-bit
        kernels. A batch is set last, so that a table of the model serves every batch.
        """
        import onnx

        source = model.file("model.onnx")
        if source is None:
            raise Unsupported("this model has no ONNX form")
        out.mkdir(parents=True)
        facts: dict[str, Any] = {}
        if calibration:
            source = out / "qdq.onnx"
            facts = qdq.build(model, calibration, source)
        made = [source] if calibration else []
        if variant.batch > 1:
            network = onnx.load(str(source))
            set_batch(network, variant.batch)
            made.append(source := out / "batch.onnx")
            onnx.save(network, str(source))
        _optimise(source, options, out / ENGINE_FILE)
        for path in made:
            path.unlink()
        if variant.precision == "int8":
            facts["int8_layers"] = _count_int8(out / ENGINE_FILE, facts.get("fp32_layers", 0))
        return facts

    def open(self, engine: Path, variant: Variant, options: Any, threads: int) -> ONNXRuntimeSession:
        """Load the optimised graph as it is, with `threads` threads inside an operator."""
        return ONNXRuntimeSession(_session(engine, self._settings(options, threads)))

    def open_streams(self, engine: Path, variant: Variant, options: Any, threads: int) -> list[Session]:
        """Load the graph once for each stream. Each has its share of the threads, the one that calls it included."""
        count, rest = divmod(threads, variant.streams)
        shares = [count + (number < rest) for number in range(variant.streams)]
        return [self.open(engine, variant, options, share) for share in shares]

    def open_profiled(self, engine: Path, variant: Variant, options: Any, threads: int) -> ProfiledONNXRuntimeSession:
        """Load it in the same way, with ONNX Runtime's profiler on, which counts the CPU's time alone."""
        if self.device != "cpu":
            raise Unsupported(f"engine {variant.engine}: of a GPU, ONNX Runtime's profiler counts the launches only")
        settings, folder = self._settings(options, threads), tempfile.TemporaryDirectory()
        settings.enable_profiling = True
        settings.profile_file_prefix = str(Path(folder.name) / "trace")
        return ProfiledONNXRuntimeSession(_session(engine, settings), folder)

    def network(self, engine: Path, model: ExportedModel, calibration: Path | None, work: Path) -> Path:
        """Return the network before it was optimised: a piece of it is optimised anew."""
        if calibration is None:
            return model.folder / "model.onnx"
        qdq.build(model, calibration, work / "qdq.onnx")
        return work / "qdq.onnx"

    def open_piece(
        self, piece: Path, variant: Variant, build_options: Any, run_options: Any, threads: int
    ) -> ONNXRuntimeSession:
        """Optimise the piece, and load it."""
        engine = piece.parent / "optimised"
        engine.mkdir()
        _optimise(piece, build_options, engine / ENGINE_FILE)
        return self.open(engine, variant, run_options, threads)

    @staticmethod
    def _settings(options: Any, threads: int) -> Any:
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # done at build
        settings.intra_op_num_threads = threads
        settings.inter_op_num_threads = 1
        settings.enable_cpu_mem_arena = options.memory_arena
        settings.add_session_config_entry("session.intra_op.allow_spinning", "1" if options.spinning else "0")
        return settings


def _optimise(source: Path, options: BuildOptions, out: Path) -> None:
    """Optimise a graph once, and write the result."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = getattr(
        onnxruntime.GraphOptimizationLevel,
        f"ORT_{'DISABLE' if options.optimization == 'disable' else 'ENABLE'}_"
        + ("ALL" if options.optimization == "disable" else options.optimization.upper()),
    )
    settings.optimized_model_filepath = str(out)
    with framework_errors("optimising the graph", Exception, unsupported=True):
        onnxruntime.InferenceSession(str(source), settings, providers=["CPUExecutionProvider"])


def _session(engine: Path, settings: Any) -> Any:
    import onnxruntime

    with framework_errors("opening the engine", Exception):
        return onnxruntime.InferenceSession(str(engine / ENGINE_FILE), settings, providers=["CPUExecutionProvider"])


def _count_int8(engine: Path, fp32_layers: int) -> int:
    """Count the layers of the optimised graph that compute in 8 bits. Raises Failed when none does."""
    import onnx

    graph = onnx.load(str(engine), load_external_data=False).graph
    count = sum(node.op_type in INT8_KERNELS for node in graph.node)
    if not count:
        raise none_in_int8(fp32_layers, "ONNX Runtime fused none of the Q/DQ pairs")
    return count


class ONNXRuntimeSession:
    """A session with its input and output bound, so that `run` copies nothing."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._binding = session.io_binding()
        self._input = session.get_inputs()[0].name
        self._binding.bind_output(session.get_outputs()[0].name)

    def upload(self, image: Float32Image) -> None:
        """Bind the array itself, which is on the device already."""
        self._binding.bind_cpu_input(self._input, image)

    def execute(self) -> None:
        """Run with the bound arrays (blocking on the CPU)."""
        with framework_errors("running the network", Exception):
            self._session.run_with_iobinding(self._binding)

    def synchronize(self) -> None:
        """Nothing is in flight on the CPU."""

    def download(self) -> ClassMap | Logits:
        """Return a copy of the output: an H×W class map, N×H×W of a batch, or C×H×W logits."""
        return without_batch(self._binding.copy_outputs_to_cpu()[0])

    def run(self, tensors: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Run a graph of many inputs and outputs."""
        with framework_errors("running the network", Exception):
            found: list[npt.NDArray[Any]] = self._session.run(None, dict(tensors))
        return found


class ProfiledONNXRuntimeSession(ONNXRuntimeSession):
    """A session that writes a trace into `folder`."""

    def __init__(self, session: Any, folder: tempfile.TemporaryDirectory[str]) -> None:
        super().__init__(session)
        self._folder = folder

    def layers(self) -> list[LayerTimes]:
        """Return the kernels of the trace by node, in the order of their first run."""
        trace = Path(self._session.end_profiling())
        events = read_json(trace)
        self._folder.cleanup()
        return layers_of_trace(events)


def layers_of_trace(events: list[dict[str, Any]]) -> list[LayerTimes]:
    """Return the nodes of ONNX Runtime's trace: its events of category Node whose names end in `_kernel_time`."""
    of_node: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(KERNEL):
            of_node.setdefault(event["args"]["node_index"], []).append(event)
    found = sorted(of_node.values(), key=lambda runs: float(runs[0]["ts"]))
    return [_layer(runs) for runs in found]


def _layer(runs: list[dict[str, Any]]) -> LayerTimes:
    name, facts = runs[0]["name"][: -len(KERNEL)], runs[0]["args"]
    inputs = facts.get("input_type_shape") or [{}]
    precision = TYPES.get(next(iter(inputs[0]), ""), "")
    return LayerTimes(name, facts["op_name"], "", precision, (name,), tuple(float(run["dur"]) * 1e-6 for run in runs))


ENGINE = ONNXRuntime()
