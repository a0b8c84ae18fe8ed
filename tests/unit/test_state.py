"""Planning tells whether files outside results/ have changed, by their bytes and not by their dates."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import onnx
import pytest
from fetch_checkpoint import fetch
from helpers.made import make_folder_dataset, make_onnx_model
from index_images import index_images, summary, to_csv
from segbench.datasets.listing import listed
from segbench.files import sha256_of, stamp, write_record, write_text
from segbench.images.choice import by_name
from segbench.planning import models as planning_models
from segbench.planning import state
from segbench.planning.data import Data
from segbench.planning.models import Models
from segbench.planning.state import Known, Seen, state_of
from test_index_dataset import index, make_cityscapes


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def known(*paths: str) -> list[Known]:
    return [Known(path, path, stamp(path), sha256_of(path)) for path in paths]


def listing(*paths: str) -> list[tuple[str, str]]:
    return [(path, path) for path in paths]


def test_unchanged_files_keep_the_state_that_the_job_was_given():
    Path("a").write_text("one")
    first = state_of(listing("a"), None)
    assert state_of(listing("a"), Seen(first, known("a"))) == first
    assert state_of(listing("a"), Seen("of another run", known("a"))) == "of another run"


def test_file_of_another_date_is_the_same_as_long_as_its_bytes_are():
    Path("a").write_text("one")
    seen = Seen("kept", known("a"))
    os.utime("a", (1e9, 1e9))
    assert state_of(listing("a"), seen) == "kept"
    Path("a").write_text("two")
    os.utime("a", (2e9, 2e9))
    assert state_of(listing("a"), seen) != "kept"


def test_digests_are_computed_once_for_each_date(monkeypatch):
    Path("a").write_text("one")
    seen = Seen("kept", known("a"))
    os.utime("a", (1e9, 1e9))
    assert state_of(listing("a"), seen) == "kept"
    monkeypatch.setattr(state, "sha256_of", lambda path: pytest.fail("read again"))
    assert state_of(listing("a"), seen) == "kept"


def test_link_to_another_target_is_a_change():
    Path("a").write_text("one")
    Path("b").write_text("two")
    shutil.copystat("a", "b")  # as two files of an archive may have it
    Path("link").symlink_to("a")
    seen = Seen("kept", known("link"))
    Path("link").unlink()
    Path("link").symlink_to("b")
    assert state_of(listing("link"), seen) != "kept"


def test_other_bytes_of_the_same_size_and_date_are_a_change():
    Path("a").write_text("one")
    Path("new").write_text("two")
    shutil.copystat("a", "new")
    seen = Seen("kept", known("a"))
    shutil.copy2("new", "a")  # cp -p
    assert os.stat("a").st_mtime_ns == os.stat("new").st_mtime_ns
    assert state_of(listing("a"), seen) != "kept"


def test_label_that_belongs_to_another_image_now_is_a_change():
    Path("a").write_text("one")
    seen = Seen("kept", [Known("image", "a", stamp("a"), sha256_of("a"))])
    assert state_of([("image", "a")], seen) == "kept"
    assert state_of([("other image", "a")], seen) != "kept"


def data_of(root: Path, split: dict | None = None) -> Data:
    splits = {"val": split or {"images": "val/*.png", "labels": None}}
    entry = {"kind": "folder", "root": str(root), "generate": None, "splits": splits, "limit": None}
    timing = {"images_per_round": 2, "seed": 0}
    return Data({"dataset": "made", "dataset_root": None, "dataset_catalogue": {"made": entry}, "timing": timing})


@pytest.mark.parametrize(
    "setting", [{"ignored_pixels": "errors"}, {"boundary_width": None}, {"objects": {"classes": ["car"]}}]
)
def test_settings_of_scores_index_nothing_again(tmp_path, setting):
    w, data = SimpleNamespace(dataset="made", split="val"), data_of(tmp_path)
    before = data.images_entry(w), data.labels_entry(w)
    data.config["dataset_catalogue"]["made"] |= setting
    assert (data.images_entry(w), data.labels_entry(w)) == before


def run_index(root: Path, split: str) -> str:
    """Do what the job does; returns the state that it was given."""
    w, data = SimpleNamespace(dataset="made", split=split), data_of(root)
    given = data.images_state(w)
    entry = {**data.entry(w)}
    rows = index_images(listed("made", split, entry, None, data._sample(w)), "made", split, 1)
    folder = Path(f"results/data/made/{split}")
    write_text(folder / "images.csv", to_csv(rows))
    facts = {"state": given, "index_sha256": sha256_of(folder / "images.csv"), **summary(rows)}
    write_record(folder / "images.json", {"status": "ok", "reason": "", **facts})
    return given


def test_added_picture_leaves_those_alone_that_are_timed(here):
    """Which are timed is chosen by a hash of their names."""
    root = make_folder_dataset(here / "data", count=8)
    given = {split: run_index(root, split) for split in ("val", "timed")}
    for number in range(40):
        shutil.copy(root / "val/scene 00.png", root / f"val/more {number}.png")
        after = {split: data_of(root).images_state(SimpleNamespace(dataset="made", split=split)) for split in given}
        if after["timed"] == given["timed"]:
            break
        (root / f"val/more {number}.png").unlink()
    assert after["timed"] == given["timed"] and after["val"] != given["val"]


def test_choice_is_by_name_and_not_by_position():
    names = [f"image{number}" for number in range(100)]
    first = by_name(names, str, 10, seed=0)
    assert by_name(names[::-1], str, 10, seed=0) == first
    assert by_name(names, str, 10, seed=1) != first
    assert len({*first} & {*by_name([name for name in names if name != first[3]], str, 10, seed=0)}) == 9


def test_missing_data_plan_as_before(here):
    w = SimpleNamespace(dataset="made", split="val")
    assert data_of(here / "nowhere").images_state(w) == ""
    root = make_folder_dataset(here / "data")
    given = run_index(root, "val")
    shutil.move(root, here / "unmounted")
    assert data_of(root).images_state(w) == given


def weights_state(path: Path) -> str:
    catalogue = {"net": {"weights": {"path": str(path), "url": None}}}
    models = Models({"model_catalogue": catalogue, "model_root": "."})
    return models.weights_state(SimpleNamespace(model="net", suffix="onnx"))


def test_weights_are_known_with_the_files_of_their_external_data(here):
    source = here / "net.onnx"
    model = onnx.load(make_onnx_model(here / "whole.onnx"))
    onnx.save(model, source, save_as_external_data=True, location="net.data", size_threshold=0)
    given = weights_state(source)
    out = here / "results/models/net/checkpoint.onnx"
    fetch({"url": None, "path": str(source), "sha256": None}, out, here / "cache", given)
    assert weights_state(source) == given
    data = bytearray((here / "net.data").read_bytes())
    data[0] ^= 1
    (here / "net.data").write_bytes(bytes(data))
    os.utime(here / "net.data", (1e9, 1e9))
    assert weights_state(source) != given


def test_planning_reads_no_file_that_has_not_changed(here, monkeypatch):
    root = make_folder_dataset(here / "data")
    given = run_index(root, "val")
    monkeypatch.setattr(state, "sha256_of", lambda path: pytest.fail(f"{path} was read"))
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    assert data_of(root).images_state(SimpleNamespace(dataset="made", split="val")) == given


def write_list(root: Path, names: list[str]) -> None:
    (root / "val.txt").write_text("".join(f"val/{name} labels/{name}\n" for name in names))
    os.utime(root / "val.txt", (1e9, 1e9))


@pytest.mark.parametrize("change", [slice(0, 3), slice(None, None, -1), slice(0, 4)], ids=["fewer", "order", "none"])
def test_images_and_labels_are_those_of_the_list_file_whatever_its_date(here, change):
    root = make_folder_dataset(here / "data")
    names = sorted(path.name for path in (root / "val").iterdir())
    write_list(root, names)
    w, split = SimpleNamespace(dataset="made", split="val"), {"list": "val.txt"}
    before = [of(w) for of in (data_of(root, split).images_state, data_of(root, split).labels_state)]
    write_list(root, names[change])
    after = [of(w) for of in (data_of(root, split).images_state, data_of(root, split).labels_state)]
    assert [new != old for new, old in zip(after, before, strict=True)] == [names[change] != names] * 2


def test_list_that_gives_an_image_another_label_changes_the_labels_alone(here):
    root = make_folder_dataset(here / "data")
    w, split = SimpleNamespace(dataset="made", split="val"), {"list": "val.txt"}
    names = sorted(path.name for path in (root / "val").iterdir())
    write_list(root, names)
    images, labels = data_of(root, split).images_state(w), data_of(root, split).labels_state(w)
    (root / "val.txt").write_text((root / "val.txt").read_text().replace("labels/scene 01", "labels/scene 02"))
    assert data_of(root, split).images_state(w) == images and data_of(root, split).labels_state(w) != labels


def test_instances_that_are_added_or_changed_change_the_labels_alone(here):
    names = ("ulm_1_2", "ulm_3_4")
    folder = make_cityscapes(here / "data", dict.fromkeys(names, np.full((4, 6), 24001, np.uint16)))
    w = SimpleNamespace(dataset="made", split="val")

    def states() -> tuple[str, str]:
        fresh = data_of(here / "data")
        fresh.config["dataset_catalogue"]["made"] |= {"kind": "cityscapes", "splits": None}
        return fresh.images_state(w), fresh.labels_state(w)

    _, labels = states()
    out = here / "results/data/made/val"
    assert index(here / "data", out, {"kind": "cityscapes"}, state=labels)[0] == "ok"
    assert states()[1] == labels
    path = folder / "ulm_1_2_gtFine_instanceIds.png"
    os.utime(path, (1e9, 1e9))
    assert states()[1] == labels  # touched
    cv2.imwrite(str(path), np.full((4, 6), 24002, np.uint16))
    changed = states()
    assert changed[1] != labels
    for path in folder.glob("*_instanceIds.png"):
        path.unlink()
    assert states()[1] not in (labels, changed[1]) and states()[0] == changed[0]


def settings_digest(entry: dict) -> str:
    return Models({"model_catalogue": {"net": entry}, "model_root": "."}).settings_digest(SimpleNamespace(model="net"))


@pytest.mark.parametrize("changed", ["export/deploy.yaml", "net.yml", "base.yml"])
def test_settings_beside_a_model_are_known_by_their_content(here, changed):
    """A deploy.yaml, a configuration of PaddleSeg, what that inherits: overwritten with an older date, or touched."""
    (here / "export").mkdir()
    Path("export/deploy.yaml").write_text("Deploy: {transforms: []}\n")
    Path("net.yml").write_text("_base_: base.yml\nmodel: {type: UNet}\n")
    Path("base.yml").write_text("val_dataset: {transforms: []}\n")
    entry = {"config": "net.yml", "folder": None, "kind": "paddleseg", "weights": "random"}
    if changed.startswith("export"):
        weights = {"path": "export/model.pdmodel", "url": None}
        entry = {"config": None, "folder": None, "kind": "paddle_inference", "weights": weights}
    planning_models._digest_of.cache_clear()
    before = settings_digest(entry)
    os.utime(changed)
    planning_models._digest_of.cache_clear()
    assert settings_digest(entry) == before
    Path(changed).write_text(Path(changed).read_text().replace("[]", "[a]").replace("UNet", "ENet"))
    os.utime(changed, (1e9, 1e9))
    planning_models._digest_of.cache_clear()
    assert settings_digest(entry) != before
