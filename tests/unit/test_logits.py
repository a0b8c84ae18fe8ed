"""Resized images are scored as PaddleSeg does it: logits are brought to the image's size before the argmax."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import build_engine
import cv2
import export_onnx_model
import numpy as np
import onnx
import paddle
import pytest
from demo.scene import scene
from export_paddle import export
from helpers.made import make_onnx_model
from helpers.paddle3_made import save_with_paddle3
from helpers.paddle_made import run_onnxruntime, run_openvino, run_paddle, save_network, street_images
from helpers.skips import need_package
from onnx import TensorProto, helper
from segbench.calibration import qdq
from segbench.calibration.base import layers_file
from segbench.calibration.onnxruntime import Options, collect
from segbench.calibration.table import CalibrationTable, write_table
from segbench.calibration.typed_onnx import write_typed
from segbench.config.options import Variant
from segbench.engines.base import load
from segbench.errors import Unsupported
from segbench.files import read_json, sha256_of, write_record
from segbench.images.labels import read_label
from segbench.images.normalize import enlarged_class_map
from segbench.models import architectures, onnx_twin
from segbench.models.checkpoint import read_arrays
from segbench.models.exported import ExportedModel
from segbench.models.logits import LogitsModel, calibration_with_logits
from segbench.models.paddle_files import read_program
from segbench.models.record import model_record
from segbench.runtimes.tensorrt.flags import write_with_wide_output
from segbench.scoring.confusion import fold, pair_counts, scores
from segbench.scoring.predictions import Predictions

ROOT = Path(__file__).parents[2]
HEIGHT, WIDTH = 96, 192  # of the network's input
ENTRY = {
    "kind": "narrow", "architecture": "unet", "title": "", "weights": "trained", "class_count": 19, "class_map": None,
    "input": {"height": HEIGHT, "width": WIDTH}, "output": None,
    "preprocessing": {
        "channel_order": "rgb", "scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3, "resize": "stretch",
    },
}  # fmt: skip
CPU_ENGINES = ("paddle", "paddle_onednn", "onnxruntime", "openvino")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.json of the demo's trained UNet, exported at an input that is smaller than its images, with a twin."""
    folder = tmp_path_factory.mktemp("results") / "models" / "unet"
    folder.mkdir(parents=True)
    files = {name: folder / name for name in ("model.pdmodel", "model.pdiparams")}
    export("unet", ENTRY, ROOT / "resources/demo_models/unet.npz", *files.values())
    onnx.save(onnx_twin.make_twin(*files.values()), str(folder / "model.onnx"))
    record = folder / "model.json"
    write_record(record, model_record("unet", ENTRY, files, 0, ()))
    write_record(folder / "onnx.json", {"status": "ok", "reason": "", "sha256": sha256_of(folder / "model.onnx")})
    return record


def build(model: Path, engine: str, out: Path, *, logits: bool) -> Any:
    """A session of the engine that the build script makes."""
    variant = {"name": f"{engine}-fp32", "engine": engine, "precision": "fp32"}
    request: build_engine.Request = {
        "model": str(model), "variant": variant, "options": {}, "calibration": "", "fp32_layers": "",
        "shapes": "", "passes": "", "logits": logits, "twin": str(model.with_name("onnx.json")),
        "out": str(out),
    }  # fmt: skip
    build_engine.build(request)
    return load(engine).open(out, Variant(**variant), load(engine).run_options(), 2)


def run(session: Any, image: np.ndarray) -> np.ndarray:
    session.upload(image)
    session.execute()
    session.synchronize()
    return session.download()


@pytest.mark.parametrize("engine", CPU_ENGINES)
def test_engine_with_logits_computes_what_the_timed_one_does(model, tmp_path, engine):
    timed, second = (build(model, engine, tmp_path / str(n), logits=n == 1) for n in range(2))
    for image in street_images(HEIGHT, WIDTH):
        class_map, logits = run(timed, image), run(second, image)
        assert (class_map.dtype, logits.dtype, logits.shape) == (np.uint8, np.float32, (19, HEIGHT, WIDTH))
        assert (logits.argmax(0) == class_map).mean() > 0.9999  # engines fuse the argmax differently
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


RUN_PADDLE_3 = """
from pathlib import Path
import numpy as np
folder, work = out, out + "/work"
from segbench.calibration import qdq
from segbench.calibration.base import layers_file
from segbench.calibration.onnxruntime import Options, collect
from segbench.calibration.table import CalibrationTable, write_table
from segbench.config.options import Variant
from segbench.engines.base import load
from segbench.models.exported import ExportedModel
from segbench.models.logits import LogitsModel

facts = {"class_count": 4, "files": {}}
models = ExportedModel(Path(folder), facts), LogitsModel(Path(folder), facts, Path(work))
image = np.random.default_rng(0).normal(size=(1, 3, 32, 64)).astype(np.float32)
for name in ("paddle3", "paddle3_onednn"):
    outputs = []
    for number, model in enumerate(models):
        engine, variant, out = load(name), Variant(name, name, "fp32"), Path(work) / f"{name} {number}"
        engine.build(model, None, variant, None, out)
        session = engine.open(out, variant, engine.run_options(), 2)
        session.upload(image)
        session.execute()
        outputs.append(session.download())
    class_map, logits = outputs
    assert logits.shape == (4, 32, 64) and logits.dtype == np.float32
    assert (logits.argmax(0) == class_map).all()
    assert len(set(class_map.ravel().tolist())) > 1
"""


def test_paddle_3_models_can_end_in_logits_too(tmp_path):
    code = 'save("program", lambda logits: logits.argmax(1, dtype="int32").cast("uint8"), size=(32, 64))'
    (tmp_path / "work").mkdir()
    save_with_paddle3(tmp_path, f"{code}\n{RUN_PADDLE_3}")


def test_quantised_network_of_nncf_can_end_in_logits_too(model, tmp_path):
    import nncf
    import openvino

    images, folder = street_images(HEIGHT, WIDTH), tmp_path / "results" / "calibration"
    graph = openvino.Core().read_model(str(model.with_name("model.onnx")))
    (folder / "quantized").mkdir(parents=True)
    quantised = nncf.quantize(graph, nncf.Dataset(images), subset_size=2)
    openvino.save_model(quantised, str(folder / "quantized/model.xml"), compress_to_fp16=False)
    write_record(folder / "status.json", {"status": "ok"})
    second = calibration_with_logits(folder, tmp_path / "second", 19)
    assert read_json(second / "status.json") == {"status": "ok"}
    timed, logits = (run_openvino(one / "quantized/model.xml", images) for one in (folder, second))
    assert all((score.argmax(1) == class_map).all() for score, class_map in zip(logits, timed, strict=True))


def test_int8_of_a_table_quantises_the_same_tensors(model, tmp_path):
    """The logits of Q/DQ are those that the timed graph's argmax reads: the table names tensors, not outputs."""
    images, folder = street_images(HEIGHT, WIDTH), tmp_path / "calibration"
    facts = read_json(model)
    (tmp_path / "work").mkdir()
    timed, second = ExportedModel(model.parent, facts), LogitsModel(model.parent, facts, tmp_path / "work")
    folder.mkdir()
    prepared = qdq.prepare(timed, tmp_path)
    ranges = collect(prepared, images, Options(method="minmax"), tmp_path / "unfinished.npz", tmp_path)
    write_table(folder / "table.json", CalibrationTable(timed.digest, {}, {"method": "minmax"}, {}, ranges))
    (folder / layers_file("onnxruntime")).write_text('{"fp32_layers": []}')
    variant = Variant("onnxruntime-int8", "onnxruntime", "int8")
    engine, sessions = load("onnxruntime"), []
    for number, one in enumerate((timed, second)):
        out = tmp_path / str(number)
        assert engine.build(one, folder, variant, engine.build_options(), out)["int8_layers"] > 5
        sessions.append(engine.open(out, variant, engine.run_options(), 2))
    for image in images:
        class_map, logits = (run(session, image) for session in sessions)
        assert logits.dtype == np.float32
        assert (logits.argmax(0) == class_map).all()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_tensorrt_is_given_a_network_of_float_logits(model, tmp_path, precision):
    need_package("tensorrt_rtx_bindings")
    import tensorrt_rtx_bindings as trt
    from segbench.runtimes.tensorrt.plan import Builder

    (tmp_path / "work").mkdir()
    second = LogitsModel(model.parent, read_json(model), tmp_path / "work")
    write_typed(second, None, Variant("v", "tensorrt_rtx", precision), tmp_path / "typed.onnx")
    write_with_wide_output(tmp_path / "typed.onnx", tmp_path / "wide.onnx")  # version 8 gets it by this way
    for name in ("typed", "wide"):
        network = Builder(trt, tmp_path / f"{name}.onnx").network
        result = network.get_output(0)
        assert (network.num_outputs, tuple(result.shape), result.dtype) == (1, (1, 19, HEIGHT, WIDTH), trt.float32)


def ends_in(folder: Path, *nodes: Any) -> Path:
    """An ONNX model of 4 classes at 32×64 whose logits go through `nodes` to `class_map`."""
    graph = onnx.load(str(make_onnx_model(folder / "model.onnx")))
    graph.graph.node.extend(nodes)
    graph.graph.output[0].CopyFrom(helper.make_tensor_value_info("class_map", TensorProto.UINT8, None))
    onnx.save(onnx.shape_inference.infer_shapes(graph), str(folder / "model.onnx"))
    return folder / "model.onnx"


def test_small_logits_of_a_persons_own_model_are_resized_once(tmp_path):
    """As transformers' post-processing does it: from the network's size to the image's, not by way of the input's."""
    graph = onnx.load(str(make_onnx_model(tmp_path / "own.onnx")))
    graph.graph.node[0].attribute.append(helper.make_attribute("strides", [4, 4]))
    onnx.save(graph, str(tmp_path / "own.onnx"))
    entry = {"class_count": 4, "class_map": None, "output": None, "input": {"height": 32, "width": 64}}
    exported, facts = export_onnx_model.export("own", entry, tmp_path / "own.onnx")
    assert "are resized" in facts["notes"][0]
    onnx.save(exported, str(tmp_path / "model.onnx"))
    (tmp_path / "work").mkdir()
    cut = LogitsModel(tmp_path, {"class_count": 4}, tmp_path / "work").file("model.onnx")
    (image,) = street_images(32, 64, 1)
    (logits,), (class_map,) = (run_onnxruntime(path, [image]) for path in (cut, tmp_path / "model.onnx"))
    assert logits.shape == (1, 4, 8, 16)
    assert (enlarged_class_map(logits[0], 32, 64) == class_map[0]).mean() > 0.99
    assert len(np.unique(class_map)) > 1


BEST = helper.make_node("ArgMax", ["logits"], ["best"], axis=1, keepdims=0)
CAST = helper.make_node("Cast", ["best"], ["class_map"], to=TensorProto.UINT8)


@pytest.mark.parametrize(
    ("nodes", "count", "reason"),
    [
        ([helper.make_node("Cast", ["logits"], ["class_map"], to=TensorProto.UINT8)], 4, "it ends in Conv, not in an"),
        ([helper.make_node("ArgMax", ["logits"], ["best"], axis=3, keepdims=0), CAST], 4, "it ends in ArgMax, not in"),
        ([BEST, CAST], 5, r"what its argmax reads is \[1, 4, 32, 64\], not \[1, 5, height, width\]"),
    ],
    ids=["no argmax", "another axis", "other classes"],
)
def test_network_that_ends_in_something_else_has_no_logits(tmp_path, nodes, count, reason):
    ends_in(tmp_path, *nodes)
    with pytest.raises(Unsupported, match=rf"model\.onnx: no logits: {reason}"):
        LogitsModel(tmp_path, {"class_count": count}, tmp_path / "work").file("model.onnx")


def test_paddle_network_that_ends_in_something_else_has_no_logits(tmp_path):
    save_network(tmp_path / "model", lambda logits: (logits.argmax(1) * 2).cast("uint8"), size=(32, 64))
    (tmp_path / "work").mkdir()
    with pytest.raises(Unsupported, match=r"model\.pdmodel: no logits: it ends in scale, not in an argmax"):
        LogitsModel(tmp_path, {"class_count": 4}, tmp_path / "work").file("model.pdmodel")


def test_paddle_operators_that_work_in_place_are_passed_once(tmp_path):
    """Paddle's quantisation saves a program once more, which gives it such a scale."""
    path = save_network(tmp_path / "model", lambda logits: logits.argmax(1).cast("uint8"), size=(32, 64))
    program = read_program(path.read_bytes())
    block = program.block(0)
    scale = next(one for one in map(block.op, range(block.op_size())) if one.type() == "scale")
    again = block._insert_op(block.op_size() - 1)
    again.copy_from(scale)
    again._rename_input(scale.input("X")[0], scale.output("Out")[0])
    assert again.input("X") == again.output("Out")
    path.write_bytes(program.serialize_to_string())
    (tmp_path / "work").mkdir()
    cut = LogitsModel(tmp_path, {"class_count": 4}, tmp_path / "work").file("model.pdmodel")
    images = street_images(32, 64, 1)
    (logits,), (class_map,) = run_paddle(cut, images), run_paddle(path, images)
    assert (logits.argmax(1) == class_map).all()


def test_an_empty_twin_stays_an_empty_twin(tmp_path):
    (tmp_path / "model.onnx").touch()
    model = LogitsModel(tmp_path, {"class_count": 4}, tmp_path / "work")
    assert model.file("model.onnx") == tmp_path / "model.onnx"
    assert model.file("model.pdmodel") is None


@pytest.mark.parametrize("size", [(13, 40), (24, 32), (50, 7), (9, 9)])
def test_logits_are_enlarged_as_paddleseg_does_it(size):
    from paddleseg.core.infer import reverse_transform

    logits = np.random.default_rng(0).normal(size=(5, 24, 32)).astype(np.float32)
    theirs = reverse_transform(paddle.to_tensor(logits[None]), [("resize", size)], "bilinear").argmax(1)[0].numpy()
    found = enlarged_class_map(logits, *size)
    assert found.dtype == np.uint8
    assert (found == theirs).mean() > 0.998  # of equal scores, but for rounding, either may win


def test_the_first_of_equal_logits_wins_as_in_an_argmax():
    logits = np.zeros((3, 4, 4), np.float32)
    logits[1:, :2] = 1
    assert enlarged_class_map(logits, 8, 8).tolist() == [[1] * 8] * 5 + [[0] * 8] * 3


SIZES = [(192, 384), (96, 192), (150, 200), (240, 320), (64, 160), (200, 400), (120, 256)]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """An index's rows of 20 drawn scenes with labels, of sizes that differ from the input's and from each other."""
    folder, rows = tmp_path_factory.mktemp("scenes"), []
    for number in range(20):
        height, width = SIZES[number % len(SIZES)]
        row = {"image_id": str(number), "height": str(height), "width": str(width)}
        for name, pixels in zip(("image", "label"), scene(0, "val", number, height, width), strict=True):
            row[name] = str(folder / f"{number} {name}.png")
            cv2.imwrite(row[name], pixels)
        rows.append(row | {"image_sha256": sha256_of(row["image"]), "label_sha256": sha256_of(row["label"])})
    with open(folder / "index.csv", "w", newline="") as stream:
        table = csv.DictWriter(stream, rows[0])
        table.writeheader()
        table.writerows(rows)
    return rows


def by_hand(script: str, **arguments: object) -> None:
    """Run a script of the workflow as a person would."""
    options = [
        f"--{name.replace('_', '-')}" + (f"={value}" if value != "" else "") for name, value in arguments.items()
    ]
    command = [sys.executable, str(ROOT / "workflow_scripts" / script), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


VARIANT = json.dumps({"name": "paddle-fp32", "engine": "paddle", "precision": "fp32"})


@pytest.fixture(scope="module")
def engines(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of the native engine, and of the second one, which ends in logits."""
    out = tmp_path_factory.mktemp("engines")
    for folder, more in ((out / "timed", {}), (out / "logits", {"logits": ""})):
        place = {"engine": folder / "engine", "status": folder / "status.json"}
        by_hand("build_engine.py", model=model, variant=VARIANT, **more, **place)
    return out / "timed", out / "logits"


def accuracy_pass(
    model: Path, index: Path, out: Path, timed: Path, second: Path | None
) -> tuple[dict[str, Any], Predictions]:
    """status.json and class maps of the native engine, with and without a second engine that ends in logits."""
    asked = {"engine": timed / "engine", "engine_status": timed / "status.json"}
    if second:
        asked |= {"logits": second / "engine", "logits_status": second / "status.json"}
    outputs = {name: out / "results" / f"{name}.json" for name in ("environment", "status")}
    outputs["predictions"] = out / "results/predictions.zip"
    by_hand("infer.py", model=model, variant=VARIANT, index=index, **asked, **outputs)
    return read_json(outputs["status"]), Predictions.open(outputs["predictions"])


def miou(predictions: Predictions, rows: list[dict[str, str]]) -> float:
    counts = sum(pair_counts(read_label(row["label"], None), predictions[row["image_id"]]) for row in rows)
    found = scores(fold(counts, 19, 255))
    assert None not in found.iou  # PaddleSeg counts a class that does not occur as 0
    return found.miou


@pytest.fixture(scope="module")
def paddlesegs_miou(scenes: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> float:
    """What PaddleSeg's own evaluation says of the same network, images and labels."""
    from paddleseg import core
    from paddleseg.datasets import Dataset
    from paddleseg.transforms import Normalize, Resize

    from validation.peers.other_packages import mended_metrics

    mended_metrics()
    listed = tmp_path_factory.mktemp("listed") / "val.txt"
    listed.write_text("".join(f"{row['image']}|{row['label']}\n" for row in scenes))
    transforms = [Resize(target_size=(WIDTH, HEIGHT)), Normalize()]
    data = Dataset("val", "/", transforms, 19, val_path=str(listed), separator="|", ignore_index=255)
    layer = architectures.build(ENTRY, HEIGHT, WIDTH)
    architectures.load(layer, read_arrays(ROOT / "resources/demo_models/unet.npz"), "unet")
    return float(core.evaluate(layer, data, num_workers=0, print_detail=False)[0])


def test_resized_images_have_the_miou_of_paddlesegs_own_evaluation(model, engines, scenes, paddlesegs_miou, tmp_path):
    index = Path(scenes[0]["image"]).with_name("index.csv")
    status, predictions = accuracy_pass(model, index, tmp_path, *engines)
    assert (status["status"], status["scored_by"], status["scored_by_reason"]) == ("ok", "logits", "")
    assert status["logits_agreement"] > 0.9999
    assert {predictions.shape(row["image_id"]) for row in scenes} == set(SIZES)
    assert round(miou(predictions, scenes), 4) == round(paddlesegs_miou, 4)
    assert miou(predictions, scenes) == pytest.approx(paddlesegs_miou, abs=2e-6)


def test_without_logits_class_maps_are_resized_and_the_row_says_so(model, engines, scenes, paddlesegs_miou, tmp_path):
    index = Path(scenes[0]["image"]).with_name("index.csv")
    status, predictions = accuracy_pass(model, index, tmp_path, engines[0], None)
    assert (status["scored_by"], status["logits_agreement"]) == ("class maps", None)
    assert status["scored_by_reason"] == "no engine with logits was built"
    assert {predictions.shape(row["image_id"]) for row in scenes} == set(SIZES)
    assert miou(predictions, scenes) < paddlesegs_miou - 0.002
