"""Standalone TensorRT on an NVIDIA GPU, from the model's ONNX form: version 8.5 and later, whichever is installed.

Up to 9, builder flags say the arithmetic, and INT8 takes its ranges from a calibration cache made from our table. From
10 on the model's types say it (`segbench/models/typed_onnx.py`): FP16 is cast, INT8 has Q/DQ pairs; what 10 deprecates
and 11 has removed is not used.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.calibration import qdq
from segbench.calibration.base import ANY_TABLE, layers_file
from segbench.calibration.table import read_table
from segbench.calibration.typed_onnx import write_typed
from segbench.config.options import Variant
from segbench.engines.base import Engine, GPUCode, LayerTimes, Session
from segbench.errors import Unsupported
from segbench.files import atomic, read_json, write_text
from segbench.models.exported import ExportedModel
from segbench.runtimes.tensorrt.calibration_cache import cache_text
from segbench.runtimes.tensorrt.flags import keep_in_fp32, make_calibrator, write_with_wide_output
from segbench.runtimes.tensorrt.libraries import import_tensorrt
from segbench.runtimes.tensorrt.plan import FIRST_TYPED, Builder, Plan, load_plan, major
from segbench.runtimes.tensorrt.session import (
    CUDASession,
    ProfiledCUDASession,
    check_identity,
    this_gpu,
    write_identity,
)

NO_NUMBER = re.compile(r"(?<=[:\[,\s])-?(?:nan|inf)(?=\s*[,\]}])")  # as C++ writes them: not JSON's
TIMINGS, LAYERS = "timing.cache", "layers.json"
FORMATS = re.compile(r"\b(FP32|FP16|BF16|Half|Int8|INT8|Float)\b")  # as the inspector writes them
PRECISIONS = {"FP32": "fp32", "FLOAT": "fp32", "FP16": "fp16", "HALF": "fp16", "BF16": "bf16", "INT8": "int8"}
REFORMAT, UNNAMED = "Reformatting CopyNode", "(Unnamed Layer"  # layers that no ONNX node became, by their names
POINTWISE = "PWN("
ONNX_NODES = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
PARTS = re.compile(r" \+ |, |\.\.\.")  # what stands between the nodes of a name

TURING_AND_LATER = ((7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0))


@dataclass(frozen=True)
class BuildOptions:
    """`workspace_mb`: MiB of GPU memory that a layer may use (null: all); `timing_cache`: a file of measured layers,
    read before and written after a build, shared by all models (null: only beside the engine); `int8`, before version
    10: `calibrator` or `qdq`; `others`, before version 10: what INT8 leaves, in `fp32` or `fp16`."""

    workspace_mb: int | None = None
    timing_cache: str | None = None
    int8: str = "calibrator"
    others: str = "fp32"

    def __post_init__(self) -> None:
        if self.int8 not in ("calibrator", "qdq"):
            raise ValueError("int8 must be calibrator or qdq")
        if self.others not in ("fp32", "fp16"):
            raise ValueError("others must be fp32 or fp16")


@dataclass(frozen=True)
class RunOptions:
    """`cuda_graph`: record the network's launches once and replay them."""

    cuda_graph: bool = False


class TensorRT(Engine):
    """TF32 off; the plan is loaded by another process than the one that built it."""

    device = "gpu"
    precisions = ("fp32", "fp16", "int8")
    environment = "envs/tensorrt.yaml"
    install = "make env-tensorrt"
    packages = ("tensorrt", "cuda-bindings")
    modules = ("onnx", "cuda.bindings.runtime")
    gpu_code = (
        # 8.5.3 is of CUDA 11.8, whose driver may be 450.80; the pinned cuda-bindings 12 want one of CUDA 12.
        GPUCode("8.5", ((6, 0), (6, 1), (7, 0), (7, 5), (8, 0), (8, 6), (9, 0)), cuda=(12, 0)),
        # 10.5 dropped Volta; the pinned packages are of CUDA 13 (TensorRT's release notes, Prerequisites).
        GPUCode("10", TURING_AND_LATER, cuda=(13, 0)),
        GPUCode("11", TURING_AND_LATER, cuda=(13, 0)),
    )
    calibrators = (ANY_TABLE,)
    reads = ("onnx",)
    build_options = BuildOptions
    run_options = RunOptions

    def import_framework(self, building: bool = True) -> None:
        """Through our own way of loading it, too."""
        super().import_framework(building)
        import_tensorrt()

    def build(
        self, model: ExportedModel, calibration: Path | None, variant: Variant, options: Any, out: Path
    ) -> dict[str, Any]:
        """Measure and serialize for this GPU; leave the plan, the timing cache and a report of the layers."""
        trt, gpu = import_tensorrt(), this_gpu()
        out.mkdir(parents=True)
        with tempfile.TemporaryDirectory(dir=out.parent) as folder:
            if major(trt) < FIRST_TYPED:
                builder, facts = build_by_flags(trt, model, calibration, variant, options, Path(folder))
            elif options.others != "fp32":
                raise Unsupported(f"others: fp16 is a flag of TensorRT before 10; {trt.__version__} is installed")
            else:
                typed = Path(folder) / "model.onnx"
                facts = write_typed(model, calibration, variant, typed)
                builder = Builder(trt, typed)
        if options.workspace_mb:
            builder.config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mb << 20)
        shared = Path(options.timing_cache) if options.timing_cache else None
        timings = _take_timings(builder.config, shared)
        builder.build(out)
        _keep_timings(bytes(timings.serialize()), out / TIMINGS, *([shared] if shared else []))
        capabilities = [gpu.compute_capability]
        write_identity(out, trt, model, gpu=gpu.name, memory_mib=gpu.memory_mib, compute_capabilities=capabilities)
        return facts | _report_layers(trt, out)

    def open(self, engine: Path, variant: Variant, options: Any, threads: int) -> Session:
        """Load the plan that was built for this very GPU by this very version."""
        trt = import_tensorrt()
        check_identity(engine, trt, this_gpu())
        loaded = load_plan(trt, engine)
        return CUDASession(trt, loaded, loaded.engine.create_execution_context(), options.cuda_graph)

    def open_profiled(self, engine: Path, variant: Variant, options: Any, threads: int) -> ProfiledTensorRTSession:
        """Load the plan as `open` does, and attach a profiler. The report of its layers is the build's."""
        trt = import_tensorrt()
        check_identity(engine, trt, this_gpu())
        loaded = load_plan(trt, engine)
        report = (engine / LAYERS).read_text(encoding="utf-8")
        return ProfiledTensorRTSession(trt, loaded, loaded.engine.create_execution_context(), report)


class ProfiledTensorRTSession(ProfiledCUDASession):
    """A session of a plan with the inspector's report of its layers."""

    def __init__(self, trt: Any, plan: Plan, context: Any, report: str) -> None:
        super().__init__(trt, plan, context)
        self._report = report

    def layers(self) -> list[LayerTimes]:
        """Return the layers in running order."""
        return layers_of_runs(self.runs, reported(self._report))


def _take_timings(config: Any, shared: Path | None) -> Any:
    """The timing cache of a build: the shared file's, or an empty one where that is damaged, or of another GPU or
    version; the file is written anew after the build."""
    content = shared.read_bytes() if shared and shared.exists() else b""
    timings = config.create_timing_cache(content)
    if timings is None or not config.set_timing_cache(timings, ignore_mismatch=False):
        timings = config.create_timing_cache(b"")
        config.set_timing_cache(timings, ignore_mismatch=False)
    return timings


def _keep_timings(content: bytes, *paths: Path) -> None:
    for path in paths:
        with atomic(path) as temporary:
            temporary.write_bytes(content)


def _report_layers(trt: Any, folder: Path) -> dict[str, Any]:
    """Write what each layer of the plan is (fused from what, in which format) to layers.json; returns their number and
    how many write each format."""
    plan = load_plan(trt, folder)
    inspector = plan.engine.create_engine_inspector()
    report = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    write_text(folder / LAYERS, report)
    return read_layers(report)


def read_layers(report: str) -> dict[str, Any]:
    """The number of a report's layers and how many write each format; empty where it cannot be read: a report decides
    nothing about a row."""
    layers = reported(report)
    if layers is None:
        return {}
    counts = Counter(found.upper() for layer in layers if (found := _format(layer.get("Outputs", ""))))
    return {"layer_count": len(layers), "layers_by_format": dict(counts)}


def reported(report: str) -> list[dict[str, Any]] | None:
    """Return the layers of the inspector's report; None where it cannot be read. One that has names only, as of a build
    without detailed verbosity, gives layers with a `Name` alone.
    """
    try:
        layers = json.loads(NO_NUMBER.sub("null", report))["Layers"]
    except (ValueError, KeyError, TypeError) as error:
        print(f"{LAYERS} cannot be read, so nothing of the layers is told: {error}", flush=True)
        return None
    return [layer if isinstance(layer, dict) else {"Name": str(layer)} for layer in layers]


def _format(tensors: Any) -> str:
    """Return the first format that the report names of some tensors; "": it names none."""
    found = FORMATS.search(json.dumps(tensors))
    return found.group(1) if found else ""


def layers_of_runs(runs: list[list[tuple[str, float]]], layers: list[dict[str, Any]] | None) -> list[LayerTimes]:
    """Return the layers that TensorRT's profiler told of in each run, with what the inspector's report says of them.

    A layer that is told twice in a run is two layers.
    """
    of_name = {str(layer.get("Name", "")): layer for layer in layers or []}
    seconds: dict[tuple[str, int], list[float]] = {}
    for run in runs:
        told: Counter[str] = Counter()
        for name, took in run:
            seconds.setdefault((name, told[name]), []).append(took)
            told[name] += 1
    return [_layer(name, number, of_name.get(name, {}), took) for (name, number), took in seconds.items()]


def _layer(name: str, number: int, facts: dict[str, Any], seconds: list[float]) -> LayerTimes:
    kind = str(facts.get("LayerType") or ("Reformat" if name.startswith(REFORMAT) else ""))
    precision = PRECISIONS.get(_format(facts.get("Inputs", "")).upper(), "")
    numbered = f"{name} #{number + 1}" if number else name
    kernel = str(facts.get("TacticName", ""))
    return LayerTimes(numbered, kind, kernel, precision, fused_nodes(name, facts), tuple(seconds))


def fused_nodes(name: str, facts: dict[str, Any]) -> tuple[str, ...]:
    """Return the ONNX nodes that a layer was fused from: those that the report's metadata name (from 8.6 on), else the
    parts of its name, "conv1 + PWN(relu1)". A layer that TensorRT added stands for none.
    """
    if found := ONNX_NODES.findall(str(facts.get("Metadata", ""))):
        return tuple(dict.fromkeys(found))
    if name.startswith(REFORMAT):
        return ()
    parts = map(_bare, PARTS.split(name.removeprefix("{ForeignNode[").removesuffix("]}")))
    return tuple(dict.fromkeys(part for part in parts if not part.startswith(UNNAMED)))


def _bare(part: str) -> str:
    """Return a part of a layer's name without the brackets of pointwise fusions that it is in."""
    bare = part.replace(POINTWISE, "")
    closing = bare.count(")") - bare.count("(")
    return bare[:-closing] if closing > 0 and bare.endswith(")" * closing) else bare


ENGINE = TensorRT()


def build_by_flags(
    trt: Any, model: ExportedModel, calibration: Path | None, variant: Variant, options: Any, folder: Path
) -> tuple[Builder, dict[str, Any]]:
    """A builder set to the variant's precision, and facts for the record. `folder`: for the models that it parses."""
    facts: dict[str, Any] = {}
    source = model.file("model.onnx")
    if source is None or not source.stat().st_size:
        raise Unsupported("this model has no ONNX form")
    if calibration and options.int8 == "qdq":
        source = folder / "qdq.onnx"
        facts = qdq.build(model, calibration, source, symmetric=True)
    elif calibration:
        source = qdq.prepare(model, folder)  # the table names this model's tensors
    wide = folder / "wide.onnx"
    write_with_wide_output(source, wide)
    builder = Builder(trt, wide)
    if variant.precision == "fp16" or (calibration and options.others == "fp16"):
        builder.config.set_flag(trt.BuilderFlag.FP16)
    if calibration:
        builder.config.set_flag(trt.BuilderFlag.INT8)
    if calibration and options.int8 == "calibrator":
        ranges = read_table(calibration / "table.json", model.digest).ranges
        kept = read_json(calibration / layers_file())["fp32_layers"]
        calibrator = make_calibrator(trt, cache_text(ranges, trt.__version__))
        builder.config.int8_calibrator = calibrator
        builder.alive.append(calibrator)
        facts = {"fp32_layers": len(keep_in_fp32(trt, builder, kept))}
    return builder, facts
