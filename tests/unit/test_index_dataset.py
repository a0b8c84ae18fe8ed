"""What is wrong with a data set is told at once, in one line each, before anything heavy starts."""

import csv
import json
import os
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.made import make_folder_dataset
from PIL import Image
from segbench.errors import InputError
from segbench.files import read_json
from segbench.images.index import read_index

SCRIPTS = Path(__file__).parents[2] / "workflow_scripts"
FOLDER = {
    "kind": "folder", "splits": {"val": {"images": "val/*", "labels": "labels/*.png"}}, "classes": ["a", "b", "c", "d"],
    "ignore_index": 255, "id_map": None,
}  # fmt: skip


def index(root: Path, out: Path, entry: dict | None = None, split: str = "val", jobs: int = 1, **options: object):
    """Run both scripts; returns the status of the data set, and what they wrote to stderr."""
    entry = {"root": str(root), **(entry or FOLDER)}
    common = {"dataset": "mine", "split": split, "entry": json.dumps(entry), "limit": "null", "jobs": jobs, **options}
    images = {**common, "index": out / "images.csv", "summary": out / "images.json"}
    for key in ("sample", "apart-from"):
        common.pop(key, None)
    labels = {**common, "images": out / "images.csv", "index": out / "index.csv", "summary": out / "dataset.json"}
    told = ""
    for script, asked in {"index_images.py": images, "index_dataset.py": labels}.items():
        command = [sys.executable, SCRIPTS / script, *(f"--{key}={value}" for key, value in asked.items())]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        told += done.stderr
    return read_json(out / "dataset.json")["status"], told


def faults(root: Path, out: Path, **more: object) -> list[str]:
    """The lines after the headings: faults of images, then of labels."""
    status, told = index(root, out, **more)
    assert status == "refused"
    assert len((out / "index.csv").read_text().splitlines()) == 1  # its heading
    with pytest.raises(InputError, match=r"^\d+ fault\(s\) in split 'val'"):
        read_index(out / "index.csv")
    found = []
    for block in told.split("error: ")[1:]:
        heading, *lines = [line for line in block.splitlines() if not line.startswith("indexing ")]
        assert heading == f"{len(lines)} fault(s) in split 'val' of data set 'mine':"
        found += lines
    return found


@pytest.fixture
def root(tmp_path) -> Path:
    return make_folder_dataset(tmp_path / "data")


def test_index_and_summary(root, tmp_path):
    assert index(root, tmp_path, state="known") == ("ok", "indexing val: 4/4\nindexing labels of val: 4/4\n")
    with open(tmp_path / "index.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    image, label = root / "val" / "scene 00.png", root / "labels" / "scene 00.png"
    assert rows[0] == {
        "image_id": "val__scene_x20_00",
        "image": str(image),
        "label": str(label),
        "height": "32",
        "width": "64",
        "image_sha256": sha256(image.read_bytes()).hexdigest(),
        "label_sha256": sha256(label.read_bytes()).hexdigest(),
        "image_bytes": str(image.stat().st_size),
        "image_ctime_ns": str(image.stat().st_ctime_ns),
        "label_bytes": str(label.stat().st_size),
        "label_ctime_ns": str(label.stat().st_ctime_ns),
    }
    hashes = "".join(row["image_sha256"] for row in rows)
    assert read_json(tmp_path / "dataset.json") == {
        "status": "ok",
        "reason": "",
        "state": "known",
        "dataset": "mine",
        "split": "val",
        "kind": "folder",
        "classes": ["a", "b", "c", "d"],
        "ignore_index": 255,
        "id_map": None,
        "count": 4,
        "labelled": True,
        "sizes": [[32, 64, 4]],
        "images_sha256": sha256(hashes.encode()).hexdigest(),
        "notes": [],
        "index_sha256": sha256((tmp_path / "index.csv").read_bytes()).hexdigest(),
    }


def make_cityscapes(root: Path, instances: dict[str, np.ndarray]) -> Path:
    """A val split of an image for each map of instances."""
    for name, ids in instances.items():
        for folder, suffix, pixels in (
            ("leftImg8bit", "leftImg8bit", np.zeros((4, 6, 3), np.uint8)),
            ("gtFine", "gtFine_labelTrainIds", np.full((4, 6), 11, np.uint8)),
            ("gtFine", "gtFine_instanceIds", ids),
        ):
            (root / folder / "val" / "ulm").mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / folder / "val" / "ulm" / f"{name}_{suffix}.png"), pixels)
    return root / "gtFine" / "val" / "ulm"


def test_files_of_instances_are_in_the_index_with_their_digests(tmp_path):
    names = ["ulm_1_2", "ulm_3_4"]
    ids = np.full((4, 6), 24001, np.uint16)
    folder = make_cityscapes(tmp_path / "data", dict.fromkeys(names, ids))
    assert index(tmp_path / "data", tmp_path, {"kind": "cityscapes"})[0] == "ok"
    for name, row in zip(names, read_index(tmp_path / "index.csv"), strict=True):
        path = folder / f"{name}_gtFine_instanceIds.png"
        size, date = path.stat().st_size, path.stat().st_ctime_ns
        assert (row["instances"], row["instances_sha256"]) == (str(path), sha256(path.read_bytes()).hexdigest())
        assert (row["instances_bytes"], row["instances_ctime_ns"]) == (str(size), str(date))
    assert read_json(tmp_path / "dataset.json")["instances"]["24"] == [11, 3462.4756337644]


def test_faults_of_files_of_instances_are_told(tmp_path):
    right = np.full((4, 6), 24001, np.uint16)
    maps = {"ulm_1_2": right[:2], "ulm_3_4": right - 17001, "ulm_5_6": right, "ulm_7_8": right}
    folder = make_cityscapes(tmp_path / "data", maps)
    (folder / "ulm_5_6_gtFine_instanceIds.png").write_text("no image")
    (folder / "ulm_7_8_gtFine_instanceIds.png").unlink()
    told = faults(tmp_path / "data", tmp_path, entry={"kind": "cityscapes"})
    assert [line.partition(": ")[2].partition(" (")[0] for line in told] == [
        "instances of 2×6 for an image of 4×6",
        "ids [7000] are no instances",
        "is no PNG, JPEG, BMP, WebP or TIFF file",
        "has no ids of instances",
    ]


def test_more_processes_find_the_same(root, tmp_path):
    index(root, tmp_path / "one")
    index(root, tmp_path / "two", jobs=2)
    for name in ("index.csv", "dataset.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_limit_takes_the_first_images_and_looks_at_no_other(root, tmp_path):
    (root / "labels" / "scene 03.png").write_bytes(b"")
    assert index(root, tmp_path, limit=3)[0] == "ok"
    assert json.loads((tmp_path / "dataset.json").read_text())["count"] == 3


def test_split_that_is_declared_without_labels(root, tmp_path):
    assert index(root, tmp_path, {**FOLDER, "splits": {"val": {"images": "val/*", "labels": None}}})[0] == "ok"
    assert json.loads((tmp_path / "dataset.json").read_text())["labelled"] is False
    assert [row["label"] for row in read_index(tmp_path / "index.csv")] == [""] * 4


def test_strange_names_are_fine(root, tmp_path):
    for number, name in enumerate(["-rf.png", 'it\'s "new"\n.png', "straße ✓.png", ".hidden.png"]):
        for folder in ("val", "labels"):
            os.rename(root / folder / f"scene {number:02d}.png", root / folder / name)
    assert index(root, tmp_path)[0] == "ok"
    with open(tmp_path / "index.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert all(Path(row["image"]).name == Path(row["label"]).name and Path(row["image"]).exists() for row in rows)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", row["image_id"]) for row in rows)


def test_all_faults_are_told_at_once(root, tmp_path):
    val, labels = root / "val", root / "labels"
    (val / "scene 00.png").write_bytes((val / "scene 00.png").read_bytes()[:-40])
    cv2.imwrite(str(labels / "scene 01.png"), np.full((16, 64), 9, np.uint8))
    (labels / "scene 02.png").unlink()
    (labels / "scene 03.png").write_text("no image")
    (val / "scene 03.jpg").symlink_to("scene 03.png")
    of_labels = [
        f"{labels}/scene 01.png: label of 16×64 for an image of 32×64",
        f"{labels}/scene 01.png: label ids [9] are no classes (0 to 3, 255 for ignored)",
        f"{val}/scene 02.png: has no label (none of labels/*.png is named 'scene 02'); to leave it out, give a"
        " `list` of the split's images",
        f"{labels}/scene 03.png: is no PNG, JPEG, BMP, WebP or TIFF file",
    ]
    assert faults(root, tmp_path) == [
        f"{val}/scene 00.png: truncated: the PNG file has no end",
        f"image id 'val__scene_x20_03' stands for 2 images: {val}/scene 03.jpg, {val}/scene 03.png",
        *of_labels[1:],
        of_labels[-1],
    ]
    (val / "scene 03.jpg").unlink()
    (val / "scene 00.png").unlink()
    assert faults(root, tmp_path) == of_labels  # a faulty image's size is not known


def test_label_ids_are_judged_by_the_id_map(root, tmp_path):
    entry = {**FOLDER, "id_map": {0: 1, 1: 0, 2: 255, 255: 255}}
    (wrong,) = {line.split(": ", 1)[1] for line in faults(root, tmp_path, entry=entry)}
    assert wrong == "label ids [3] are not in id_map"


def test_many_faults_are_counted(tmp_path):
    root = make_folder_dataset(tmp_path / "data", count=23, height=16, width=16)
    for path in (root / "labels").iterdir():
        cv2.imwrite(str(path), np.zeros((8, 16), np.uint8))
    status, told = index(root, tmp_path, jobs=2)
    lines = told[told.index("error: ") :].splitlines()
    assert (status, len(lines)) == ("refused", 22)
    assert lines[0] == "error: 23 fault(s) in split 'val' of data set 'mine':"
    assert lines[-1] == "… and 3 more"


def test_jpeg_that_was_cut_and_closed_again_is_found(root, tmp_path):
    """OpenCV fills the rest with grey, and only libjpeg's own words on stderr tell."""
    picture = cv2.resize(cv2.imread(str(root / "val" / "scene 00.png")), (640, 320))
    data = cv2.imencode(".jpg", picture)[1].tobytes()
    path = root / "val" / "cut.jpg"
    path.write_bytes(data[: len(data) // 2] + b"\xff\xd9")
    cv2.imwrite(str(root / "labels" / "cut.png"), np.zeros((320, 640), np.uint8))
    assert faults(root, tmp_path) == [f"{path}: Corrupt JPEG data: premature end of data segment"]


def test_name_that_is_not_utf8_is_a_fault(root, tmp_path):
    strange = os.fsencode(root / "val") + b"/\xff.png"
    os.link(root / "val" / "scene 00.png", strange)
    os.link(root / "labels" / "scene 00.png", os.fsencode(root / "labels") + b"/\xff.png")
    assert faults(root, tmp_path) == [f"{root}/val/\\udcff.png: its name is not UTF-8; rename it"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"root": "/no/where"},
            "dataset_catalogue.mine.root: '/no/where': no such folder; name it: --config dataset_root=PATH",
        ),
        (
            {"splits": {"val": {"images": "vall/*", "labels": "labels/*"}}},
            "dataset_catalogue.mine.splits.val.images: 'vall/*': no such files below ROOT",
        ),
        ({"kind": "camvid"}, "ROOT/valannot: no such folder, and no val_labels either"),
        ({"kind": "cityscapes"}, "ROOT/leftImg8bit/val: no such folder"),
        (
            {"splits": {"val": {"images": "val/*", "labels": "label/*"}}},
            "dataset_catalogue.mine.splits.val.labels: 'label/*': no such files below ROOT; null for no labels",
        ),
    ],
)
def test_what_is_missing_as_a_whole_is_one_line(root, tmp_path, change, message):
    status, told = index(root, tmp_path, {**FOLDER, **change})
    assert status == "refused"
    assert told.splitlines()[-1] == f"error: {message}".replace("ROOT", str(root))


def test_empty_split_says_what_was_expected(tmp_path):
    (tmp_path / "camvid" / "val").mkdir(parents=True)
    (tmp_path / "camvid" / "valannot").mkdir()
    _, told = index(tmp_path / "camvid", tmp_path, {**FOLDER, "kind": "camvid"})
    assert told == (
        f"error: {tmp_path}/camvid: split 'val' of data set 'mine' has no images; expected: {{split}}/*.png beside"
        " {split}annot/*.png (SegNet's ids) or {split}_labels/*_L.png (CamVid's colours)\n"
    )


def notes(root: Path, out: Path, **more: object) -> list[str]:
    assert index(root, out, **more)[0] == "ok"
    return read_json(out / "dataset.json")["notes"]


def test_nothing_is_noted_of_plain_images(root, tmp_path):
    assert notes(root, tmp_path) == []


def test_pictures_that_the_glob_leaves_out_although_labels_name_them_are_told(root, tmp_path):
    for number, suffix in ((1, "JPG"), (2, "jpeg"), (3, "PNG")):  # a suffix matches in either case
        path = root / "val" / f"scene {number:02d}.png"
        path.rename(path.with_suffix(f".{suffix}"))
    (root / "labels" / "of another split.png").write_bytes((root / "labels" / "scene 00.png").read_bytes())
    entry = {**FOLDER, "splits": {"val": {"images": "val/*.png", "labels": "labels/*.png"}}}
    (said,) = notes(root, tmp_path, entry=entry)
    assert said == (
        "2 image(s) are left out by the glob of the images, although labels name them (scene 01.JPG, scene 02.jpeg)"
    )


def save_turned(path: Path, stored: np.ndarray, orientation: int, suffix: str = ".jpg") -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.unlink()
    Image.fromarray(stored).save(path.with_suffix(suffix), exif=exif)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize(("orientation", "size"), [(3, (32, 64, 3)), (6, (64, 32, 3))])
def test_images_that_exif_data_turn_are_told(root, tmp_path, orientation, size, suffix):
    save_turned(root / "val" / "scene 01.png", np.zeros(size, np.uint8), orientation, suffix)
    (said,) = notes(root, tmp_path)
    path = root / "val" / f"scene 01{suffix}"
    assert said.startswith(f"1 image(s) are turned as their EXIF data say, e.g. {path}: their labels")


def test_label_drawn_on_the_picture_as_stored_names_the_exif_data(root, tmp_path):
    save_turned(root / "val" / "scene 01.png", np.zeros((32, 64, 3), np.uint8), 6)
    label = root / "labels" / "scene 01.png"
    assert faults(root, tmp_path) == [
        f"{label}: label of 32×64 for an image of 64×32, which is turned as its EXIF data say: turn the label too, or"
        " remove the tag"
    ]


@pytest.mark.parametrize(("most", "dark"), [(4095, "; their values need only 12 bits"), (65535, "")])
def test_16_bit_pictures_are_told(root, tmp_path, most, dark):
    path = root / "val" / "scene 02.png"
    cv2.imwrite(str(path), np.full((32, 64, 3), most, np.uint16))
    (said,) = notes(root, tmp_path)
    assert said.startswith(f"1 image(s) have 16 bits, e.g. {path}: the upper 8 are used{dark}")
    assert ("scale them to 8 bits" in said) == bool(dark)


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("grey", "1 image(s) are grey, e.g. {path}: all three channels get their value"),
        ("alpha", "1 image(s) have an alpha channel, e.g. {path}: it is dropped"),
        ("CMYK", "1 image(s) are CMYK, e.g. {path}: they are converted to RGB without a colour profile"),
    ],
)
def test_what_else_reading_a_picture_changes_is_told(root, tmp_path, form, said):
    path = root / "val" / "scene 01.png"
    image = Image.open(path)
    if form == "CMYK":
        path.unlink()
        path = path.with_suffix(".jpg")
    image.convert({"grey": "L", "alpha": "RGBA", "CMYK": "CMYK"}[form]).save(path)
    assert notes(root, tmp_path) == [said.format(path=path)]


def test_labels_in_colours_are_judged_by_the_id_map(root, tmp_path):
    colours = np.array([[128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128]], np.uint8)
    for path in (root / "labels").iterdir():
        ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), np.where(ids[..., None] == 255, 0, colours[ids % 4]).astype(np.uint8)[..., ::-1])
    id_map = {"128,128,128": 0, "128,0,0": 1, "192,192,128": 2, "128,64,128": 3, "0,0,0": 255}
    assert index(root, tmp_path, {**FOLDER, "id_map": id_map})[0] == "ok"
    assert read_json(tmp_path / "dataset.json")["id_map"] == id_map
    del id_map["0,0,0"]
    wrong = {line.split(": ", 1)[1] for line in faults(root, tmp_path, entry={**FOLDER, "id_map": id_map})}
    assert wrong == {"label colours [0,0,0] are not in id_map"}
    assert "e.g. {" in faults(root, tmp_path)[0]  # without a map: how to write one


def test_split_of_another_name_is_told_by_its_own(root, tmp_path):
    entry = {**FOLDER, "split": "held out", "splits": {"held out": FOLDER["splits"]["val"]}}
    assert index(root, tmp_path, entry)[0] == "ok"
    (root / "val" / "scene 00.png").write_bytes(b"")
    (root / "labels" / "scene 01.png").write_bytes(b"")
    status, said = index(root, tmp_path, entry)
    assert status == "refused" and said.count("fault(s) in split 'held out' of data set 'mine':") == 2


def test_many_unknown_ids_are_counted(root, tmp_path):
    path = root / "labels" / "scene 00.png"
    cv2.imwrite(str(path), np.arange(32 * 64, dtype=np.uint16).reshape(32, 64) % 100)
    shown = ", ".join(map(str, range(4, 14)))
    assert faults(root, tmp_path) == [f"{path}: label ids [{shown}, … (96)] are no classes (0 to 3, 255 for ignored)"]


def test_list_file_is_indexed(root, tmp_path):
    (root / "val.txt").write_text("val/scene 02.png labels/scene 02.png\nval/scene 00.png labels/scene 00.png\n")
    assert index(root, tmp_path, {**FOLDER, "splits": {"val": {"list": "val.txt"}}})[0] == "ok"
    assert [row["image_id"] for row in read_index(tmp_path / "index.csv")] == ["val__scene_x20_02", "val__scene_x20_00"]
    (root / "labels" / "scene 02.png").unlink()
    assert faults(root, tmp_path, entry={**FOLDER, "splits": {"val": {"list": "val.txt"}}}) == [
        f"{root}/val/scene 02.png: has no label ({root}/labels/scene 02.png is missing)"
    ]
