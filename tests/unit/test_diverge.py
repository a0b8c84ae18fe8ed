"""The place where an engine's class maps part from the reference's is found, by pixels that change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import diverge
import export_paddle
import numpy as np
import onnx
import paddle
import pytest
from helpers.paddle_made import save_network
from onnx import numpy_helper
from segbench.config.options import Variant
from segbench.engines.base import load
from segbench.errors import Failed, Unsupported
from segbench.files import manifest_of, read_json, write_json, write_record
from segbench.images.drawn import drawn_image
from segbench.models import pieces
from segbench.models.exported import ExportedModel
from segbench.models.onnx_twin import make_twin
from segbench.models.record import model_record
from segbench.process.supervise import Outcome

ROOT = Path(__file__).parents[2]
HEIGHT, WIDTH = 32, 64
F = paddle.nn.functional


def entry(height: int = HEIGHT, width: int = WIDTH, **keys: Any) -> dict[str, Any]:
    """A model's entry."""
    preprocessing = {"mean": [0.5] * 3, "std": [0.5] * 3, "scale": 1 / 255, "channel_order": "rgb", "resize": "none"}
    given = {"kind": "paddle_inference", "weights": {}, "class_count": 4, "class_map": None, "output": None, **keys}
    return {**given, "preprocessing": preprocessing, "input": {"height": height, "width": width}}


def filters(shape: list[int]) -> Any:
    return (paddle.arange(int(np.prod(shape)), dtype="float32") * 1.7).sin().reshape(shape) * 0.3


def branches(logits: Any) -> Any:
    """Convolutions in two branches with a way around them, and a resize."""
    first = F.relu(F.conv2d(logits, filters([8, 4, 3, 3]), padding=1))
    second = F.conv2d(F.relu(F.conv2d(first, filters([8, 8, 3, 3]), padding=1)), filters([8, 8, 1, 1]))
    third = F.interpolate(F.avg_pool2d(first, 2), (HEIGHT, WIDTH), mode="bilinear")
    with_bias = F.conv2d(paddle.concat([second, third], axis=1), filters([4, 16, 1, 1]), filters([4]))
    return with_bias * F.sigmoid(logits) + logits


def exported(folder: Path, given: dict[str, Any], checkpoint: Path | None) -> Path:
    """model.json of a network, with its twin beside it."""
    pdmodel = folder / "mine" / "model.pdmodel"
    files = {"model.pdmodel": pdmodel, "model.pdiparams": pdmodel.with_suffix(".pdiparams")}
    export_paddle.export("mine", given, checkpoint, *files.values())
    write_record(pdmodel.with_name("model.json"), model_record("mine", given, files, 0, ()))
    onnx.save(make_twin(*files.values()), str(pdmodel.with_name("model.onnx")))
    return pdmodel.with_name("model.json")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.json of the network with branches."""
    folder = tmp_path_factory.mktemp("made")
    return exported(folder, entry(), save_network(folder / "net", branches, size=(HEIGHT, WIDTH)))


def index_of_image(folder: Path, height: int = HEIGHT, width: int = WIDTH) -> Path:
    """index.csv of one drawn picture."""
    cv2.imwrite(str(folder / "drawn.png"), drawn_image(height, width, 0))
    (folder / "index.csv").write_text(f"image_id,image,height,width\ndrawn,{folder / 'drawn.png'},{height},{width}\n")
    return folder / "index.csv"


def job_of(
    folder: Path, model: Path, engine: str, run: dict[str, Any] | None = None, source: Path | None = None
) -> Any:
    """A row's engine, built from the model (or from the files of folder `source`), as the finder gets it."""
    variant, plugin, work = Variant(f"{engine}-fp32", engine, "fp32"), load(engine), folder / "work"
    work.mkdir()
    built = ExportedModel(source, read_json(model)) if source else ExportedModel.open(model)
    plugin.build(built, None, variant, plugin.build_options(), folder / "engine")
    write_json(folder / "status.json", {"status": "ok", "manifest": manifest_of(folder / "engine")})
    return {
        "model": str(model), "engine": str(folder / "engine"), "engine_status": str(folder / "status.json"),
        "calibration": "", "variant": variant._asdict() if hasattr(variant, "_asdict") else vars(variant),
        "build": {}, "run": run or {}, "index": str(index_of_image(folder, *read_json(model)["input"].values())),
        "images": [], "threads": 1, "work": str(work),
    }  # fmt: skip


def here(request: Any) -> Outcome:
    """What a child would answer, without one."""
    try:
        return Outcome("ok", result=json.loads(json.dumps(dict(diverge.work(request)))))
    except (Unsupported, Failed) as error:
        return Outcome(type(error).__name__.lower(), str(error))


def plant(twin: Path, number: int, out: Path) -> str:
    """Change the weight of one convolution of a twin. Return its name."""
    model = onnx.load(str(twin))
    convolution = [node for node in model.graph.node if node.op_type == "Conv"][number]
    (weight,) = [tensor for tensor in model.graph.initializer if tensor.name == convolution.input[1]]
    values = numpy_helper.to_array(weight).copy()
    values[0] = -3 * values[0]
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    onnx.save(model, str(out))
    return str(convolution.name)


def copied(model: Path, folder: Path) -> Path:
    """model.json in a copy of its folder."""
    folder.mkdir()
    for path in model.parent.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    record = read_json(model)
    (folder / "model.json").unlink()
    write_record(folder / "model.json", record)
    return folder / "model.json"


@pytest.mark.parametrize("number", [1, 4])
def test_wrong_weight_of_a_twin_is_found_at_its_node(made, tmp_path, number):
    model = copied(made, tmp_path / "planted")
    name = plant(made.with_name("model.onnx"), number, model.with_name("model.onnx"))
    search = diverge.Search(job_of(tmp_path, model, "onnxruntime"), here)
    found = diverge.find(search, 0.9995).result
    nodes = found["nodes"]
    assert [node["kind"] for node in nodes] == ["conv2d", "elementwise_add"][: len(nodes)]  # with its bias
    assert nodes[-1]["row_node"] == name and found["last"] == nodes
    assert found["behind"] > found["limit"] >= max(found["before"], found["rest"])
    said = diverge.sentence("onnxruntime-fp32", found)
    at = f"onnxruntime-fp32 parts from native Paddle at conv2d `{nodes[0]['tensor']}`"
    assert said.startswith(at) and f" {found['behind']} pixels change, and {found['before']} without" in said


def test_wrong_weight_of_a_saved_engine_is_found_at_its_node(made, tmp_path):
    """OpenVINO's engine is made of a planted file, and the exported model is right."""
    (tmp_path / "source").mkdir()
    name = plant(made.with_name("model.onnx"), 2, tmp_path / "source" / "model.onnx")
    search = diverge.Search(job_of(tmp_path, made, "openvino", source=tmp_path / "source"), here)
    found = diverge.find(search, 0.9995).result
    assert [(node["kind"], node["row_node"]) for node in found["last"]] == [("conv2d", name)]


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "paddle_onednn", "paddle"])
def test_right_engine_does_not_part(made, tmp_path, engine):
    search = diverge.Search(job_of(tmp_path, made, engine), here)
    found = diverge.find(search, 0.9995).result
    assert (found["nodes"], len(found["trials"])) == ([], 1)
    said = diverge.sentence("row", found)
    assert said.startswith("row does not part from native Paddle: ") and said.endswith("which rounding explains.")
    assert "## Trials" in diverge.page("row", "mine", {**found, "said": said}, [])


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "paddle_onednn"])
def test_every_cut_gives_the_same_class_map(made, tmp_path, engine):
    search = diverge.Search(job_of(tmp_path, made, engine), here)
    assert search.prepare()
    count = len(search.network.nodes)
    places = search.found["places"]
    assert len(places) > 8
    for number, place in enumerate(places[1:-1]):
        assert search.changed(range(place) if number % 2 else range(place, count)) <= 2


@pytest.mark.parametrize(
    ("variant", "reason"),
    [
        ({"engine": "paddle_gpu"}, "no pieces of a network run on paddle_gpu"),
        ({"engine": "openvino", "batch": 2}, "images run one after the other here, which mine does not: take its"),
    ],
)
def test_row_that_is_not_cut_says_why(made, tmp_path, variant, reason):
    job = {**job_of(tmp_path, made, "openvino"), "variant": {"name": "mine", "precision": "fp32", **variant}}
    ended = diverge.find(diverge.Search(job, here), 0.9995)
    assert ended.status == "unsupported" and ended.reason.startswith(reason)


def test_network_of_another_form_is_not_cut(tmp_path):
    with pytest.raises(Unsupported, match=r"program\.json: networks of this form \(\.json\) are not cut"):
        pieces.read(tmp_path / "program.json")


def test_layers_that_the_engine_executes_for_a_node_are_found_by_their_names():
    def node(row_node, tensor, *later):
        return {"row_node": row_node, "tensor": tensor, "later": list(later)}

    def layer(name, *stands_for):
        return {"name": name, "stands_for": list(stands_for)}

    fused, other = layer("relu_1.tmp_0_nchwc", "relu_1.tmp_0_nchwc"), layer("Conv.2_token_26", "Conv.2_token_26")
    profile = {"layers": [layer("x"), fused, other, layer("kernel", "conv2d_3.tmp_0", "relu_3.tmp_0")]}
    nodes = [node("Conv.1", "conv2d_1.tmp_0", "batch_norm_1.tmp_2", "relu_1.tmp_0"), node("Conv.2", "conv2d_2.tmp_0")]
    assert diverge.executed(profile, nodes) == [fused, other]
    assert diverge.executed(profile, [node("", "relu_3.tmp_0")]) == [profile["layers"][3]]
    assert diverge.executed({"status": "unsupported"}, nodes) == []


@pytest.mark.slow
def test_fusion_that_breaks_anns_attention_is_named(tmp_path):
    """With the passes on that SegBench leaves out by default (`WRONG_FUSIONS`)."""
    given = entry(128, 256, kind="narrow", architecture="ann", class_count=19)
    model = exported(tmp_path, given, ROOT / "resources" / "demo_models" / "ann.npz")
    search = diverge.Search(job_of(tmp_path, model, "paddle_onednn", {"deleted_passes": []}), here)
    found = diverge.find(search, 0.9995).result
    assert 1 - found["changed"] / found["pixels"] < 0.9
    kinds = [node["kind"] for node in found["nodes"]]
    assert kinds[-3:] == ["reshape2", "transpose2", "matmul_v2"] and len(kinds) <= 6
    assert found["passes"] == ["reshape_transpose_matmul_mkldnn_fuse_pass"]
    assert "Without the graph pass reshape_transpose_matmul_mkldnn_fuse_pass" in diverge.sentence("row", found)
