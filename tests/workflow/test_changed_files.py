"""A file outside results/ that changed reruns what it touches and nothing else, whatever its date."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.made import make_onnx_model

RESCORED = {"index_dataset", "check_inputs", "score", "picture", "report", "table"}
RUN_AGAIN = {*RESCORED, "index_images", "decode_images", "infer"}
EXPORTED_AGAIN = {
    "fetch_checkpoint",
    "export_onnx_model",
    "build_engine",
    "infer",
    "score",
    "picture",
    "report",
    "table",
}


def older(path: Path) -> None:
    os.utime(path, (1e9, 1e9))


def weights_with_an_older_date(flow):
    older(make_onnx_model(flow.folder / "nearest.onnx", scale=0.5))
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


def other_picture_with_an_older_date(flow):
    picture = flow.folder / "street scenes/val/scene 01.png"
    cv2.imwrite(str(picture), 255 - cv2.imread(str(picture)))
    older(picture)
    return RUN_AGAIN


def added_picture(flow):
    for folder in ("val", "labels"):
        shutil.copy(flow.folder / f"street scenes/{folder}/scene 01.png", flow.folder / f"street scenes/{folder}/9.png")
    return RUN_AGAIN


def removed_picture(flow):
    (flow.folder / "street scenes/val/scene 03.png").unlink()
    return RUN_AGAIN


def renamed_picture(flow):
    for folder in ("val", "labels"):
        (flow.folder / f"street scenes/{folder}/scene 03.png").rename(flow.folder / f"street scenes/{folder}/3.png")
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
        weights_with_an_older_date, touched_files, corrected_label, other_picture_with_an_older_date, added_picture,
        removed_picture, renamed_picture, other_class_names, other_id_map, file_that_no_glob_matches,
    ],
    ids=lambda change: change.__name__,
)  # fmt: skip
def test_change_reruns_what_it_touches(done, change):
    wanted = change(done)
    assert set(done.plan()) == wanted


def test_corrected_label_gives_another_score_and_the_same_times(done):
    before = done.rows()
    corrected_label(done)
    done.snakemake()
    after = done.rows()
    assert [row["time_s"] for row in after] == [row["time_s"] for row in before]
    assert all(new["miou"] != old["miou"] for new, old in zip(after, before, strict=True))
    assert done.plan() == {}
