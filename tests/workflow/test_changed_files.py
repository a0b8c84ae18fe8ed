"""A file outside results/ that changed reruns what it touches and nothing else, whatever its date."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.made import make_onnx_model
from segbench.images.choice import by_name

RESCORED = {"index_dataset", "check_inputs", "score", "find_preprocessing", "picture", "report", "table"}
TIMED_AGAIN = {"time_round", "time_round_control", "plan_rounds"}
RUN_AGAIN = {*RESCORED, "index_images", "decode_images", "measure_brightness", "infer"}
EXPORTED_AGAIN = {
    *("fetch_checkpoint", "export_onnx_model", "build_engine", "infer", "score", "find_preprocessing"),
    *("picture", "report", "table"),
    *TIMED_AGAIN,
}


def picture(flow, timed: bool) -> str:
    """The name of a picture that is among the timed ones, or is not."""
    with open(flow.folder / "results/data/made/timed/images.csv", newline="") as stream:
        chosen = {Path(row["image"]).name for row in csv.DictReader(stream)}
    names = sorted(path.name for path in (flow.folder / "street scenes/val").glob("*.png"))
    return next(name for name in names if (name in chosen) == timed)


def new_name(flow) -> str:
    """A name whose hash does not bring its picture among the timed ones."""
    with open(flow.folder / "results/data/made/val/images.csv", newline="") as stream:
        there = [row["image_id"] for row in csv.DictReader(stream)]
    count = flow.config["timing"]["images_per_round"]
    return next(f"{n}.png" for n in range(99) if f"val__{n}" not in by_name([*there, f"val__{n}"], str, count, seed=0))


def older(path: Path) -> None:
    os.utime(path, (1e9, 1e9))


def weights_with_an_older_date(flow):
    older(make_onnx_model(flow.folder / "nearest.onnx", scale=0.5))
    return EXPORTED_AGAIN


def weights_by_another_link(flow):
    """Both targets have the size and the date of files from one archive."""
    path = flow.folder / "nearest.onnx"
    kept, other = path.with_name("kept.onnx"), make_onnx_model(path.with_name("other.onnx"), scale=0.5)
    path.rename(kept)
    path.symlink_to(kept.name)
    assert flow.plan() == {}
    shutil.copystat(kept, other)
    assert kept.stat().st_size == other.stat().st_size
    path.unlink()
    path.symlink_to(other.name)
    return EXPORTED_AGAIN


def touched_files(flow):
    for path in (flow.folder / "street scenes").rglob("*.png"):
        path.touch()
    (flow.folder / "nearest.onnx").touch()
    return set()


def corrected_label(flow):
    label = flow.folder / "street scenes/labels/scene 01.png"
    before = label.stat()
    cv2.imwrite(str(label), np.full((32, 64), 1, np.uint8))
    os.utime(label, ns=(before.st_atime_ns, before.st_mtime_ns))
    return RESCORED


def overwritten_with_an_older_date(flow, timed: bool) -> None:
    path = flow.folder / "street scenes/val" / picture(flow, timed)
    cv2.imwrite(str(path), 255 - cv2.imread(str(path)))
    older(path)


def other_picture_that_is_not_timed(flow):
    overwritten_with_an_older_date(flow, timed=False)
    return RUN_AGAIN


def other_picture_that_is_timed(flow):
    overwritten_with_an_older_date(flow, timed=True)
    return RUN_AGAIN | TIMED_AGAIN


def added_picture(flow):
    name = new_name(flow)
    for folder in ("val", "labels"):
        shutil.copy(
            flow.folder / f"street scenes/{folder}/scene 01.png", flow.folder / f"street scenes/{folder}/{name}"
        )
    return RUN_AGAIN


def removed_picture(flow):
    (flow.folder / "street scenes/val" / picture(flow, timed=False)).unlink()
    return RUN_AGAIN


def renamed_picture(flow):
    name, new = picture(flow, timed=False), new_name(flow)
    for folder in ("val", "labels"):
        (flow.folder / f"street scenes/{folder}" / name).rename(flow.folder / f"street scenes/{folder}" / new)
    return RUN_AGAIN


def other_class_names(flow):
    flow.config["dataset_catalogue"]["made"]["classes"] = ["crimson", "green", "blue", "grey"]
    return RESCORED


def other_id_map(flow):
    flow.config["dataset_catalogue"]["made"]["id_map"] = {0: 1, 1: 0, 2: 2, 3: 3, 255: 255}
    return RESCORED


def file_that_no_glob_matches(flow):
    (flow.folder / "street scenes/val/notes.txt").write_text("none")
    return set()


@pytest.mark.parametrize(
    "change",
    [
        weights_with_an_older_date, weights_by_another_link, touched_files, corrected_label,
        other_picture_that_is_not_timed, other_picture_that_is_timed, added_picture,
        removed_picture, renamed_picture, other_class_names, other_id_map, file_that_no_glob_matches,
    ],
    ids=lambda change: change.__name__,
)  # fmt: skip
def test_change_reruns_what_it_touches(done, change):
    wanted = change(done)
    assert set(done.plan()) == wanted
