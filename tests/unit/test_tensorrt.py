"""What TensorRT is built from, and what of it can be checked without a GPU: real engines of TensorRT for RTX."""

import ast
import importlib
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from helpers.calibration_cache import read_cache
from helpers.made import make_onnx_model
from helpers.skips import need_package
from onnx import TensorProto, numpy_helper
from segbench.calibration.table import CalibrationTable, write_table
from segbench.calibration.typed_onnx import write_typed
from segbench.config.options import Variant
from segbench.engines.base import load
from segbench.engines.openvino_gpu import has_intel_gpu
from segbench.engines.tensorrt import _take_timings, read_layers
from segbench.errors import Failed, Unsupported
from segbench.files import manifest_of, sha256_of
from segbench.machine.cpu import this_machine
from segbench.models.exported import ExportedModel
from segbench.runtimes.tensorrt.calibration_cache import cache_text
from segbench.runtimes.tensorrt.flags import keep_in_fp32, write_with_wide_output
from segbench.runtimes.tensorrt.session import ThisGPU, check_identity, write_identity

ENGINES = Path(__file__).parents[2] / "workflow_scripts" / "segbench"
PRECISIONS = ("fp32", "fp16", "int8")
RANGES = {"image": (-1.0, 0.5), "logits": (-4.0, 6.0)}


@pytest.fixture
def model(tmp_path) -> ExportedModel:
    """An exported model with its calibration in folder `table` beside it."""
    make_onnx_model(tmp_path / "model.onnx")
    files = {"model.onnx": sha256_of(tmp_path / "model.onnx")}
    exported = ExportedModel(tmp_path, {"files": files, "input": {"height": 32, "width": 64}})
    (tmp_path / "table").mkdir()
    write_table(tmp_path / "table" / "table.json", CalibrationTable(exported.digest, {}, {}, {}, RANGES))
    (tmp_path / "table" / "layers.onnxruntime.json").write_text('{"fp32_layers": []}')
    return exported


def typed(model: ExportedModel, precision: str) -> onnx.ModelProto:
    out = model.folder / f"{precision}.onnx"
    write_typed(model, model.folder / "table", Variant("v", "tensorrt", precision), out)
    return onnx.load(out)


def test_fp16_is_cast_but_for_input_and_output(model):
    graph = typed(model, "fp16").graph
    assert {i.data_type for i in graph.initializer} == {TensorProto.FLOAT16}
    assert graph.input[0].type.tensor_type.elem_type == graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT


def test_int8_for_tensorrt_is_symmetric_with_float_weights(model):
    graph = typed(model, "int8").graph
    values = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    quantizers = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    assert all(not values[node.input[2]].any() and values[node.input[2]].dtype == np.int8 for node in quantizers)
    assert any(values[node.input[0]].dtype == np.float32 for node in quantizers if node.input[0] in values)
    scales = {node.input[0]: float(values[node.input[1]]) for node in quantizers if node.input[0] not in values}
    assert scales["image"] == pytest.approx(1.0 / 127, rel=0.02)  # the larger end of its range, over 127 steps


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_lower_precisions_say_what_fp32_says(model, precision):
    image = np.random.default_rng(0).uniform(-1, 0.5, (1, 3, 32, 64)).astype(np.float32)

    def classes(which: str) -> np.ndarray:
        content = typed(model, which).SerializeToString()
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        return session.run(None, {"image": image})[0].argmax(1)

    assert np.mean(classes(precision) == classes("fp32")) > 0.9  # of noise


# The calibration cache


def test_calibration_cache_reads_back_as_the_table_it_was_made_from():
    text = cache_text({**RANGES, "block.1/conv: 2": (0.0, 1e-3)}, "8.5.3.1")
    assert text.splitlines()[0] == b"TRT-8503-EntropyCalibration2"
    assert text.splitlines()[1] == b"image: 3c010204"  # 1/127
    found = read_cache(text)
    assert found == pytest.approx({"image": 1.0, "logits": 6.0, "block.1/conv: 2": 1e-3})


def test_class_map_of_bytes_is_widened_for_tensorrt_8(model, tmp_path):
    graph = onnx.load(model.folder / "model.onnx")
    node = onnx.helper.make_node("ArgMax", ["logits"], ["best"], axis=1, keepdims=0)
    cast = onnx.helper.make_node("Cast", ["best"], ["class_map"], to=TensorProto.UINT8)
    graph.graph.node.extend([node, cast])
    graph.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("class_map", TensorProto.UINT8, [1, 32, 64]))
    onnx.save(graph, tmp_path / "bytes.onnx")
    write_with_wide_output(tmp_path / "bytes.onnx", tmp_path / "wide.onnx")
    onnx.checker.check_model(str(tmp_path / "wide.onnx"), full_check=True)
    assert onnx.load(tmp_path / "wide.onnx").graph.output[0].type.tensor_type.elem_type == TensorProto.INT32


# Identity


class Bindings:
    __name__, __version__ = "tensorrt", "8.5.3.1"


@pytest.mark.parametrize(
    ("version", "gpu", "message"),
    [
        ("8.5.3.1", ThisGPU("NVIDIA A10", "8.6", 24000), ""),
        ("8.6.1", ThisGPU("NVIDIA A10", "8.6", 24000), "was built by TensorRT 8.5.3.1; 8.6.1 is installed"),
        ("8.5.3.1", ThisGPU("NVIDIA T4", "7.5", 16000), "was built for NVIDIA A10; this is NVIDIA T4"),
        ("8.5.3.1", ThisGPU("NVIDIA A10", "8.6", 6000), "for NVIDIA A10 with 24000 MiB; this one has 6000"),
    ],
)
def test_an_engine_of_another_gpu_or_version_is_refused(model, version, gpu, message):
    here = type("Here", (), {"__name__": "tensorrt", "__version__": version})
    write_identity(model.folder, Bindings, model, gpu="NVIDIA A10", memory_mib=24000, compute_capabilities=["8.6"])
    if not message:
        check_identity(model.folder, here, gpu)
        return
    with pytest.raises(Unsupported, match=message):
        check_identity(model.folder, here, gpu)


# What must not cost a row


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (
            '{"Layers": [{"Name": "a", "Scale": nan, "Outputs": [{"Format": "FP16"}], "x": [-inf, inf]}, "b"]}',
            {"layer_count": 2, "layers_by_format": {"FP16": 1}},
        ),
        ('{"Layers": [{"Name": "nan, inf", "Outputs": "Int8"}]}', {"layer_count": 1, "layers_by_format": {"INT8": 1}}),
        ('{"Layers": [', {}),
        ("[]", {}),
    ],
)
def test_a_layer_report_that_is_not_json_costs_no_row(report, expected):
    assert read_layers(report) == expected


class Network:
    """Of a builder: its layers by number, and the flags that were set."""

    def __init__(self, *names):
        self.layers = [SimpleNamespace(name=name, precision=None) for name in names]
        self.network = SimpleNamespace(num_layers=len(names), get_layer=self.layers.__getitem__)
        self.flags: list[str] = []
        self.config = SimpleNamespace(set_flag=self.flags.append)


TRT = SimpleNamespace(BuilderFlag=SimpleNamespace(OBEY_PRECISION_CONSTRAINTS="obey"), float32="fp32")


def test_a_layer_that_the_parser_folded_away_needs_no_fp32():
    builder = Network("conv1", "conv2")
    assert keep_in_fp32(TRT, builder, ["conv2", "reshape"]) == ["conv2"]
    assert [layer.precision for layer in builder.layers] == [None, "fp32"] and builder.flags == ["obey"]


def test_no_layer_to_keep_sets_no_flag():
    builder = Network("conv1")
    assert keep_in_fp32(TRT, builder, []) == [] and builder.flags == []


def test_a_network_that_has_none_of_the_layers_fails_with_a_reason():
    with pytest.raises(Failed, match=r"none of the 2 layers to keep in FP32 is in TensorRT's network \('a', …\)"):
        keep_in_fp32(TRT, Network("conv1"), ["a", "b"])


@pytest.mark.parametrize("content", [b"", b"damaged", b"of another GPU", b"good"])
def test_a_timing_cache_that_does_not_fit_is_made_anew(tmp_path, content):
    """TensorRT answers null for a damaged one, and refuses one of another GPU."""
    (tmp_path / "timings").write_bytes(content)
    taken = []
    config = SimpleNamespace(
        create_timing_cache=lambda content: None if content == b"damaged" else content,
        set_timing_cache=lambda cache, ignore_mismatch: taken.append(cache) or cache != b"of another GPU",
    )
    expected = content if content == b"good" else b""
    assert _take_timings(config, tmp_path / "timings") == expected == taken[-1]
    assert _take_timings(config, tmp_path / "missing") == b""


# TensorRT for RTX, for real


def test_rtx_serializes_the_same_bytes_twice_in_every_precision(model, tmp_path):
    need_package("tensorrt_rtx_bindings")
    engine = load("tensorrt_rtx")
    options = replace(engine.build_options(), compute_capabilities=("8.9",))
    made = {}
    for precision in PRECISIONS:
        variant = Variant(f"tensorrt_rtx-{precision}", "tensorrt_rtx", precision)
        assert engine.can_build(variant, this_machine()).ok
        for number in (1, 2):
            table = model.folder / "table" if precision == "int8" else None
            engine.build(model, table, variant, options, tmp_path / f"{precision}{number}")
        made[precision] = manifest_of(tmp_path / f"{precision}1")
        assert made[precision] == manifest_of(tmp_path / f"{precision}2")
        assert json.loads((tmp_path / f"{precision}1/identity.json").read_text())["compute_capabilities"] == ["8.9"]
    assert len({manifest["model.plan"] for manifest in made.values()}) == 3


def test_rtx_names_the_gpus_that_it_builds_for(model, tmp_path):
    need_package("tensorrt_rtx_bindings")
    engine = load("tensorrt_rtx")
    options = replace(engine.build_options(), compute_capabilities=("9.9",))
    with pytest.raises(Unsupported, match=r"builds for .*8\.9.*, not for 9\.9"):
        engine.build(model, None, Variant("v", "tensorrt_rtx", "fp32"), options, tmp_path / "out")


def test_a_network_that_tensorrt_cannot_parse_is_unsupported_in_its_words(model, tmp_path):
    need_package("tensorrt_rtx_bindings")
    graph = onnx.load(model.folder / "model.onnx")
    graph.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(graph, model.folder / "model.onnx")
    engine = load("tensorrt_rtx")
    with pytest.raises(Unsupported, match=r"cannot parse the model: .*NoSuchOperator"):
        variant = Variant("v", "tensorrt_rtx", "fp32")
        engine.build(model, None, variant, engine.build_options(), tmp_path / "out")


def test_every_call_of_the_session_exists_in_the_bindings():
    """No GPU runs it here: the names at least are the real libraries'."""
    need_package("tensorrt_rtx_bindings")
    trt, cuda = (importlib.import_module(name) for name in ("tensorrt_rtx_bindings", "cuda.bindings.runtime"))
    owners = {"trt": trt, "cuda": cuda, "_cuda": cuda, "_engine": trt.ICudaEngine, "_context": trt.IExecutionContext}
    checked = 0
    for node in ast.walk(ast.parse((ENGINES / "runtimes" / "tensorrt" / "session.py").read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, (ast.Name, ast.Attribute)):
            owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
            if owner in owners and node.attr not in ("__name__", "__version__"):
                assert hasattr(owners[owner], node.attr), f"{owner}.{node.attr}"
                checked += 1
    assert checked > 20


# OpenVINO's GPU


def test_only_a_device_of_intels_is_an_intel_gpu(tmp_path):
    assert has_intel_gpu(tmp_path) == (False, "no Intel GPU", "")
    for number, vendor in enumerate(("0x10de", "0x8086"), 128):
        assert not has_intel_gpu(tmp_path).ok
        (tmp_path / f"renderD{number}" / "device").mkdir(parents=True)
        (tmp_path / f"renderD{number}" / "device" / "vendor").write_text(f"{vendor}\n")
    assert has_intel_gpu(tmp_path).ok
