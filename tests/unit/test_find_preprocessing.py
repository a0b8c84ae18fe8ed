"""Where a model hardly does better than guessing, the preprocessing that works is named; else nothing runs."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from find_preprocessing import Request, find, is_suspect, search, settings
from onnx import TensorProto, helper, numpy_helper
from segbench.files import read_json, sha256_of, write_json, write_record
from segbench.process.limits import Limits

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
OWN = {"channel_order": "rgb", "scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3, "resize": "none"}


# BGR of six classes, so near to each other that no other preprocessing tells them apart as well.
COLOURS = np.array([[90, 120, 150], [120, 90, 150], [150, 120, 90], [120, 150, 90], [105, 105, 105], [135, 135, 135]])


def make_scenes(root: Path, count: int = 9) -> list[dict[str, str]]:
    """Write images of blocks in these colours with noise, and their labels; return the rows of an index."""
    random, rows = np.random.default_rng(0), []
    for number in range(count):
        label = np.kron(random.integers(0, 6, (4, 8)), np.ones((8, 8), int)).astype(np.uint8)
        image = COLOURS[label] + random.integers(-12, 13, (32, 64, 3))
        paths = [root / f"{number}.png", root / f"{number} label.png"]
        for path, pixels in zip(paths, (image.astype(np.uint8), label), strict=True):
            cv2.imwrite(str(path), pixels)
        digests = {"image_sha256": sha256_of(paths[0]), "label_sha256": sha256_of(paths[1])}
        row = {"image_id": str(number), "image": str(paths[0]), "label": str(paths[1]), "height": "32", "width": "64"}
        rows.append({**row, **digests})
    return rows


def nearest_colour(path: Path, channel_order: str, scale: float, mean: list[float], std: list[float]) -> None:
    """A network that finds the nearest class colour of images that are made by these settings. It ends in ids."""
    colours = COLOURS[:, :: -1 if channel_order == "rgb" else 1]
    centres = (colours * scale - mean) / std
    weight = (centres[:, :, None, None] * np.square(std)[None, :, None, None]).astype(np.float32)
    bias = (-0.5 * (np.square(centres) * np.square(std)).sum(1)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "weight", "bias"], ["scores"]),
            helper.make_node("ArgMax", ["scores"], ["ids"], axis=1, keepdims=0),
            helper.make_node("Cast", ["ids"], ["class_map"], to=TensorProto.UINT8),
        ],
        "nearest",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 64])],
        [helper.make_tensor_value_info("class_map", TensorProto.UINT8, [1, 32, 64])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8), str(path))


@pytest.fixture
def request_of(tmp_path):
    """Return the child's request for a network that was trained with `trained`, where its entry says OWN."""
    rows = make_scenes(tmp_path)
    with open(tmp_path / "index.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, [*rows[0]])
        writer.writeheader()
        writer.writerows(rows)
    facts = {"classes": list("abcdef"), "ignore_index": 255, "id_map": None}
    write_record(tmp_path / "dataset.json", {"status": "ok", "reason": "", **facts})

    def made(**trained) -> Request:
        used = {**OWN, **trained}
        nearest_colour(tmp_path / "model.onnx", used["channel_order"], used["scale"], used["mean"], used["std"])
        record = {"status": "ok", "reason": "", "preprocessing": OWN, "input": {"height": 32, "width": 64}}
        record |= {"class_map": None, "files": {"model.onnx": sha256_of(tmp_path / "model.onnx")}}
        write_record(tmp_path / "model.json", record)
        paths = {"model": "model.json", "index": "index.csv", "dataset": "dataset.json"}
        return Request(miou=1.0, **{key: str(tmp_path / name) for key, name in paths.items()})

    return made


@pytest.mark.parametrize(
    ("trained", "written"),
    [
        ({"channel_order": "bgr"}, "{channel_order: bgr}"),
        (IMAGENET, "{mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}"),
        ({"mean": [0.0] * 3, "std": [1.0] * 3}, "{mean: [0], std: [1]}"),
        ({"scale": 1.0, "mean": [0.0] * 3, "std": [1.0] * 3}, "{scale: 1.0, mean: [0], std: [1]}"),
        (
            {"channel_order": "bgr", "scale": 1.0, "mean": [103.53, 116.28, 123.675], "std": [1.0] * 3},
            "{channel_order: bgr, scale: 1.0, mean: [103.53, 116.28, 123.675], std: [1]}",
        ),
    ],
    ids=["bgr", "ImageNet", "0 to 1", "0 to 255", "Caffe"],
)
def test_setting_that_the_network_was_trained_with_is_named(request_of, trained, written):
    found = search(request_of(**trained))
    expected = {key: {**OWN, **trained}[key] for key in ("channel_order", "scale", "mean", "std")}
    assert found["best"] == expected and len(found["images"]) == 4
    assert found["best_miou"] > 0.9 > found["own_miou"] + 0.1
    (said,) = found["warnings"]
    numbers = f"mIoU {found['best_miou']:.2f} instead of {found['own_miou']:.2f}"
    assert said == f"{numbers} with preprocessing: {written} on 4 images"


def test_where_the_entry_is_right_the_order_of_classes_is_pointed_to(request_of):
    found = search(request_of())
    assert found["own_miou"] > 0.9
    (said,) = found["warnings"]
    assert said.startswith("none of 11 other usual preprocessings does better (mIoU ")
    assert said.endswith(" on 4 images): check class_map and the order of classes, or give that of its training")


def test_where_the_engine_is_at_fault_the_preprocessing_is_not_blamed(request_of):
    assert search({**request_of(), "miou": 0.2})["warnings"] == []


def test_settings_are_the_own_one_first_and_each_once():
    tried = list(settings(OWN))
    assert tried[0] == {key: OWN[key] for key in tried[0]}
    assert len(tried) == len({str(setting) for setting in tried}) == 12


GUESS = [[90, 0, 0], [10, 0, 0], [0, 0, 0]]  # mIoU .45, which guessing has too
FINE = [[80, 10, 0], [2, 8, 0], [0, 0, 0]]
SCORE = {"status": "ok", "reason": "", "miou": 0.45, "agrees": True, "reference": "onnxruntime-fp32"}


@pytest.mark.parametrize(
    ("change", "suspect"),
    [
        ({}, True),
        ({"miou": 0.5}, True),
        ({"miou": 0.64, "confusion_matrix": FINE}, False),
        ({"miou": None, "confusion_matrix": None}, False),
        ({"status": "refused"}, False),
        ({"miou": 0.64, "confusion_matrix": FINE, "agrees": False}, False),  # the engine is wrong then
        ({"miou": 0.64, "confusion_matrix": FINE, "agrees": False, "reference": "mine.zip"}, True),
    ],
)
def test_rows_that_hardly_do_better_than_guessing_are_suspect(change, suspect):
    assert is_suspect({**SCORE, "confusion_matrix": GUESS, **change}) == suspect


def test_where_the_row_is_fine_nothing_is_opened(tmp_path):
    write_json(tmp_path / "score.json", {**SCORE, "miou": 0.64, "confusion_matrix": FINE})
    nowhere = Path("nowhere/model.json")
    find(tmp_path / "score.json", nowhere, nowhere, nowhere, Limits(), tmp_path / "out.json")
    assert read_json(tmp_path / "out.json") | {"status": "ok", "reason": "", "warnings": []} == read_json(
        tmp_path / "out.json"
    )


def test_a_suspect_row_is_searched_in_a_child(request_of, tmp_path):
    write_json(tmp_path / "score.json", {**SCORE, "confusion_matrix": GUESS})
    request_of(channel_order="bgr")
    paths = [tmp_path / name for name in ("score.json", "model.json", "index.csv", "dataset.json")]
    find(*paths, Limits(), tmp_path / "out.json")
    found = read_json(tmp_path / "out.json")
    assert found["status"] == "ok" and "with preprocessing: {channel_order: bgr} on 4 images" in found["warnings"][0]
