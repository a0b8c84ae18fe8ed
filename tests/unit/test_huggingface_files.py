"""A folder of a network of transformers completes its entry, or is refused by file and key. This needs no PyTorch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from export_huggingface import export
from helpers.huggingface_made import entry, make_folder, write_weights
from segbench.config.resizing import Resizing
from segbench.errors import InputError
from segbench.files import read_json
from segbench.models import huggingface_files
from segbench.models.settings import complete
from segbench.planning.models import Models
from segbench.process.limits import Limits

SCRIPTS = Path(__file__).parents[2] / "workflow_scripts"
BY_HAND = "; give preprocessing (mean, std, resize) in the model's entry to use your own"
PILLOW = {"convention": "transformers"}


def completed(folder: Path, **other: Any) -> dict[str, Any]:
    return complete("mine", entry(**other), folder)[0]


def refusal(folder: Path, **other: Any) -> str:
    """What is said of the folder, with the folder's name left out."""
    with pytest.raises(InputError) as error:
        complete("mine", entry(**other), folder)
    prefix = f"model_catalogue.mine.folder: {folder}"
    assert str(error.value).startswith(prefix)
    return str(error.value).removeprefix(prefix).lstrip("/")


def test_folder_completes_the_entry(tmp_path):
    found = completed(make_folder(tmp_path / "net"))
    assert found["class_count"] == 3
    assert found["preprocessing"] == {
        "channel_order": "rgb",
        "scale": 1 / 255,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "resize": Resizing("stretch", **PILLOW).written(),
    }


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"do_resize": False, "size": None}, {"resize": "none"}),
        ({"resample": 3}, {"resize": Resizing("stretch", interpolation="bicubic", **PILLOW).written()}),
        (
            {"size": {"shortest_edge": 64, "longest_edge": 200}},
            {"resize": Resizing("short_side", size={"height": 64, "width": 64}, max_long_side=200, **PILLOW).written()},
        ),
        (
            {"size": 64, "image_processor_type": "MobileNetV2ImageProcessor"},
            {"resize": Resizing("short_side", size={"height": 64, "width": 64}, **PILLOW).written()},
        ),
        ({"do_rescale": False}, {"scale": 1.0}),
        ({"rescale_factor": None, "do_rescale": None}, {"scale": 1 / 255}),  # as old files are
        ({"do_normalize": False}, {"mean": [0.0] * 3, "std": [1.0] * 3}),
        ({"image_mean": 0.5}, {"mean": [0.5] * 3}),
        ({"do_flip_channel_order": True}, {"channel_order": "bgr"}),
        (
            {"image_processor_type": "MobileViTImageProcessor", "do_normalize": None},
            {"mean": [0.0] * 3, "std": [1.0] * 3},
        ),
        (
            {"do_center_crop": True, "crop_size": {"height": 64, "width": 96}},
            {"resize": Resizing("stretch", **PILLOW).written()},
        ),
    ],
)
def test_processor_becomes_preprocessing(tmp_path, changed, wanted):
    found = completed(make_folder(tmp_path / "net", processor=changed))["preprocessing"]
    assert {key: found[key] for key in wanted} == wanted


def test_one_number_is_the_size_of_both_sides(tmp_path):
    folder = make_folder(tmp_path / "net", processor={"size": 64})
    found = completed(folder, input={"height": 64, "width": 64})
    assert found["preprocessing"]["resize"]["kind"] == "stretch"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"size": {"height": 512, "width": 512}},
            "size: 512×512 (height×width), but the model's input is 64×96; set that input",
        ),
        ({"keep_aspect_ratio": True}, "keep_aspect_ratio: cannot be done"),
        ({"do_pad": True}, "do_pad: cannot be done"),
        (
            {"do_center_crop": True, "crop_size": {"height": 32, "width": 32}},
            "do_center_crop: {'height': 32, 'width': 32} of {'height': 64, 'width': 96}: cuts off what is to be scored",
        ),
        ({"resample": 5}, "resample: 5: cannot be done; known: 0, 1, 2, 3, 4"),
        ({"resample": None}, "has no key 'resample'"),
        ({"size": {"max_height": 9, "max_width": 9}}, "size: {'max_height': 9, 'max_width': 9}: cannot be done"),
        ({"image_std": [1, 0, 1]}, "[1, 0, 1]: not three numbers that can be used, one for each channel"),
    ],
)
def test_processor_that_cannot_be_followed_is_refused_by_key(tmp_path, changed, said):
    folder = make_folder(tmp_path / "net", processor=changed)
    assert refusal(folder) == f"preprocessor_config.json: {said}{BY_HAND}"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"auto_map": {"AutoModel": "code.Net"}}, "auto_map: the network is code of its own, which is not run"),
        ({"quantization_config": {"bits": 8}}, "quantization_config: the weights are quantised"),
        ({"num_channels": 1}, "num_channels: 1; wanted: 3, for colour images"),
        ({"architectures": ["OneFormerForUniversalSegmentation"]}, "architectures: OneFormerForUniversalSegmentation;"),
        ({"architectures": None}, "architectures: none; wanted: a network …ForSemanticSegmentation"),
        ({"id2label": {"0": "a", "2": "b"}}, "id2label: its ids are not 0 to 1"),
        ({"id2label": {str(number): "x" for number in range(300)}}, "has 300 classes; wanted: 2 to 255"),
    ],
)
def test_network_that_cannot_be_exported_is_refused_by_key(tmp_path, changed, said):
    assert said in refusal(make_folder(tmp_path / "net", config=changed))


def test_entry_goes_before_the_folder_but_for_the_number_of_classes(tmp_path):
    folder = make_folder(tmp_path / "net", processor={"size": {"height": 512, "width": 512}})
    found = completed(folder, preprocessing={"resize": "none", "mean": [0.1, 0.2, 0.3]})["preprocessing"]
    assert (found["resize"], found["mean"], found["std"]) == ("none", [0.1, 0.2, 0.3], [0.229, 0.224, 0.225])
    assert refusal(folder, class_count=4) == ": has 3 classes, but the entry's class_count is 4; remove it"


def test_processor_file_is_not_needed_where_the_entry_says_all(tmp_path):
    folder = make_folder(tmp_path / "net")
    (folder / "preprocessor_config.json").unlink()
    assert refusal(folder) == f"preprocessor_config.json: no such file{BY_HAND}"
    given = {"mean": [0.5] * 3, "std": [0.5] * 3, "resize": "stretch"}
    assert completed(folder, preprocessing=given)["preprocessing"] == {
        "channel_order": "rgb", "scale": 1 / 255, **given
    }  # fmt: skip


def test_reduced_labels_are_noted(tmp_path):
    folder = make_folder(tmp_path / "net", processor={"do_reduce_labels": True})
    assert complete("mine", entry(), folder)[1] == [
        "preprocessor_config.json: do_reduce_labels: its labels count from 1; a data set of such labels has"
        " zero_is_ignored"
    ]


def test_pickled_weights_are_refused_with_the_cure(tmp_path):
    folder = make_folder(tmp_path / "net")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model.bin: a pickle, which may run any code; load it where you tr"):
        huggingface_files.files_of(folder)


def test_weights_in_parts_are_all_named(tmp_path):
    folder = make_folder(tmp_path / "net")
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "model-1.safetensors", "y": "model-2.safetensors"}}))
    with pytest.raises(InputError, match=r"model-2.safetensors: no such file"):
        huggingface_files.files_of(folder)
    write_weights(folder / "model-2.safetensors")
    names = [path.name for path in huggingface_files.files_of(folder)]
    assert names == ["config.json", index.name, "model-1.safetensors", "model-2.safetensors"]
    index.write_text(json.dumps({"weight_map": {"x": "../model-1.safetensors"}}))
    with pytest.raises(InputError, match="has no weight_map of files in this folder"):
        huggingface_files.files_of(folder)


def test_pointer_of_git_lfs_is_named(tmp_path):
    folder = make_folder(tmp_path / "net")
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(InputError, match="is a pointer of Git LFS, not the file"):
        huggingface_files.files_of(folder)


def test_without_pytorch_the_cure_is_the_reason_of_every_stage(tmp_path):
    folder, out = make_folder(tmp_path / "net"), tmp_path / "huggingface.onnx"
    whole = completed(folder)
    outcome = export("mine", whole, folder, "state", Limits(), out)
    reason = "model_catalogue.mine.kind: huggingface: torch is not installed here; run `make env-torch`"
    assert (outcome.status, outcome.reason, out.read_bytes()) == ("refused", reason, b"")
    command = [sys.executable, str(SCRIPTS / "export_onnx_model.py"), "--model=mine", f"--entry={json.dumps(whole)}"]
    command += [f"--onnx-in={out}", f"--out={tmp_path / 'model.onnx'}", f"--json={tmp_path / 'model.json'}"]
    subprocess.run(command, check=True, capture_output=True)
    record = read_json(tmp_path / "model.json")
    assert (record["status"], record["reason"]) == ("refused", reason)


def state(folder: Path) -> str:
    config = {"model_catalogue": {"mine": {**entry(folder=str(folder)), "config": None}}, "model_root": "."}
    return Models(config).folder_state(SimpleNamespace(model="mine"))


def test_planning_sees_changed_weights_and_not_their_dates(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = make_folder(tmp_path / "net")
    asked, out = state(folder), Path("results/models/mine/huggingface.onnx")
    out.parent.mkdir(parents=True)
    export("mine", completed(folder), folder, asked, Limits(), out)
    os.utime(folder / "model.safetensors", (1e9, 1e9))
    assert state(folder) == asked
    write_weights(folder / "model.safetensors", 0.25)
    assert state(folder) != asked
