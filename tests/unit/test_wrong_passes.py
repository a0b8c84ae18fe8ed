"""Graph passes with which oneDNN is wrong are found on real networks, and the built engine leaves them out."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import build_engine
import cv2
import export_paddle
import find_wrong_passes
import numpy as np
import paddle
import pytest
from helpers.paddle_made import agreement, run_paddle, save_network
from segbench.calibration import paddle as paddle_ptq
from segbench.config.options import Variant
from segbench.engines.base import load
from segbench.files import read_json, write_record
from segbench.images.drawn import drawn_image, drawn_input
from segbench.models.exported import ExportedModel
from segbench.models.record import model_record
from segbench.process.limits import Limits
from segbench.runtimes.paddle.passes import guilty_passes, left_out

SCRIPTS = Path(find_wrong_passes.__file__).parent
HEIGHT, WIDTH = 64, 96
PREPROCESSING = {"mean": [0.5] * 3, "std": [0.5] * 3, "scale": 1 / 255, "channel_order": "rgb", "resize": "none"}
ENTRY = {
    "kind": "paddle_inference",
    "weights": {},
    "input": {"height": HEIGHT, "width": WIDTH},
    "preprocessing": PREPROCESSING,
    "class_count": 4,
    "class_map": None,
    "output": None,
}
F = paddle.nn.functional


def filters(shape: Sequence[int]) -> Any:
    return (paddle.arange(int(np.prod(shape)), dtype="float32") * 1.7).sin().reshape(shape)


def gate(logits: Any) -> Any:
    """As BiSeNetV1's attention: convolution, ReLU, sigmoid."""
    return F.sigmoid(F.relu(F.conv2d(logits, filters([4, 4, 1, 1]))))


def filtered_by_itself(logits: Any) -> Any:
    """As DMNet and K-Net: each image is convolved with filters that are computed from it."""
    own = F.adaptive_avg_pool2d(F.conv2d(logits, filters([4, 4, 3, 3])), 3)
    return F.conv2d(logits, own.reshape([4, 1, 3, 3]), padding=1, groups=4)


def unpooled(logits: Any) -> Any:
    """As SegNet: maxima go back to where they were."""
    maxima, indices = F.max_pool2d(logits, 2, return_mask=True)
    return F.conv2d(F.max_unpool2d(maxima, indices, 2), filters([4, 4, 3, 3]), padding=1)


def exported(folder: Path, then: Callable[[Any], Any]) -> Path:
    """model.json of a network."""
    pdmodel = folder / "mine" / "model.pdmodel"
    files = {"model.pdmodel": pdmodel, "model.pdiparams": pdmodel.with_suffix(".pdiparams")}
    export_paddle.export("mine", ENTRY, save_network(folder / "net", then, size=(HEIGHT, WIDTH)), *files.values())
    write_record(pdmodel.with_name("model.json"), model_record("mine", ENTRY, files, 0, ()))
    return pdmodel.with_name("model.json")


def index_of_images(folder: Path, sizes: Sequence[tuple[int, int]] = ((HEIGHT, WIDTH),) * 4) -> Path:
    """images.csv of drawn pictures."""
    lines = ["image_id,image,height,width"]
    for number, (height, width) in enumerate(sizes):
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), drawn_image(height, width, number))
        lines.append(f"{number},{path},{height},{width}")
    index = folder / "images.csv"
    index.write_text("\n".join(lines) + "\n")
    return index


def search(folder: Path, then: Callable[[Any], Any]) -> tuple[Path, dict[str, Any]]:
    """model.json of a network, and what the search found of it."""
    model, out = exported(folder, then), folder / "wrong_passes.json"
    find_wrong_passes.find(model, index_of_images(folder), "", Limits(), out)
    return model, read_json(out)


def engine_agrees(folder: Path, model: Path, precision: str = "fp32") -> float:
    """Agreement with native Paddle of the engine that is built with the found passes, on further images."""
    variant = {"name": "v", "engine": "paddle_onednn", "precision": precision}
    request: build_engine.Request = {
        "model": str(model), "variant": variant, "options": {}, "calibration": "", "shapes": "", "logits": False,
        "passes": str(folder / "wrong_passes.json"), "twin": "", "fp32_layers": "", "out": "",
    }  # fmt: skip
    build_engine.build_engine(request, Limits(), folder / "engine", folder / "status.json")
    record = read_json(folder / "status.json")
    assert record["status"] == "ok", record["reason"]
    assert record["warnings"] == read_json(folder / "wrong_passes.json")["warnings"]
    engine = load("paddle_onednn")
    session = engine.open(folder / "engine", Variant(**variant), engine.run_options(), 1)
    images = [drawn_input(ENTRY).copy(), drawn_input(ENTRY).copy() * 0.5, drawn_input(ENTRY)[:, ::-1].copy()]
    found = []
    for image in images:
        session.upload(image)
        session.execute()
        found.append(session.download()[None])
    return agreement(found, run_paddle(model.with_name("model.pdmodel"), images))


def test_pass_that_loses_a_relu_is_found_and_left_out(tmp_path: Path) -> None:
    model, record = search(tmp_path, gate)
    assert (record["status"], record["left_out"]) == ("ok", ["conv_activation_mkldnn_fuse_pass"])
    assert record["agreement"] < 0.9
    (warning,) = record["warnings"]
    assert warning == (
        "slower than it could be: oneDNN leaves out conv_activation_mkldnn_fuse_pass, with which its class maps agree"
        f" with native Paddle's on {record['agreement']:.4f} of pixels (bound 0.9995)"
    )
    assert engine_agrees(tmp_path, model) >= 0.9995
    assert left_out(tmp_path / "engine") == record["left_out"]


def test_judge_of_int8_leaves_the_pass_out_too(tmp_path: Path) -> None:
    model = exported(tmp_path, gate)
    images = [drawn_input(ENTRY).copy(), -drawn_input(ENTRY)]
    task = SimpleNamespace(model=ExportedModel.open(model), images=images)
    paddle_ptq.quantize(model.parent, task, "abs_max", tmp_path / "int8", [])
    expected = run_paddle(model.with_name("model.pdmodel"), images)
    for folder, precision, least in ((model.parent, "fp32", 0.9995), (tmp_path / "int8", "int8", 0.9)):
        predict = paddle_ptq._predictor(folder, precision, ("conv_activation_mkldnn_fuse_pass",))
        assert agreement([predict(image)[None] for image in images], expected) >= least
        wrong = paddle_ptq._predictor(folder, precision)
        assert agreement([wrong(image)[None] for image in images], expected) < least


def test_pass_that_keeps_the_first_images_filters_is_found_and_left_out(tmp_path: Path) -> None:
    model, record = search(tmp_path, filtered_by_itself)
    assert (record["status"], record["left_out"]) == ("ok", ["is_test_pass"])
    assert 0.25 <= record["agreement"] < 0.9  # the first image is right
    assert engine_agrees(tmp_path, model) >= 0.9995


def test_nothing_is_left_out_of_a_network_that_is_right(tmp_path: Path) -> None:
    model, record = search(tmp_path, unpooled)
    assert (record["left_out"], record["warnings"], record["trials"]) == ([], [], 2)
    assert engine_agrees(tmp_path, model) >= 0.9995
    assert not (tmp_path / "engine" / "left_out.json").exists()


def test_images_that_do_not_fit_the_model_are_passed_over(tmp_path: Path) -> None:
    fits, other = (HEIGHT, WIDTH), (HEIGHT, WIDTH + 1)
    index = index_of_images(tmp_path, (other, fits, other, fits, fits, fits, fits))
    rows = find_wrong_passes.fitting_rows(index, ENTRY)
    assert [row["image_id"] for row in rows] == ["1", "3", "4", "5"]
    stretched = {**ENTRY, "preprocessing": {**PREPROCESSING, "resize": "stretch"}}
    assert [row["image_id"] for row in find_wrong_passes.fitting_rows(index, stretched)] == ["0", "1", "2", "3"]
    index = index_of_images(tmp_path, (fits, (HEIGHT - 1, WIDTH), other, (2 * HEIGHT, 2 * WIDTH)))
    slid_over = {**ENTRY, "preprocessing": {**PREPROCESSING, "window": {}}}
    assert [row["image_id"] for row in find_wrong_passes.fitting_rows(index, slid_over)] == ["0", "2", "3"]


def test_without_an_image_that_fits_nothing_is_left_out_and_the_row_says_so(tmp_path: Path) -> None:
    model, out = exported(tmp_path, lambda logits: logits), tmp_path / "wrong_passes.json"
    index = index_of_images(tmp_path, [(HEIGHT, WIDTH + 1)])
    find_wrong_passes.find(model, index, "", Limits(), out)
    record = read_json(out)
    said = f"oneDNN was not compared with native Paddle: {index} names no image that fits the model's input"
    assert (record["status"], record["left_out"], record["warnings"]) == ("ok", [], [said])


CRASH = """    if CONDITION:
        import os

        os.kill(os.getpid(), 11)
    config = onednn_config(program, threads, options, variant)
"""


def search_with_a_crash(folder: Path, condition: str) -> dict[str, Any]:
    """What the script finds in a copy of the project whose oneDNN engine crashes where `condition` holds."""
    copy = folder / "scripts"
    shutil.copytree(SCRIPTS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    engine = copy / "segbench" / "engines" / "paddle_onednn.py"
    before, opened, after = engine.read_text().partition(CRASH.splitlines(keepends=True)[-1])
    assert opened
    engine.write_text(before + CRASH.replace("CONDITION", condition) + after)
    model, out = exported(folder, lambda logits: logits), folder / "wrong_passes.json"
    command = [sys.executable, copy / "find_wrong_passes.py", "--model", model, "--index", index_of_images(folder)]
    subprocess.run([*map(str, command), "--out", str(out)], check=True)
    record: dict[str, Any] = read_json(out)
    return record


def test_pass_that_crashes_is_found_and_left_out(tmp_path: Path) -> None:
    record = search_with_a_crash(tmp_path, '"fc_fuse_pass" not in without')
    assert (record["status"], record["left_out"]) == ("ok", ["fc_fuse_pass"])
    (warning,) = record["warnings"]
    said = "slower than it could be: oneDNN leaves out fc_fuse_pass, with which it crashed by SIGSEGV while opening"
    assert warning.startswith(said)
    assert ";" not in warning  # which would end it in the table


def test_crash_that_no_pass_explains_is_the_rows_reason(tmp_path: Path) -> None:
    record = search_with_a_crash(tmp_path, "True")
    assert record["status"] == "failed"
    assert record["reason"].startswith("crashed by SIGSEGV while opening the model by oneDNN")


@pytest.mark.parametrize(
    "guilty", [[{"c"}], [{"a"}], [{"e"}], [{"a"}, {"e"}], [{"b"}, {"c"}, {"d"}], [{"a", "b"}], [{"b", "d"}, {"e"}]]
)
def test_bisection_finds_the_fewest_passes(guilty: list[set[str]]) -> None:
    """Each set of `guilty` is a fault, which any of its passes cures where it is left out."""
    passes, tried = "abcde", []

    def agrees(out: Sequence[str]) -> bool:
        tried.append(tuple(sorted(out)))
        return all(fault & set(out) for fault in guilty)

    found = guilty_passes(passes, agrees)
    assert found is not None and agrees(found) and len(found) == len(guilty)
    assert len(tried) <= 2 + 5 * len(guilty)


def test_bisection_gives_up_where_no_pass_is_guilty() -> None:
    assert guilty_passes("abcde", lambda out: False) is None
