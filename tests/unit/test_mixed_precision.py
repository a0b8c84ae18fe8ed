"""Layers that lose too much in INT8 stay in FP32: Q/DQ tables, NNCF, Paddle. A layer that must is planted."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import build_engine
import numpy as np
import onnx
import pytest
from choose_mix import choice
from group_layers import group
from helpers.made import COLOURS, make_folder_dataset
from onnx import TensorProto, helper, numpy_helper
from segbench.calibration import base, qdq
from segbench.calibration.images import CalibrationImages
from segbench.calibration.judging import HeldOut
from segbench.calibration.onnxruntime import Options, collect
from segbench.calibration.table import CalibrationTable, write_table
from segbench.config.options import Variant
from segbench.engines.base import load
from segbench.errors import Failed
from segbench.files import sha256_of, write_json
from segbench.machine.cpu import this_machine
from segbench.models.exported import ExportedModel

SCRIPTS = Path(__file__).parents[2] / "workflow_scripts"
FACTS = {
    "model": "planted",
    "preprocessing": {"channel_order": "rgb", "scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3, "resize": "none"},
    "input": {"height": 32, "width": 64},
    "class_map": None,
    "class_count": 4,
    "has_trained_weights": True,
}
DATASET = {"classes": list("rgbw"), "ignore_index": 255, "id_map": None}


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> list[dict[str, str]]:
    """The index of twenty scenes: 4 to calibrate with, 16 that judge."""
    scenes = make_folder_dataset(tmp_path_factory.mktemp("scenes") / "made", count=20)
    names = [f"scene {number:02d}.png" for number in range(20)]
    return [{"image_id": n, "image": str(scenes / "val" / n), "label": str(scenes / "labels" / n)} for n in names]


def wide_weights() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights of a layer with one channel a thousand times larger than the others, which 8 bits then lose, and weights
    and biases of one that classifies the others by the nearest colour."""
    spread = np.zeros((4, 3, 1, 1), np.float32)
    spread[:3, :, 0, 0], spread[3, 0] = np.eye(3), 3000.0
    centres = (COLOURS[:, ::-1].astype(np.float32) / 255 - 0.5) / 0.5
    weight = np.pad(centres, ((0, 0), (0, 1)))[:, :, None, None].repeat(3, 2).repeat(3, 3) / 9
    return spread, weight.astype(np.float32), (-0.5 * (centres**2).sum(1)).astype(np.float32)


def exported(folder: Path, *files: str) -> ExportedModel:
    facts = FACTS | {"files": {name: sha256_of(folder / name) for name in files}}
    write_json(folder / "model.json", facts)
    return ExportedModel(folder, facts)


def onnx_model(folder: Path, named: bool = True, front: bool = False) -> ExportedModel:
    """The planted network, behind a layer `in front` that changes nothing, where one is wanted."""
    spread, weight, bias = wide_weights()
    eye = np.eye(3, dtype=np.float32)[:, :, None, None]
    first = [helper.make_node("Conv", ["image", "eye"], ["same"], name="in front")] if front else []
    nodes = [
        *first,
        helper.make_node("Conv", ["same" if front else "image", "spread"], ["wide"], name="widen"),
        helper.make_node("Conv", ["wide", "weight", "bias"], ["logits"], pads=[1, 1, 1, 1], name="classify"),
        helper.make_node("ArgMax", ["logits"], ["index"], axis=1, keepdims=0),
        helper.make_node("Cast", ["index"], ["class_map"], to=TensorProto.UINT8),
    ]
    for node in nodes:
        node.name = node.name if named else ""
    graph = helper.make_graph(
        nodes,
        "planted",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 64])],
        [helper.make_tensor_value_info("class_map", TensorProto.UINT8, [1, 32, 64])],
        [
            numpy_helper.from_array(array, name)
            for name, array in (("eye", eye), ("spread", spread), ("weight", weight), ("bias", bias))
            if front or name != "eye"
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)
    onnx.save(made, str(folder / "model.onnx"))
    return exported(folder, "model.onnx")


def calibrated(model: ExportedModel, rows: list[dict[str, str]], folder: Path) -> None:
    """The files of a calibration that leaves a table, beside those of the images."""
    images = CalibrationImages(rows, model.facts)
    ranges = collect(qdq.prepare(model, folder), images, Options(), folder / "unfinished.npz", folder)
    write_table(folder / "table.json", CalibrationTable(model.digest, {"a": "0"}, {"method": "percentile"}, {}, ranges))
    manifest = {"table.json": sha256_of(folder / "table.json")}
    record = {"status": "ok", "reason": "", "manifest": manifest, "model_digest": model.digest, "wall_s": 0.0}
    facts = {"calibrator": {"name": "percentile"}, "peak_rss_bytes": None}
    write_json(folder / "status.json", record | facts)
    indexed = [{**row, "image_sha256": sha256_of(row["image"])} for row in rows]
    lines = [",".join(indexed[0]), *(",".join(row.values()) for row in indexed)]
    (folder / "index.csv").write_text("\n".join(lines) + "\n")
    write_json(folder / "dataset.json", DATASET)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(("bound", "some"), [(0.005, True), (None, False), (1.0, False)])
def test_layers_of_a_table_stay_in_fp32_until_the_loss_is_within_the_bound(rows, tmp_path, bound, some, runtime):
    calibrated(onnx_model(tmp_path), rows, tmp_path)
    arguments = {name: tmp_path / f"{name}.json" for name in ("model", "table", "status", "dataset")}
    arguments |= {"index": tmp_path / "index.csv", "cache": tmp_path / "cache", "out": tmp_path / "layers.json"}
    settings = json.dumps({"images": 4, "max_drop": bound})
    command = [sys.executable, str(SCRIPTS / "choose_layers.py"), "--settings", settings, "--runtime", runtime]
    command += [part for name, path in arguments.items() for part in (f"--{name}", str(path))]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    chosen = json.loads((tmp_path / "layers.json").read_text())
    assert chosen["status"] == "ok"
    assert bool(chosen["fp32_layers"]) == some
    if bound is not None:
        assert chosen["drop_before"] > 0.005
        assert max(chosen["drop"], chosen["drop_choosing_high"]) <= bound
    if some:
        assert "classify" in chosen["fp32_layers"]
        assert len(list((tmp_path / "cache").glob("worst-*.json"))) == 1


@pytest.mark.parametrize(("engine", "nncf"), [("onnxruntime", False), ("openvino", False), ("openvino", True)])
def test_engine_whose_layers_all_stay_in_fp32_says_what_kept_them(rows, tmp_path, engine, nncf):
    """The operators have no names, as converters may leave them: each is counted by itself all the same."""
    model = onnx_model(tmp_path, named=False)
    if nncf:
        import openvino

        (tmp_path / "quantized").mkdir()
        graph = openvino.Core().read_model(str(tmp_path / "model.onnx"))
        openvino.save_model(graph, str(tmp_path / "quantized/model.xml"), compress_to_fp16=False)
        write_json(tmp_path / "status.json", {"fp32_layers": ["a", "b"]})
    else:
        prepared = qdq.prepare(model, tmp_path)
        ranges = collect(prepared, CalibrationImages(rows[:4], model.facts), Options(), tmp_path / "r.npz", tmp_path)
        table = CalibrationTable(model.digest, {"a": "0"}, {"method": "percentile"}, {}, ranges)
        write_table(tmp_path / "table.json", table)
        write_json(tmp_path / base.layers_file(engine), {"fp32_layers": qdq.layers(prepared)})
    opened = load(engine)
    said = r"^no layer runs in INT8: calibration\.max_drop keeps 2 layer\(s\) in FP32, and no other gains from 8 bits: "
    with pytest.raises(Failed, match=said):
        opened.build(model, tmp_path, Variant("v", engine, "int8"), opened.build_options(), tmp_path / "engine")


def task(model: ExportedModel, rows: list[dict[str, str]], bound: float | None, folder: Path) -> base.Task:
    return base.Task(
        model=model,
        images=CalibrationImages(rows[:4], model.facts),
        held_out=HeldOut(rows[4:], model.facts, DATASET),
        max_drop=bound,
        reduce_range=base.needs_reduced_range(this_machine()),
        cache=folder,
    )


@pytest.mark.parametrize("bound", [0.005, None])
def test_nncf_leaves_layers_alone_until_the_loss_is_within_the_bound(rows, tmp_path, bound):
    model, nncf = onnx_model(tmp_path), base.load("nncf")
    found = nncf.calibrate(task(model, rows, bound, tmp_path), nncf.options(), tmp_path)
    assert (tmp_path / "model.xml").exists()
    if bound is None:
        assert found["fp32_layers"] == []
    else:
        assert found["drop_before"] > bound >= found["drop"]
        assert found["fp32_layers"] and found["options"]["preset"] == "mixed"


def paddle_model(folder: Path) -> ExportedModel:
    import paddle

    spread, weight, bias = wide_weights()
    layers = [paddle.nn.Conv2D(3, 4, 1, bias_attr=False), paddle.nn.Conv2D(4, 4, 3, padding=1)]
    layers[0].weight.set_value(spread)
    layers[1].weight.set_value(weight)
    layers[1].bias.set_value(bias)

    class Network(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.body = paddle.nn.Sequential(*layers)

        def forward(self, image):
            return self.body(image).argmax(1).astype("uint8")

    network = Network()
    network.eval()
    spec = paddle.static.InputSpec([1, 3, 32, 64], "float32", "image")
    paddle.jit.save(paddle.jit.to_static(network, input_spec=[spec], full_graph=True), str(folder / "model"))
    return exported(folder, "model.pdmodel", "model.pdiparams")


@pytest.mark.parametrize("bound", [0.005, None])
def test_paddle_leaves_layers_alone_until_the_loss_is_within_the_bound(rows, tmp_path, bound):
    out = tmp_path / "out"
    out.mkdir()
    model, paddle_ptq = paddle_model(tmp_path), base.load("paddle")
    found = paddle_ptq.calibrate(task(model, rows, bound, tmp_path), paddle_ptq.options(), out)
    assert (out / "model.pdmodel").exists()
    if bound is None:
        assert found["fp32_layers"] == []
    else:
        assert found["drop_before"] > bound >= found["drop"]
        assert len(found["fp32_layers"]) == 1


def test_paddle_tries_nothing_between_where_all_layers_in_fp32_are_not_enough(rows, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    model, paddle_ptq = paddle_model(tmp_path), base.load("paddle")
    found = paddle_ptq.calibrate(task(model, rows, -1.0, tmp_path), paddle_ptq.options(), out)
    tried = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "INT8 loses" in line]
    assert tried == ["0", "2"] and len(found["fp32_layers"]) == 2
    assert "whichever layers stay in FP32" in found["warnings"][0]
    assert sorted(path.name for path in out.iterdir()) == ["model.pdiparams", "model.pdmodel"]


def built(folder: Path, engine: str, precision: str, layers: Path | str = "") -> dict[str, str]:
    """An engine of the planted network, as a side of a pair."""
    out = folder / f"{precision} {layers and Path(layers).parent.name}"
    request: build_engine.Request = {
        "model": str(folder / "model.json"), "options": {}, "twin": "", "shapes": "", "passes": "", "logits": False,
        "variant": {"name": f"{engine}-{precision}", "engine": engine, "precision": precision},
        "calibration": str(folder / "status.json") if precision == "int8" else "", "fp32_layers": str(layers),
        "out": str(out / "engine"),
    }  # fmt: skip
    out.mkdir()
    facts = build_engine.build(request)
    assert facts.get("fp32_layers", 0) == (len(json.loads(Path(layers).read_text())["fp32_layers"]) if layers else 0)
    manifest = {path.name: sha256_of(path) for path in (out / "engine").iterdir()}
    write_json(out / "status.json", {"status": "ok", "reason": "", "manifest": manifest})
    return {"folder": str(out), "variant": request["variant"], "options": {}}


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_switching_the_group_of_the_planted_layer_regains_what_int8_loses(rows, tmp_path, engine):
    calibrated(onnx_model(tmp_path, front=True), rows, tmp_path)
    write_json(tmp_path / base.layers_file(engine), {"fp32_layers": []})
    times = {"in front": 0.002, "widen": 0.001, "classify": 0.001}
    layers = [{"name": name, "stands_for": [], "median_s": median_s} for name, median_s in times.items()]
    write_json(tmp_path / "profile.json", {"run_s": 0.004, "layers": layers})
    settings = {"groups": 2, "budget_s": 300, "rounds": 6, "whole_pairs": 3, "library": "onnxruntime", "judge": engine}
    paths = {"model": "model", "calibration": "status", "profile": "profile"}
    asked = {key: str(tmp_path / f"{name}.json") for key, name in paths.items()}
    found = group({**asked, "settings": settings})
    assert [one["layers"] for one in found["groups"].values()] == [["in front"], ["widen", "classify"]]
    sides = {"int8": built(tmp_path, engine, "int8")}
    for name, one in found["groups"].items():
        path = tmp_path / name / "layers.json"
        path.parent.mkdir()
        write_json(path, {"fp32_layers": one["layers"]})
        sides[name] = built(tmp_path, engine, "int8", path)
    exact, changes = built(tmp_path, engine, "fp32"), {}
    for name, side in sides.items():
        command = [sys.executable, str(SCRIPTS / "count_changes.py"), "--sides", json.dumps([side, exact])]
        command += ["--engines", *(f"{one['folder']}/engine" for one in (side, exact))]
        command += ["--statuses", *(f"{one['folder']}/status.json" for one in (side, exact))]
        command += ["--model", asked["model"], "--index", str(tmp_path / "index.csv"), "--calibrated", "4"]
        subprocess.run([*command, "--threads", "1", "--out", str(tmp_path / f"{name}.json")], check=True)
        changes[name] = json.loads((tmp_path / f"{name}.json").read_text())
        assert changes[name]["status"] == "ok" and len(changes[name]["images"]) == 16
    pair = {"status": "ok", "ratio": 1.01, "ratio_low": 1.0, "ratio_high": 1.02, "rounds": [{"medians_s": [1.0, 1.01]}]}
    chosen = choice(found, changes, dict.fromkeys(found["groups"], pair), margin=0.03)
    assert chosen["chosen"] == ["group2"] and chosen["fp32_layers"] == ["widen", "classify"]
    assert chosen["measured"][2]["regained"] > 0.1


def quantised(library: str, result: Path) -> int:
    """How many roundings there are in what a calibrator made."""
    if library == "paddle":
        from segbench.models.paddle_files import read_program

        program = read_program((result / "model.pdmodel").read_bytes())
        block = program.block(0)
        return sum(block.op(number).type() == "dequantize_linear" for number in range(block.op_size()))
    import openvino
    from segbench.calibration.nncf import _quantized_layers

    return len(_quantized_layers(openvino.Core().read_model(str(result / "model.xml"))))


@pytest.mark.parametrize("library", ["nncf", "paddle"])
def test_layers_that_are_named_stay_in_fp32_without_being_judged(rows, tmp_path, library):
    model = paddle_model(tmp_path) if library == "paddle" else onnx_model(tmp_path)
    calibrator, kept, left = base.load(library), tuple[str, ...](), []
    for number in range(2):
        result = tmp_path / str(number) / base.QUANTIZED
        result.mkdir(parents=True)
        asked = replace(task(model, rows, None, tmp_path), fp32_layers=kept)
        assert calibrator.calibrate(asked, calibrator.options(), result)["fp32_layers"] == list(kept)
        left.append(quantised(library, result))
        layers = [one.layer for one in calibrator.operators(model, result.parent, tmp_path) if one.layer]
        kept = kept or (layers[1],)
    assert 0 < left[1] < left[0]
