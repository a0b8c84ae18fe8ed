"""Explaining the time of one row by that of another, from the times of their layers."""

import pytest
from segbench.report import render
from segbench.report.waterfall import waterfall
from segbench.table.explain import GROUPS, OUTSIDE, REST, changes, group_of, sentence, sum_of_layers
from segbench.timing.layers import Profile

TITLES = ("engine-fp32", "engine-int8")


def profile(run_ms: float, *layers: tuple[str, str, float]) -> Profile:
    """A profile of layers given by kind, precision and milliseconds."""
    made = [
        {
            "name": f"{at} {kind}", "kind": kind, "kernel": "", "precision": precision, "stands_for": [],
            "median_s": ms * 1e-3, "low_s": ms * 1e-3, "high_s": ms * 1e-3,
        }
        for at, (kind, precision, ms) in enumerate(layers)
    ]  # fmt: skip
    return {"runs": 16, "run_s": run_ms * 1e-3, "layers": made}  # type: ignore[typeddict-item]


FP32 = profile(20.5, ("Conv", "fp32", 10), ("Conv", "fp32", 5), ("Resize", "fp32", 3), ("ArgMax", "fp32", 2))
INT8 = profile(
    13.0, ("QuantizeLinear", "fp32", 1), ("QLinearConv", "int8", 3), ("Conv", "fp32", 4),
    ("DequantizeLinear", "int8", 1), ("Resize", "fp32", 3), ("ArgMax", "fp32", 0.5),
)  # fmt: skip


@pytest.mark.parametrize(
    ("group", "kinds"),
    [
        ("convolutions", ["Conv", "QLinearConv", "FusedConv", "Convolution", "fused_conv2d", "conv2d_transpose"]),
        (
            "matrix products",
            ["MatMul", "QLinearMatMul", "QGemm", "FullyConnected", "fc", "matmul_v2", "mul", "MatrixMultiply"],
        ),
        ("softmax", ["Softmax", "QLinearSoftmax"]),
        ("resizing", ["Resize", "Upsample", "Interpolate", "bilinear_interp_v2"]),
        ("argmax", ["ArgMax", "TopK", "arg_max"]),
        ("pooling and means", ["AveragePool", "QLinearAveragePool", "AvgPool", "pool2d", "ReduceMean"]),
        (
            "conversions",
            ["QuantizeLinear", "DequantizeLinear", "ReorderInput", "Reorder", "Convert", "requantize", "Reformat"],
        ),
        ("concatenation and slices", ["Concat", "QLinearConcat", "slice", "reshape2", "unsqueeze2", "Shuffle"]),
        (REST, ["Add", "QLinearAdd", "Mul", "Relu", "elementwise_add", "Subgraph", "MVN", "layer_norm", "Sigmoid"]),
    ],
)
def test_operators_of_all_engines_have_their_group(group, kinds):
    assert {group_of(kind) for kind in kinds} == {group}


def test_every_group_is_tested():
    marks = test_operators_of_all_engines_have_their_group.pytestmark[0].args[1]
    assert {group for group, _ in marks} == {name for name, _ in GROUPS} | {REST}


def test_changes_add_up_to_the_difference_of_the_runs():
    found = changes(FP32, INT8)
    assert sum(one.seconds for one in found) == pytest.approx(INT8["run_s"] - FP32["run_s"])
    assert [one.name for one in found[:3]] == ["convolutions", "conversions", "argmax"]  # the largest change first
    assert found[-1].name == OUTSIDE
    assert found[-1].first.seconds == pytest.approx(FP32["run_s"] - sum_of_layers(FP32)) == pytest.approx(0.5e-3)


def test_sentence_says_what_is_saved_and_what_is_lost():
    assert sentence(TITLES, FP32, INT8, fp32_layers=1) == (
        "engine-int8 takes 13.0 ms where engine-fp32 takes 20.5 ms (×0.63): it saves 8.00 ms in convolutions"
        " (2 layers), 1.50 ms in argmax (1 layer) and loses 2.00 ms in conversions (0 → 2 layers)."
        " Not in INT8: 1 of its 2 convolutions and matrix products, 4.00 ms."
        " The calibrator left 1 layer in FP32 (calibration.max_drop)."
    )


def test_equal_rows_have_nothing_to_explain():
    assert sentence(TITLES, FP32, FP32).endswith("(×1.00): no group of layers differs by 2.0% or more.")


def test_bars_of_the_waterfall_meet():
    plot = waterfall(TITLES, changes(FP32, INT8))
    first, *steps, last = plot.records
    assert first["end"] == pytest.approx(20.5) and last["end"] == pytest.approx(13.0)
    for before, after in zip([first, *steps], steps, strict=False):
        assert after["start"] == pytest.approx(before["end"])
    assert steps[-1]["end"] == pytest.approx(last["end"])
    assert "engine-int8" in render.svg(plot.file_spec())
