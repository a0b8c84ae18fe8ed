"""Calibration tables: ranges, what is refused, resuming; Q/DQ models; layers that stay in FP32."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from choose_layers import RUNTIMES
from helpers.made import make_folder_dataset, make_onnx_model
from onnx import TensorProto, helper, numpy_helper
from segbench.calibration import qdq
from segbench.calibration.base import needs_reduced_range
from segbench.calibration.images import CalibrationImages, split_rows
from segbench.calibration.onnxruntime import Options, collect, least_squared_error
from segbench.calibration.table import CalibrationTable, read_table, write_table
from segbench.errors import Failed, InputError, Unsupported
from segbench.files import sha256_of
from segbench.machine.cpu import this_machine
from segbench.models.exported import ExportedModel

PREPROCESSING = {"channel_order": "rgb", "scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3, "resize": "none"}
FACTS = {
    "model": "nearest",
    "preprocessing": PREPROCESSING,
    "input": {"height": 32, "width": 64},
    "class_map": None,
    "has_trained_weights": True,
    "files": {},
}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    return make_folder_dataset(tmp_path_factory.mktemp("scenes") / "made", count=6)


def rows_of(scenes: Path, count: int = 6) -> list[dict[str, str]]:
    names = [f"scene {number:02d}.png" for number in range(count)]
    return [
        {"image_id": n, "image": str(scenes / "val" / n), "label": str(scenes / "labels" / n)}
        | {"image_sha256": sha256_of(scenes / "val" / n)}
        for n in names
    ]


@pytest.fixture
def prepared(tmp_path) -> Path:
    make_onnx_model(tmp_path / "model.onnx")
    return qdq.prepare(ExportedModel(tmp_path, FACTS), tmp_path)


def ranges_of(prepared: Path, images: CalibrationImages, folder: Path, **options) -> dict:
    return collect(prepared, images, Options(**options), folder / "unfinished.npz", folder)


def test_minmax_ranges_are_those_of_the_activations(prepared, scenes, tmp_path):
    images = CalibrationImages(rows_of(scenes), FACTS)
    ranges = ranges_of(prepared, images, tmp_path, method="minmax")
    session = onnxruntime.InferenceSession(str(prepared), providers=["CPUExecutionProvider"])
    outputs = [session.run(None, {"image": image})[0] for image in images]
    assert ranges["image"] == (min(i.min() for i in images), max(i.max() for i in images))
    assert ranges["logits"] == pytest.approx((min(o.min() for o in outputs), max(o.max() for o in outputs)))


@pytest.mark.parametrize("method", ["percentile", "entropy", "mse"])
def test_other_methods_stay_inside_the_minmax_range(prepared, scenes, tmp_path, method):
    images = CalibrationImages(rows_of(scenes), FACTS)
    full = ranges_of(prepared, images, tmp_path, method="minmax")["logits"]
    low, high = ranges_of(prepared, images, tmp_path, method=method)["logits"]
    assert full[0] - 1e-3 <= low < high <= full[1] + 0.1 * (full[1] - full[0])


def test_mse_gives_up_a_lone_outlier():
    values = np.concatenate([np.random.default_rng(0).normal(0, 1, 1_000_000), [40.0]])
    counts, edges = np.histogram(values, bins=2048)
    low, high = least_squared_error(counts.astype(float), edges)
    assert 5 < high < 40

    def error(low: float, high: float) -> float:
        step = (high - low) / 255
        return float(((np.clip(np.round((values - low) / step), 0, 255) * step + low - values) ** 2).mean())

    assert error(low, high) < error(values.min(), 40.0)


@pytest.mark.parametrize("method", ["minmax", "percentile"])
def test_a_stopped_calibration_goes_on_where_it_stopped(prepared, scenes, tmp_path, monkeypatch, method):
    monkeypatch.setattr("segbench.calibration.onnxruntime.KEPT_EVERY_S", 0)
    whole = ranges_of(prepared, CalibrationImages(rows_of(scenes), FACTS), tmp_path, method=method)

    class Stops(CalibrationImages):
        def __getitem__(self, number):
            if number == 4:
                raise KeyboardInterrupt
            return super().__getitem__(number)

    seen = []

    class Counts(CalibrationImages):
        def __getitem__(self, number):
            seen.append(number)
            return super().__getitem__(number)

    with pytest.raises(KeyboardInterrupt):
        ranges_of(prepared, Stops(rows_of(scenes), FACTS), tmp_path, method=method)
    assert ranges_of(prepared, Counts(rows_of(scenes), FACTS), tmp_path, method=method) == whole
    assert seen == [4, 5]
    assert not (tmp_path / "unfinished.npz").exists()


@pytest.mark.parametrize("method", ["minmax", "percentile"])
def test_an_activation_that_is_not_a_number_is_named(scenes, tmp_path, method):
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "weight"], ["fine"], name="first"),
            helper.make_node("Sqrt", ["fine"], ["broken"], name="root"),
            helper.make_node("Conv", ["broken", "weight2"], ["logits"], name="second"),
        ],
        "nan",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 64])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 4, 32, 64])],
        [
            numpy_helper.from_array(-np.ones((4, 3, 1, 1), np.float32), "weight"),
            numpy_helper.from_array(np.ones((4, 4, 1, 1), np.float32), "weight2"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)
    onnx.save(model, str(tmp_path / "model.onnx"))
    prepared = qdq.prepare(ExportedModel(tmp_path, FACTS), tmp_path)
    with pytest.raises(Failed, match=r"activation 'broken' is not a number \(scene 00.png\)"):
        ranges_of(prepared, CalibrationImages(rows_of(scenes), FACTS), tmp_path, method=method)


def table_of(ranges: dict, model: str = "m") -> CalibrationTable:
    return CalibrationTable(model, {"a": "0"}, {"method": "minmax"}, {}, ranges)


def test_a_table_survives_its_file(tmp_path):
    table = table_of({"x": (-1.0, 2.5)})
    write_table(tmp_path / "table.json", table)
    assert read_table(tmp_path / "table.json", "m") == table


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update(model="another"), "is the table of another model"),
        (lambda t: t.update(format=7), "is no calibration table of format 1"),
        (lambda t: t.pop("images"), "its keys are"),
        (lambda t: t["ranges"].update(x=[1.0, -1.0]), r"tensor 'x' has the range \[1.0, -1.0\]"),
        (lambda t: t["ranges"].update(x=[0.0, float("nan")]), "tensor 'x' has the range"),
        (lambda t: t["ranges"].update(x=None), "tensor 'x' has the range None"),
    ],
)
def test_a_wrong_table_is_refused_by_name(tmp_path, change, message):
    path = tmp_path / "table.json"
    write_table(path, table_of({"x": (-1.0, 2.5)}))
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message) as refused:
        read_table(path, "m")
    assert str(path) in str(refused.value)


def test_a_cut_off_table_is_refused(tmp_path):
    path = tmp_path / "table.json"
    write_table(path, table_of({"x": (-1.0, 2.5)}))
    path.write_text(path.read_text()[:40])
    with pytest.raises(InputError, match="not valid JSON"):
        read_table(path, "m")


def quantized_kinds(path: Path) -> list[str]:
    graph = onnx.load(str(path)).graph
    made = {node.output[0]: node.op_type for node in graph.node}
    return [made.get(node.input[0], "") for node in graph.node if node.op_type == "Conv"]


def test_qdq_model_needs_no_image_and_leaves_named_layers_alone(prepared, scenes, tmp_path):
    ranges = ranges_of(prepared, CalibrationImages(rows_of(scenes), FACTS), tmp_path, method="minmax")
    table, (layer,) = table_of(ranges), qdq.layers(prepared)
    qdq.quantize(prepared, table, tmp_path / "all.onnx", reduce_range=False)
    assert quantized_kinds(tmp_path / "all.onnx") == ["DequantizeLinear"]
    qdq.quantize(prepared, table, tmp_path / "none.onnx", reduce_range=False, fp32_layers=[layer])
    assert quantized_kinds(tmp_path / "none.onnx") == [""]
    with pytest.raises(InputError, match="'strange' is no layer of the model"):
        qdq.quantize(prepared, table, tmp_path / "no.onnx", reduce_range=False, fp32_layers=["strange"])


def weights_of(path: Path) -> np.ndarray:
    arrays = [numpy_helper.to_array(tensor) for tensor in onnx.load(str(path)).graph.initializer]
    return next(array for array in arrays if array.dtype == np.int8 and array.ndim == 4)


def test_reduced_range_means_seven_bits(prepared, scenes, tmp_path):
    ranges = ranges_of(prepared, CalibrationImages(rows_of(scenes), FACTS), tmp_path, method="minmax")
    for bits, reduce_range in ((8, False), (7, True)):
        qdq.quantize(prepared, table_of(ranges), tmp_path / "q.onnx", reduce_range=reduce_range)
        assert np.abs(weights_of(tmp_path / "q.onnx").astype(int)).max() == 2 ** (bits - 1) - 1 + (bits == 7)


def test_cpu_flags_decide_on_seven_bits():
    from dataclasses import replace

    machine = this_machine()
    assert needs_reduced_range(replace(machine, cpu_flags=frozenset({"avx2"})))
    assert not needs_reduced_range(replace(machine, cpu_flags=frozenset({"avx2", "avx_vnni"})))


def test_no_image_at_all_is_refused(tmp_path):
    (tmp_path / "index.csv").write_text("image_id,image,label,height,width,image_sha256\n")
    with pytest.raises(InputError, match="calibration needs images of the training split"):
        split_rows(tmp_path / "index.csv", 4)


def test_images_to_judge_by_are_not_those_calibrated_with(scenes, tmp_path):
    lines = ["image_id,image,label", *(f"{n},{n}.png," for n in range(5))]
    (tmp_path / "index.csv").write_text("\n".join(lines) + "\n")
    seen, others = split_rows(tmp_path / "index.csv", 3)
    assert [row["image_id"] for row in seen + others] == list("01234")
    seen, others = split_rows(tmp_path / "index.csv", 9)
    assert seen == others


def two_layers(folder: Path, names: list[str], opset: int = 16) -> Path:
    """An exported model of two convolutions with the given names, prepared for quantisation."""
    nodes = [
        helper.make_node("Conv", ["image", "first"], ["wide"], name=names[0]),
        helper.make_node("Conv", ["wide", "second"], ["logits"], name=names[1]),
    ]
    weights = {"first": np.ones((4, 3, 1, 1), np.float32), "second": np.ones((4, 4, 1, 1), np.float32)}
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 64])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 4, 32, 64])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, str(folder / "model.onnx"))
    return qdq.prepare(ExportedModel(folder, FACTS), folder)


@pytest.mark.parametrize("names", [["", ""], ["same", "same"], ["a", ""]])
def test_layers_without_names_of_their_own_are_told_apart(scenes, tmp_path, names):
    prepared = two_layers(tmp_path, names)
    first, second = qdq.layers(prepared)
    assert first and second and first != second
    ranges = ranges_of(prepared, CalibrationImages(rows_of(scenes), FACTS), tmp_path, method="minmax")
    qdq.quantize(prepared, table_of(ranges), tmp_path / "q.onnx", reduce_range=False, fp32_layers=[second])
    assert quantized_kinds(tmp_path / "q.onnx")[0] == "DequantizeLinear"
    reads = {node.input[1] for node in onnx.load(str(tmp_path / "q.onnx")).graph.node if node.op_type == "Conv"}
    assert "second" in reads and "first" not in reads  # its weights are as they were


@pytest.mark.parametrize("opset", [11, 12])
def test_older_operators_are_raised_to_those_that_channels_are_quantised_by(scenes, tmp_path, opset):
    import onnxruntime

    prepared = two_layers(tmp_path, ["a", "b"], opset)
    ranges = ranges_of(prepared, CalibrationImages(rows_of(scenes), FACTS), tmp_path, method="minmax")
    qdq.quantize(prepared, table_of(ranges), tmp_path / "q.onnx", reduce_range=False)
    assert quantized_kinds(tmp_path / "q.onnx") == ["DequantizeLinear"] * 2
    onnxruntime.InferenceSession(str(tmp_path / "q.onnx"), providers=["CPUExecutionProvider"])


def test_a_quantised_model_of_an_opset_that_the_runtime_has_not_is_unsupported(scenes, tmp_path):
    """The row says so, and no traceback costs the others theirs."""
    prepared = two_layers(tmp_path, ["a", "b"])
    ranges = ranges_of(prepared, CalibrationImages(rows_of(scenes), FACTS), tmp_path, method="minmax")
    qdq.quantize(prepared, table_of(ranges), tmp_path / "q.onnx", reduce_range=False)
    model = onnx.load(str(tmp_path / "q.onnx"))
    model.opset_import[0].version = 99
    onnx.save(model, str(tmp_path / "q.onnx"))
    with pytest.raises(Unsupported, match=r"^opening the Q/DQ model: .*Opset 99 "):
        RUNTIMES["onnxruntime"](tmp_path / "q.onnx")


def test_a_graph_without_a_layer_for_8_bits_says_what_it_has(tmp_path):
    nodes = [helper.make_node("Relu", ["image"], ["y"])]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 32, 64]) for name in ("image", "y")]
    graph = helper.make_graph(nodes, "none", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)
    onnx.save(model, str(tmp_path / "model.onnx"))
    with pytest.raises(Unsupported, match="no operator of the graph is one that 8 bits serve"):
        qdq.prepare(ExportedModel(tmp_path, FACTS), tmp_path)
