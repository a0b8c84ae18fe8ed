"""Planning tells whether files outside results/ have changed, by their bytes and not by their dates."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import onnx
import pytest
from fetch_checkpoint import fetch
from helpers.made import make_folder_dataset, make_onnx_model
from index_images import index_images, summary, to_csv
from segbench.datasets.listing import listed
from segbench.files import sha256_of, stamp, write_record, write_text
from segbench.images.choice import by_name
from segbench.planning import state
from segbench.planning.data import Data
from segbench.planning.models import Models
from segbench.planning.state import Known, Seen, state_of


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
    shutil.copystat("a", "b")
    Path("link").symlink_to("a")
    seen = Seen("kept", known("link"))
    Path("link").unlink()
    Path("link").symlink_to("b")
    os.utime("b", (1e9, 1e9))
    assert state_of(listing("link"), seen) != "kept"


def test_label_that_belongs_to_another_image_now_is_a_change():
    Path("a").write_text("one")
    seen = Seen("kept", [Known("image", "a", stamp("a"), sha256_of("a"))])
    assert state_of([("image", "a")], seen) == "kept"
    assert state_of([("other image", "a")], seen) != "kept"


def data_of(root: Path) -> Data:
    splits = {"val": {"images": "val/*.png", "labels": None}}
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
