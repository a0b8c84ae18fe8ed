"""One of the eight architectures, random weights, through the whole chain on the four CPU engines."""

import shutil
import subprocess
import sys
import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538

import cv2
import paddle
import yaml
from helpers.paddle_made import save_network
from segbench.files import read_json

SMALL = {
    "kind": "narrow",
    "architecture": "gcnet",
    "weights": "random",
    "input": {"height": 32, "width": 64},
    "class_count": 4,
}


def test_four_engines_agree_and_the_miou_cell_is_empty(workflow):
    workflow.config |= {
        "models": ["small"],
        "variants": ["paddle-fp32", "paddle_onednn-fp32", "onnxruntime-fp32", "openvino-fp32"],
        "rounds": 1,
    }
    workflow.config["model_catalogue"] = {"small": SMALL}
    workflow.snakemake("results/table.csv")
    rows = workflow.rows()
    assert [row["status"] for row in rows] == ["ok"] * 4, [row["reason"] for row in rows]
    assert {row["reference"] for row in rows} == {"paddle-fp32"}
    assert all(float(row["pixel_agreement"]) >= 0.9995 for row in rows)
    assert {row["miou"] for row in rows} == {row["miou_delta"] for row in rows} == {""}
    assert [row["accelerated"] for row in rows] == ["false", "true", "true", "true"]
    assert all(float(row["build_s"]) > 0 and int(row["engine_bytes"]) > 0 for row in rows)


def test_model_without_an_onnx_twin_says_why(workflow):
    """A converter that gives up costs the rows that build from the twin, with its reason, and no other."""
    path = workflow.folder / "workflow_scripts/segbench/models/onnx_twin.py"
    source = path.read_text()
    signature = "def make_twin(pdmodel: Path, pdiparams: Path) -> Any:\n"
    assert signature in source
    path.write_text(source.replace(signature, signature + '    raise Unsupported("paddle2onnx has no form for x")\n'))
    workflow.config |= {"models": ["small"], "variants": ["openvino-fp32", "onnxruntime-fp32"], "rounds": 1}
    workflow.config["reference"] = "openvino-fp32"
    workflow.config["model_catalogue"] = {"small": SMALL}
    workflow.snakemake("results/table.csv")
    good, without = workflow.rows()
    assert good["status"] == "ok"
    assert (without["status"], without["reason"]) == (
        "unsupported",
        "no ONNX twin: paddle2onnx has no form for x",
    )
    subprocess.run([sys.executable, "workflow_scripts/retry.py"], cwd=workflow.folder, check=True)
    assert workflow.plan()["export_onnx"] == 1


def gated(logits):
    """A ReLU and a sigmoid behind a convolution, as in BiSeNetV1: oneDNN loses the ReLU."""
    functional = paddle.nn.functional
    weight = (paddle.arange(16, dtype="float32") * 1.7).sin().reshape([4, 4, 1, 1])
    return functional.sigmoid(functional.relu(functional.conv2d(logits, weight)))


def test_row_of_a_wrong_graph_pass_is_right_and_its_warning_names_the_pass(workflow):
    """The data set has no training images, so that the timed ones are compared; once it has some, they are."""
    save_network(workflow.folder / "net", gated)
    workflow.config |= {"models": ["own"], "variants": ["paddle-fp32", "paddle_onednn-fp32"], "rounds": 1}
    own = {"kind": "paddle_inference", "weights": {"path": "net.pdmodel"}, "input": {"height": 32, "width": 64}}
    workflow.config["model_catalogue"] = {"own": {**own, "class_count": 4}}
    workflow.snakemake("results/table.csv")
    native, onednn = workflow.rows()
    assert (native["status"], onednn["status"]) == ("ok", "ok"), onednn["reason"]
    said = "oneDNN leaves out conv_activation_mkldnn_fuse_pass, with which its class maps agree with native Paddle's on"
    assert said in onednn["warnings"] and "leaves out" not in native["warnings"]
    assert float(onednn["pixel_agreement"]) >= 0.9995 and onednn["agrees"] == "true"
    assert workflow.plan("results/table.csv") == {}
    splits = workflow.config["dataset_catalogue"]["made"]["splits"]
    splits["train"] = {"images": "train/*.png", "labels": None}
    shutil.copytree(workflow.folder / "street scenes" / "val", workflow.folder / "street scenes" / "train")
    for path in (workflow.folder / "street scenes" / "train").iterdir():
        cv2.imwrite(str(path), 255 - cv2.imread(str(path)))
    planned = workflow.plan()
    assert planned["index_images"] == planned["find_wrong_passes"] == 1


def test_own_paddle_inference_model_is_run_and_new_parameters_are_noticed(workflow):
    net = save_network(workflow.folder / "net", lambda logits: logits)
    workflow.config |= {"models": ["own"], "variants": ["paddle-fp32", "openvino-fp32"], "rounds": 1}
    own = {"kind": "paddle_inference", "weights": {"path": "net.pdmodel"}, "input": {"height": 32, "width": 64}}
    workflow.config["model_catalogue"] = {"own": {**own, "class_count": 4}}
    workflow.snakemake("results/table.csv")
    rows = workflow.rows()
    assert [row["status"] for row in rows] == ["ok", "ok"], rows
    assert float(rows[0]["miou"]) >= 0 and float(rows[1]["pixel_agreement"]) >= 0.9995
    assert workflow.plan("results/table.csv") == {}
    parameters = net.with_suffix(".pdiparams")
    data = bytearray(parameters.read_bytes())
    data[-1] ^= 1
    parameters.write_bytes(data)
    assert workflow.plan()["fetch_checkpoint"] == 1


def test_export_folder_is_taken_as_its_deploy_yaml_says(workflow):
    """Its first output, its normalisation; a changed deploy.yaml is noticed, a wrong one is named."""
    folder = workflow.folder / "export"
    net = save_network(folder / "model", lambda logits: [logits.argmax(1, dtype="int32"), logits])
    deploy = {"Deploy": {"transforms": [{"type": "Normalize", "mean": [0.485, 0.456, 0.406]}]}}
    (folder / "deploy.yaml").write_text(yaml.safe_dump(deploy))
    workflow.config |= {"models": ["own"], "variants": ["paddle-fp32", "openvino-fp32"], "rounds": 1}
    size = {"height": 32, "width": 64}
    own = {"kind": "paddle_inference", "weights": {"path": "export/model.pdmodel"}, "input": size, "class_count": 4}
    workflow.config["model_catalogue"] = {"own": own}
    workflow.snakemake("results/table.csv")
    rows = workflow.rows()
    assert [row["status"] for row in rows] == ["ok", "ok"], rows
    assert float(rows[1]["pixel_agreement"]) >= 0.9995
    assert rows[0]["notes"].endswith(", of which the first is taken") and net.exists()
    noted = f"- `own`: {rows[0]['notes']} (paddle-fp32, openvino-fp32)"
    assert noted in (workflow.folder / "results" / "table.md").read_text()
    record = read_json(workflow.folder / "results" / "models" / "own" / "model.json")
    assert record["preprocessing"]["mean"] == [0.485, 0.456, 0.406]
    assert workflow.plan("results/table.csv") == {}
    deploy["Deploy"]["transforms"] = [{"type": "Padding", "target_size": [512, 512]}, {"type": "Normalize"}]
    (folder / "deploy.yaml").write_text(yaml.safe_dump(deploy))
    assert workflow.plan()["read_settings"] == 1
    workflow.snakemake(fails=True)
    log = (workflow.folder / "results" / "logs" / "read_settings" / "own.log").read_text()
    assert "model_catalogue.own.weights: export/deploy.yaml: transform Padding (target_size: [512, 512]): makes" in log


CONFIG = """
_base_: base.yml
model: {type: PPHumanSegLite, align_corners: false, pretrained: https://example.org/never.pdparams}
"""
BASE = """
train_dataset: {type: Dataset, num_classes: 4, transforms: []}
val_dataset: {transforms: [{type: Normalize, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}]}
"""


def test_paddleseg_configuration_and_weights_give_rows(workflow):
    """From FILE.yml and model.pdparams, with nothing copied by hand; a change of what it inherits is noticed."""
    (workflow.folder / "net.yml").write_text(CONFIG)
    (workflow.folder / "base.yml").write_text(BASE)
    save = """
import zlib, paddle, paddleseg
paddle.seed(3)
paddle.save(paddleseg.models.PPHumanSegLite(num_classes=4).state_dict(), "model.pdparams")
"""
    subprocess.run([sys.executable, "-c", save], cwd=workflow.folder, check=True)
    workflow.config |= {"models": ["mine"], "variants": ["paddle-fp32", "onnxruntime-fp32"], "rounds": 1}
    mine = {"kind": "paddleseg", "config": "net.yml", "weights": {"path": "model.pdparams"}}
    workflow.config["model_catalogue"] = {"mine": {**mine, "input": {"height": 32, "width": 64}}}
    workflow.snakemake("results/table.csv")
    rows = workflow.rows()
    assert [row["status"] for row in rows] == ["ok", "ok"], rows
    assert float(rows[0]["miou"]) >= 0 and float(rows[1]["pixel_agreement"]) >= 0.9995
    record = read_json(workflow.folder / "results" / "models" / "mine" / "model.json")
    assert record["preprocessing"]["std"] == [0.229, 0.224, 0.225] and record["class_count"] == 4
    assert workflow.plan("results/table.csv") == {}
    (workflow.folder / "base.yml").write_text(BASE.replace("0.229", "0.2"))
    assert workflow.plan()["read_settings"] == 1
