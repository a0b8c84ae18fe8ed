"""Run OpenVINO on the CPU, on the Paddle model itself or on an ONNX model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segbench.arrays import ClassMap, Float32Image, Logits, without_batch
from segbench.calibration import qdq
from segbench.calibration.base import ANY_TABLE, OF_MODEL
from segbench.config.options import Variant
from segbench.engines.base import Engine, LayerTimes, Session, Support, first_no, has_instructions, none_in_int8
from segbench.errors import Unsupported, framework_errors
from segbench.files import link_files, read_json, scratch
from segbench.machine.cpu import Machine
from segbench.models.exported import ExportedModel
from segbench.runtimes.openvino import read_model, set_batch

if TYPE_CHECKING:
    import numpy.typing as npt

ENGINE_FILE = "model.xml"
CACHE = "CACHE_DIR"
HINTS = {"fp32": "f32", "int8": "f32", "bf16": "bf16", "fp16": "f16"}  # int8: of what is not quantised
PRECISIONS = {"f32": "fp32", "fp32": "fp32", "f16": "fp16", "bf16": "bf16", "i8": "int8", "u8": "int8"}  # of kernels
INT8_LAYERS = ("Convolution", "FullyConnected", "MatMul", "Deconvolution")
OURS = {"INFERENCE_PRECISION_HINT", "INFERENCE_NUM_THREADS", "NUM_STREAMS", "PERFORMANCE_HINT", "ENABLE_CPU_PINNING"}


@dataclass(frozen=True)
class RunOptions:
    """`pinning`: OpenVINO pins its threads to cores. `properties`: further plug-in properties, by their names."""

    pinning: bool = True
    properties: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if ours := sorted(OURS & (self.properties or {}).keys()):
            raise ValueError(f"properties may not set {', '.join(ours)}: they have keys of their own")


class OpenVINO(Engine):
    """OpenVINO with its CPU plug-in, which is named so that AUTO cannot choose another device."""

    plugin = "CPU"
    reads = ("paddle", "onnx", "openvino")
    falls_back = ("onnx",)
    precisions: tuple[str, ...] = ("fp32", "fp16", "bf16", "int8")
    packages = ("openvino",)
    modules = ("openvino",)
    scenarios: tuple[str, ...] = ("batch", "streams")
    calibrators: tuple[str, ...] = ("nncf", ANY_TABLE, OF_MODEL)
    table_judge = "openvino"
    run_options: type = RunOptions
    runs_pieces = True
    has_cache = True

    def supports(self, variant: Variant, machine: Machine) -> Support:
        """Refuse a precision that this CPU only emulates in another one."""
        return first_no(super().supports(variant, machine), has_instructions(variant, machine))

    def build(
        self, model: ExportedModel, calibration: Path | None, variant: Variant, options: Any, out: Path
    ) -> dict[str, Any]:
        """Convert to OpenVINO's intermediate representation and save it in full precision.

        INT8 is the model's own, NNCF's quantised model as it is, or the Q/DQ model of a table. A batch is set last, so
        that a calibration serves every batch.
        """
        import openvino

        out.mkdir(parents=True)
        facts: dict[str, Any] = {}
        if calibration and (calibration / "quantized").is_dir():
            status = read_json(calibration / "status.json")
            facts = {"fp32_layers": len(status["fp32_layers"]), "notes": status.get("notes", [])}
            quantized = [calibration / "quantized" / name for name in (ENGINE_FILE, "model.bin")]
            if variant.batch > 1:
                graph = openvino.Core().read_model(str(quantized[0]))
                set_batch(graph, variant.batch)
                openvino.save_model(graph, str(out / ENGINE_FILE), compress_to_fp16=False)
            else:
                link_files(quantized, out)
        else:
            with scratch(out) as folder:
                if calibration:
                    facts = qdq.build(model, calibration, folder / "qdq.onnx", self.table_judge)
                    with framework_errors("reading the model", Exception, unsupported=True):
                        graph = openvino.Core().read_model(str(folder / "qdq.onnx"))
                        graph.reshape(list(model.shape))
                else:
                    graph, facts["notes"] = read_model(model)
                if variant.batch > 1:
                    set_batch(graph, variant.batch)
                openvino.save_model(graph, str(out / ENGINE_FILE), compress_to_fp16=False)
        if variant.precision == "int8":
            facts |= _refuse_float(out / ENGINE_FILE, facts.get("fp32_layers", 0))
        return facts

    def settings(self, options: Any, threads: int) -> dict[str, Any]:
        """Return the properties that only this plug-in has."""
        return {"INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": options.pinning}

    def with_cache(self, options: dict[str, Any], folder: Path | None) -> dict[str, Any]:
        """Let OpenVINO keep the compiled model in `folder`, by its property CACHE_DIR."""
        properties = {key: value for key, value in (options.get("properties") or {}).items() if key != CACHE}
        return {**options, "properties": properties | ({CACHE: str(folder)} if folder else {})}

    def open(self, engine: Path, variant: Variant, options: Any, threads: int) -> OpenVINOSession:
        """Compile the saved representation for the device: one stream, `threads` threads, the variant's arithmetic."""
        return OpenVINOSession(self._compile(engine, variant, options, threads))

    def open_streams(self, engine: Path, variant: Variant, options: Any, threads: int) -> list[Session]:
        """Compile it once for all streams, among which OpenVINO divides the threads, and open a request for each."""
        more = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": variant.streams}
        compiled = self._compile(engine, variant, options, threads, **more)
        return [OpenVINOSession(compiled) for _ in range(variant.streams)]

    def open_profiled(self, engine: Path, variant: Variant, options: Any, threads: int) -> ProfiledOpenVINOSession:
        """Compile it in the same way, with OpenVINO's performance counters on."""
        return ProfiledOpenVINOSession(self._compile(engine, variant, options, threads, PERF_COUNT=True))

    def network(self, engine: Path, model: ExportedModel, calibration: Path | None, work: Path) -> Path:
        """Return the saved representation, which the CPU's plug-in compiles."""
        return engine / ENGINE_FILE

    def open_piece(
        self, piece: Path, variant: Variant, build_options: Any, run_options: Any, threads: int
    ) -> OpenVINOSession:
        """Compile the piece as a whole network is compiled."""
        return self.open(piece.parent, variant, run_options, threads)

    def _compile(self, engine: Path, variant: Variant, options: Any, threads: int, **more: Any) -> Any:
        import openvino

        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": HINTS[variant.precision],
            **self.settings(options, threads),
            **(options.properties or {}),
            **more,
        }
        with framework_errors("compiling the engine", Exception):
            compiled = openvino.Core().compile_model(str(engine / ENGINE_FILE), self.plugin, settings)
        taken = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if taken != HINTS[variant.precision]:
            raise Unsupported(f"OpenVINO computes in {taken} where {HINTS[variant.precision]} was asked")
        return compiled


def _refuse_float(engine: Path, fp32_layers: int) -> dict[str, Any]:
    """Return the number of layers that the compiled engine runs in 8 bits. Raises Failed when none does."""
    import openvino

    with framework_errors("compiling the engine", Exception):
        compiled = openvino.Core().compile_model(str(engine), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        nodes = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    kinds = [(str(facts["layerType"].value), str(facts["runtimePrecision"].value)) for facts in nodes]
    count = sum(kind in INT8_LAYERS and precision in ("i8", "u8") for kind, precision in kinds)
    if not count:
        raise none_in_int8(fp32_layers, "OpenVINO took none of the quantisers")
    return {"int8_layers": count}


def _threads(compiled: Any) -> int | None:
    """Return the threads that the compiled engine runs with; None where its device has no such property."""
    if "INFERENCE_NUM_THREADS" not in compiled.get_property("SUPPORTED_PROPERTIES"):
        return None
    return int(compiled.get_property("INFERENCE_NUM_THREADS"))


class OpenVINOSession:
    """One infer request. The input array is shared, not copied."""

    def __init__(self, compiled: Any) -> None:
        self._request = compiled.create_infer_request()
        self.threads = _threads(compiled)

    def upload(self, image: Float32Image) -> None:
        """Share the array, which is on the device already."""
        import openvino

        self._request.set_input_tensor(openvino.Tensor(image, shared_memory=True))

    def execute(self) -> None:
        """Start the request and wait. `infer` would wrap results into Python objects inside the timed call."""
        with framework_errors("running the network", Exception):
            self._request.start_async()
            self._request.wait()

    def synchronize(self) -> None:
        """Nothing is in flight on the CPU."""

    def download(self) -> ClassMap | Logits:
        """Return a copy of the output: an H×W class map, N×H×W of a batch, or C×H×W logits."""
        return without_batch(self._request.get_output_tensor().data).copy()

    def run(self, tensors: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Run a network of many inputs and outputs."""
        with framework_errors("running the network", Exception):
            self._request.infer(dict(tensors))
        count = len(self._request.model_outputs)
        return [self._request.get_output_tensor(number).data.copy() for number in range(count)]


class ProfiledOpenVINOSession(OpenVINOSession):
    """A session that keeps the counters of each request."""

    def __init__(self, compiled: Any) -> None:
        super().__init__(compiled)
        self._nodes = {node.get_friendly_name(): node for node in compiled.get_runtime_model().get_ordered_ops()}
        self._seconds: dict[str, list[float]] = {}
        self._of: dict[str, Any] = {}

    def execute(self) -> None:
        """Run the request, and read what each executed node took."""
        super().execute()
        for one in self._request.profiling_info:
            if one.status == one.Status.EXECUTED:
                self._of[one.node_name] = one
                self._seconds.setdefault(one.node_name, []).append(one.real_time.total_seconds())

    def layers(self) -> list[LayerTimes]:
        """Return the nodes that any request executed."""
        return [self._layer(name, seconds) for name, seconds in self._seconds.items()]

    def _layer(self, name: str, seconds: list[float]) -> LayerTimes:
        counter = self._of[name]
        facts = self._nodes[name].get_rt_info() if name in self._nodes else {}
        fused = str(facts["originalLayersNames"].value) if "originalLayersNames" in facts else ""
        kernel, _, arithmetic = counter.exec_type.rpartition("_")
        precision = PRECISIONS.get(arithmetic.lower(), "") if kernel else ""
        stands_for = tuple(filter(None, fused.split(",")))
        return LayerTimes(name, counter.node_type, counter.exec_type, precision, stands_for, tuple(seconds))


ENGINE = OpenVINO()
