"""TensorRT's layers: what its inspector reports and its profiler times, in the forms that NVIDIA's tools record."""

from __future__ import annotations

import importlib
import json

import pytest
from helpers.skips import need_package
from segbench.engines.base import LayerTimes
from segbench.engines.tensorrt import layers_of_runs, reported
from segbench.runtimes.tensorrt import session
from segbench.table.explain import group_of
from segbench.timing.layers import profile_of

FP32, INT8, HALF = "Row major linear FP32", "Thirty-two wide channel vectorized row major Int8 format", "Half"


def layer(name: str, kind: str, taken: str, made: str, **more: str) -> dict[str, object]:
    """A layer of a report with detailed verbosity."""
    tensors = [[{"Name": "x", "Dimensions": [1, 8, 32, 64], "Format/Datatype": form}] for form in (taken, made)]
    return {"Name": name, "LayerType": kind, "Inputs": tensors[0], "Outputs": tensors[1], **more}


POINTWISE = "PWN((Unnamed Layer* 112) [ElementWise], PWN(exp (1), (Unnamed Layer* 113) [Unary]))"
# As 8.2 to 8.5 report a quantised network: the nodes stand in the layer's name.
REPORT_8 = [
    layer("quantize_image", "Reformat", FP32, INT8, ParameterType="Reformat", Origin="QDQ"),
    layer("stem.weight + quantize_stem + conv1 + relu1", "CaskConvolution", INT8, INT8, Activation="RELU",
          TacticName="sm80_xmma_fprop_implicit_gemm_interleaved_i8i8_i8i32_f32_nchw_vect_c_32kcrs_vect_c_32"),
    layer("Reformatting CopyNode for Input Tensor 0 to head", "Reformat", INT8, FP32, Origin="REFORMAT"),
    layer("head + PWN(PWN(sigmoid), multiply)", "CaskConvolution", FP32, FP32, TacticName="ampere_scudnn_128x64"),
    layer(POINTWISE, "PointWiseV2", FP32, FP32),
    layer("argmax", "TopK", FP32, FP32),
]  # fmt: skip
# As 10 reports one: in the metadata.
REPORT_10 = [
    layer("__myl_FcAddResi_myl0_3", "gemm", HALF, HALF,
          Metadata="[ONNX Layer: fc]\x1e[ONNX Layer: add]\x1e[ONNX Layer: fc]",
          TacticName="sm80_xmma_gemm_f16f16_f16f32_f16_tn_n_tilesize64x64x32"),
    layer("{ForeignNode[softmax...reshape]}", "Myelin", HALF, HALF, Metadata=""),
]  # fmt: skip


def layers_of(report: list[dict[str, object]], *runs: list[tuple[str, float]]) -> list[LayerTimes]:
    """The layers of a report that each run tells of."""
    text = json.dumps({"Layers": report, "Bindings": ["image", "class_map"]})
    return layers_of_runs(list(runs), reported(text))


def one_run(report: list[dict[str, object]], seconds: float = 1e-3) -> list[tuple[str, float]]:
    return [(str(one["Name"]), seconds) for one in report]


def test_fusions_are_named_by_the_nodes_in_a_layers_name():
    found = layers_of(REPORT_8, one_run(REPORT_8))
    assert [one.stands_for for one in found] == [
        ("quantize_image",), ("stem.weight", "quantize_stem", "conv1", "relu1"), (), ("head", "sigmoid", "multiply"),
        ("exp (1)",), ("argmax",),
    ]  # fmt: skip
    assert [one.precision for one in found] == ["fp32", "int8", "int8", "fp32", "fp32", "fp32"]
    assert found[1].kernel.startswith("sm80_xmma_fprop") and found[5].kernel == ""


def test_fusions_are_named_by_the_metadata_where_there_are_any():
    fused, foreign = layers_of(REPORT_10, one_run(REPORT_10))
    assert (fused.stands_for, fused.precision, fused.kind) == (("fc", "add"), "fp16", "gemm")
    assert foreign.stands_for == ("softmax", "reshape")


def test_kinds_of_layers_have_their_group():
    found = [group_of(one.kind) for one in layers_of(REPORT_8, one_run(REPORT_8))]
    assert found == [
        "conversions", "convolutions", "conversions", "convolutions", "arithmetic and others", "argmax"
    ]  # fmt: skip
    assert group_of("gemm") == group_of("MatrixMultiply") == "matrix products"
    assert group_of("Shuffle") == group_of("Slice") == "concatenation and slices"


def test_times_are_those_of_the_profiler_by_run():
    runs = [one_run(REPORT_8, seconds) for seconds in (9.0, 1e-3, 3e-3)]
    found = layers_of(REPORT_8, *runs)
    assert [one.seconds for one in found] == [(9.0, 1e-3, 3e-3)] * len(REPORT_8)
    profile = profile_of(found, [12e-3, 18e-3])  # the first run was warm-up
    assert [one["median_s"] for one in profile["layers"]] == pytest.approx([2e-3] * len(REPORT_8))


def test_layer_that_runs_twice_is_two_layers():
    copy = [("copy", 1e-3), ("conv", 2e-3), ("copy", 3e-3)]
    found = layers_of([], copy, copy)
    assert [(one.name, one.seconds) for one in found] == [
        ("copy", (1e-3, 1e-3)), ("conv", (2e-3, 2e-3)), ("copy #2", (3e-3, 3e-3)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "report", ['{"Layers": ["conv1 + relu1", "Reformatting CopyNode for Output Tensor 0 to x"]}', "["]
)
def test_report_of_names_alone_or_a_damaged_one_leaves_the_times(report):
    runs = [[("conv1 + relu1", 1e-3), ("Reformatting CopyNode for Output Tensor 0 to x", 2e-3)]]
    conv, copy = layers_of_runs(runs, reported(report))
    assert (conv.stands_for, conv.kind, conv.precision) == (("conv1", "relu1"), "", "")
    assert (copy.stands_for, copy.kind, copy.seconds) == ((), "Reformat", (2e-3,))


def test_profiler_of_the_real_bindings_takes_the_times_of_the_run_at_hand():
    need_package("tensorrt_rtx_bindings")
    trt = importlib.import_module("tensorrt_rtx_bindings")
    runs: list[list[tuple[str, float]]] = []
    profiler = session._profiler(trt, runs)
    assert isinstance(profiler, trt.IProfiler)
    for milliseconds in (1.5, 2.5):
        runs.append([])
        profiler.report_layer_time("conv", milliseconds)
    assert runs == [[("conv", 1.5e-3)], [("conv", 2.5e-3)]]
