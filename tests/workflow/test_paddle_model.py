"""Paddle models through the whole chain: one of the eight architectures with random weights, and people's own models.

Rows of Paddle-TensorRT say without a GPU what is missing, and a change replans what it touches only.
"""

from __future__ import annotations

import re
import subprocess
import sys
import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538
from collections import Counter
from pathlib import Path

import cv2
import paddle
import pytest
import yaml
from conftest import Workflow, copy_workflow, small_config
from helpers.made import make_folder_dataset
from helpers.paddle_made import save_network
from segbench.files import read_json

SMALL = {
    "kind": "narrow",
    "architecture": "gcnet",
    "weights": "random",
    "input": {"height": 32, "width": 64},
    "class_count": 4,
}
ON_CPU = ("paddle-fp32", "paddle_onednn-fp32", "onnxruntime-fp32", "openvino-fp32")
TENSORRT = ("paddle_tensorrt-fp16", "paddle_tensorrt-int8")


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Workflow:
    """A finished run of a small network on the four CPU engines and Paddle-TensorRT."""
    folder = copy_workflow(tmp_path_factory.mktemp("small") / "work flow")
    flow = Workflow(folder, small_config(folder))
    flow.config |= {"models": ["small"], "variants": [*ON_CPU, *TENSORRT], "rounds": 1}
    flow.config["model_catalogue"] = {"small": SMALL}
    flow.config["dataset_catalogue"]["made"]["splits"]["train"] = {"images": "train/*.png"}
    flow.config["calibration"] = {"images": 2, "judging_images": 1}
    make_folder_dataset(folder / "street scenes", seed=7, split="train")
    flow.snakemake("results/table.csv")
    return flow


def test_four_engines_agree_and_the_miou_cell_is_empty(small):
    rows = small.rows()[:4]
    assert [row["status"] for row in rows] == ["ok"] * 4, [row["reason"] for row in rows]
    assert {row["reference"] for row in rows} == {"paddle-fp32"}
    assert all(float(row["pixel_agreement"]) >= 0.9995 for row in rows)
    assert {row["miou"] for row in rows} == {row["miou_delta"] for row in rows} == {""}
    assert [row["accelerated"] for row in rows] == ["false", "true", "true", "true"]
    assert all(float(row["build_s"]) > 0 and int(row["engine_bytes"]) > 0 for row in rows)


def test_model_without_an_onnx_twin_says_why(small, tmp_path):
    """A converter that gives up costs the engines that are built from the twin, with its reason, and no other."""
    flow = small.copy(tmp_path)
    path = flow.folder / "workflow_scripts/segbench/models/onnx_twin.py"
    source = path.read_text()
    signature = "def make_twin(pdmodel: Path, pdiparams: Path) -> Any:\n"
    assert signature in source
    path.write_text(source.replace(signature, signature + '    raise Unsupported("paddle2onnx has no form for x")\n'))
    engines = [f"results/engines/made/small/{name}/status.json" for name in ("openvino-fp32", "onnxruntime-fp32")]
    flow.snakemake(*engines)
    good, without = (read_json(flow.folder / path) for path in engines)
    assert good["status"] == "ok"
    assert (without["status"], without["reason"]) == ("unsupported", "no ONNX twin: paddle2onnx has no form for x")
    subprocess.run([sys.executable, "workflow_scripts/retry.py"], cwd=flow.folder, check=True)
    assert flow.plan()["export_onnx"] == 1


@pytest.fixture
def no_gpu() -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has an NVIDIA GPU")


def test_rows_of_tensorrt_say_what_is_missing(small, no_gpu):
    for row in small.rows()[4:]:
        assert row["status"] == "unsupported"
        assert row["reason"] == "package paddlepaddle-gpu is not installed (pinned in envs/gpu.yaml)"
        assert row["trt_subgraphs"] == row["trt_fallback"] == row["time_s"] == row["peak_gpu_bytes"] == ""
    results = small.folder / "results"
    assert (results / "models/small/shape_range_info.pbtxt").read_bytes() == b""
    assert not [path for path in (results / "calibration/made/small/paddle_tensorrt/tables").iterdir()
                if not path.name.startswith(".snakemake")]  # fmt: skip
    assert small.plan("results/table.csv") == {}


def planned(small, fails: bool = False, **changes) -> str:
    """What a dry run says after a change of configuration, which is undone afterwards."""
    before = dict(small.config)
    small.config |= changes
    try:
        return small.snakemake("results/table.csv", "--dry-run", fails=fails)
    finally:
        small.config = before


def jobs(said: str) -> Counter[str]:
    """Jobs in a dry run's output, by rule and what they are for."""
    found = re.findall(r"^(?:local)?rule (\w+):(?:\n.*)*?\n    (?:wildcards: (.*)|\n|resources)", said, re.M)
    names = [(rule, re.search(r"variant=([\w.-]+)", wildcards)) for rule, wildcards in found]
    return Counter(f"{rule} {variant.group(1)}" if variant else rule for rule, variant in names)


def test_another_workspace_rebuilds_int8_and_calibrates_nothing(small):
    build = {"paddle_tensorrt-int8": {"build": {"workspace_mb": 512}}}
    found = jobs(planned(small, variant_catalogue=build))
    assert {
        "build_engine paddle_tensorrt-int8",
        "infer paddle_tensorrt-int8",
        "time_round paddle_tensorrt-int8",
        "score paddle_tensorrt-int8",
    } <= found.keys()
    assert not found.keys() & {"calibrate_tensorrt", "collect_shapes", "index_images", "export_paddle"}
    assert not [job for job in found if job.endswith(("-fp16", "-fp32"))]


def test_another_calibration_list_reruns_int8_only(small):
    # Paddle's oneDNN engine is compared with native Paddle on these images.
    others = [name for name in small.config["variants"] if name != "paddle_onednn-fp32"]
    found = jobs(planned(small, variants=others, calibration={"images": 2, "judging_images": 1, "seed": 7}))
    assert {"index_images", "calibrate_tensorrt", "build_engine paddle_tensorrt-int8"} <= found.keys()
    assert "infer paddle_tensorrt-int8" in found and "collect_shapes" not in found
    assert not [job for job in found if job.endswith(("-fp16", "-fp32"))]


def test_another_subgraph_size_must_be_the_calibrations_too(small):
    said = planned(small, fails=True, variant_catalogue={"paddle_tensorrt-int8": {"build": {"min_subgraph_size": 50}}})
    assert (
        "overlay.yaml: variant_catalogue.paddle_tensorrt-int8.build: calibrator 'paddle_tensorrt':"
        " its min_subgraph_size is 3, the variant's build has 50; they have to be equal" in said
    )


def test_environment_made_by_make_is_the_engines_interpreter(small):
    """Nobody has to name it; another engine keeps Snakemake's own."""
    fake = small.folder / ".venv-gpu" / "bin" / "python"
    fake.parent.mkdir(parents=True)
    fake.write_text("#!/bin/sh\n")
    try:
        printed = small.snakemake("--dry-run", "--printshellcmds", "--forcerun", "build_engine", "collect_shapes")
    finally:
        fake.unlink()
    called = re.findall(r'(\S+) workflow_scripts/build_engine.py .*?--variant .*?"name": "([\w-]+)"', printed)
    assert {name: python for python, name in called} == (
        dict.fromkeys(ON_CPU, "python") | dict.fromkeys(TENSORRT, ".venv-gpu/bin/python")
    )
    assert ".venv-gpu/bin/python workflow_scripts/collect_shapes.py" in printed


def gated(logits):
    """A ReLU and a sigmoid behind a convolution, as in BiSeNetV1: oneDNN loses the ReLU."""
    functional = paddle.nn.functional
    weight = (paddle.arange(16, dtype="float32") * 1.7).sin().reshape([4, 4, 1, 1])
    return functional.sigmoid(functional.relu(functional.conv2d(logits, weight)))


DEPLOY = {"Deploy": {"transforms": [{"type": "Normalize", "mean": [0.485, 0.456, 0.406]}]}}
CONFIG = """
_base_: base.yml
model: {type: PPHumanSegLite, align_corners: false, pretrained: https://example.org/never.pdparams}
"""
BASE = """
train_dataset: {type: Dataset, num_classes: 4, transforms: []}
val_dataset: {transforms: [{type: Normalize, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}]}
"""
SAVE = """
import zlib, paddle, paddleseg
paddle.seed(3)
paddle.save(paddleseg.models.PPHumanSegLite(num_classes=4).state_dict(), "model.pdparams")
"""


@pytest.fixture(scope="module")
def finished_own(tmp_path_factory) -> Workflow:
    """A finished run of an exported folder, and of a PaddleSeg configuration with weights, on images without labels."""
    folder = copy_workflow(tmp_path_factory.mktemp("own") / "work flow")
    flow = Workflow(folder, small_config(folder))
    variants = ["paddle-fp32", "paddle_onednn-fp32", "onnxruntime-fp32"]
    flow.config |= {"models": ["own", "mine"], "variants": variants, "rounds": 1}
    size = {"height": 32, "width": 64}
    flow.config["model_catalogue"] = {
        "own": {
            "kind": "paddle_inference", "weights": {"path": "export/model.pdmodel"}, "input": size, "class_count": 4,
        },
        "mine": {"kind": "paddleseg", "config": "net.yml", "weights": {"path": "model.pdparams"}, "input": size},
    }  # fmt: skip
    save_network(folder / "export/model", lambda logits: [gated(logits).argmax(1, dtype="int32"), logits])
    (folder / "export/deploy.yaml").write_text(yaml.safe_dump(DEPLOY))
    (folder / "net.yml").write_text(CONFIG)
    (folder / "base.yml").write_text(BASE)
    subprocess.run([sys.executable, "-c", SAVE], cwd=folder, check=True)
    flow.snakemake("results/table.csv")
    return flow


@pytest.fixture
def own(finished_own, tmp_path) -> Workflow:
    return finished_own.copy(tmp_path)


def test_own_models_run_and_agree_on_every_engine(finished_own):
    rows = finished_own.rows()
    assert [row["status"] for row in rows] == ["ok"] * 6, [row["reason"] for row in rows]
    assert all(row["agrees"] == "true" and float(row["pixel_agreement"]) >= 0.9995 for row in rows)
    assert all(float(row["miou"]) >= 0 for row in rows)
    assert finished_own.plan("results/table.csv") == {}


def test_row_of_a_wrong_graph_pass_is_right_and_its_warning_names_the_pass(own):
    """The data set has no training images, so that the timed ones are compared; once it has some, they are."""
    native, onednn, _ = own.rows()[:3]
    said = "oneDNN leaves out conv_activation_mkldnn_fuse_pass, with which its class maps agree with native Paddle's on"
    assert said in onednn["warnings"] and "leaves out" not in native["warnings"]
    splits = own.config["dataset_catalogue"]["made"]["splits"]
    splits["train"] = {"images": "train/*.png", "labels": None}
    val, train = (own.folder / "street scenes" / name for name in ("val", "train"))
    train.mkdir()
    for path in val.iterdir():
        cv2.imwrite(str(train / path.name), 255 - cv2.imread(str(path)))
    planned = own.plan()
    assert (planned["index_images"], planned["find_wrong_passes"]) == (1, 2)


def test_new_parameters_are_noticed(own):
    parameters = own.folder / "export/model.pdiparams"
    data = bytearray(parameters.read_bytes())
    data[-1] ^= 1
    parameters.write_bytes(data)
    assert own.plan()["fetch_checkpoint"] == 1


def test_export_folder_is_taken_as_its_deploy_yaml_says(own):
    """Its first output, its normalisation; a changed deploy.yaml is noticed, a wrong one is named."""
    note = own.rows()[0]["notes"]
    assert note.endswith(", of which the first is taken")
    assert (
        f"- `own`: {note} (paddle-fp32, paddle_onednn-fp32, onnxruntime-fp32)"
        in (own.folder / "results" / "table.md").read_text()
    )
    record = own.folder / "results" / "models" / "own" / "model.json"
    assert read_json(record)["preprocessing"]["mean"] == [0.485, 0.456, 0.406]
    wrong = {"Deploy": {"transforms": [{"type": "Padding", "target_size": [512, 512]}, {"type": "Normalize"}]}}
    (own.folder / "export/deploy.yaml").write_text(yaml.safe_dump(wrong))
    assert own.plan()["read_settings"] == 1
    own.snakemake("results/models/own/model.json")
    said = "model_catalogue.own.weights: export/deploy.yaml: transform Padding (target_size: [512, 512]): makes"
    assert read_json(record)["status"] == "refused" and said in read_json(record)["reason"]
    assert said in (own.folder / "results" / "logs" / "read_settings" / "own.log").read_text()


def test_paddleseg_configuration_gives_rows_and_a_change_of_what_it_inherits_is_noticed(own):
    """From FILE.yml and model.pdparams, with nothing copied by hand."""
    record = read_json(own.folder / "results" / "models" / "mine" / "model.json")
    assert record["preprocessing"]["std"] == [0.229, 0.224, 0.225] and record["class_count"] == 4
    (own.folder / "base.yml").write_text(BASE.replace("0.229", "0.2"))
    assert own.plan()["read_settings"] == 1
