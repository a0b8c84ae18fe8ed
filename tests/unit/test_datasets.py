"""Which image belongs to which label, and what the ids mean."""

import os
from pathlib import Path

import pytest
from segbench.datasets import base, camvid, cityscapes, folder
from segbench.errors import InputError

# labelId, trainId: cityscapesscripts/helpers/labels.py, all 35 entries; 255 and −1 of its trainIds are both ignored.
CITYSCAPES = {
    -1: 255, 0: 255, 1: 255, 2: 255, 3: 255, 4: 255, 5: 255, 6: 255, 7: 0, 8: 1, 9: 255, 10: 255, 11: 2, 12: 3, 13: 4,
    14: 255, 15: 255, 16: 255, 17: 5, 18: 255, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13, 27: 14,
    28: 15, 29: 255, 30: 255, 31: 16, 32: 17, 33: 18,
}  # fmt: skip


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def city(root: Path, name: str, label: str = "labelTrainIds", split: str = "val") -> None:
    place = name.partition("_")[0]
    touch(
        root, f"leftImg8bit/{split}/{place}/{name}_leftImg8bit.png", f"gtFine/{split}/{place}/{name}_gtFine_{label}.png"
    )


def folder_entry(images: str, labels: str | None, **more: object) -> dict:
    entry = {"name": "mine", "splits": {"val": {"images": images, "labels": labels}}, "classes": ["a", "b", "c"]}
    return {**entry, "ignore_index": 255, "id_map": None, **more}


def paired(root: Path, entry: dict) -> dict[str, str | None]:
    """Label by image, as paths below the root."""
    found = folder.LAYOUT.pairs(root, "val", entry)
    return {str(p.image.relative_to(root)): p.label and str(p.label.relative_to(root)) for p in found}


def test_layouts_are_the_files_of_their_folder():
    assert base.names() == ["camvid", "cityscapes", "folder"]
    for kind in base.names():
        assert type(base.load(kind)).__module__ == f"segbench.datasets.{kind}"


def test_cityscapes_pairs_all_cities_in_order(tmp_path):
    for name in ("ulm_000001_000019", "aachen_000002_000019", "aachen_000000_000019"):
        city(tmp_path, name)
    pairs = cityscapes.LAYOUT.pairs(tmp_path, "val", {})
    assert [pair.image_id for pair in pairs] == ["aachen_000000_000019", "aachen_000002_000019", "ulm_000001_000019"]
    assert pairs[0].label == tmp_path / "gtFine/val/aachen/aachen_000000_000019_gtFine_labelTrainIds.png"
    assert cityscapes.LAYOUT.facts(tmp_path, "val", {}) == base.Facts(cityscapes.CLASSES)


def test_cityscapes_own_ids_are_mapped_where_there_are_no_train_ids(tmp_path):
    city(tmp_path, "ulm_1_2", "labelIds")
    assert cityscapes.LAYOUT.pairs(tmp_path, "val", {})[0].label.name == "ulm_1_2_gtFine_labelIds.png"
    assert cityscapes.LAYOUT.facts(tmp_path, "val", {}).id_map == CITYSCAPES
    city(tmp_path, "ulm_1_2", "labelTrainIds")
    assert cityscapes.LAYOUT.pairs(tmp_path, "val", {})[0].label.name == "ulm_1_2_gtFine_labelTrainIds.png"
    assert cityscapes.LAYOUT.facts(tmp_path, "val", {}).id_map is None


def test_missing_label_is_the_pairs_fault(tmp_path):
    city(tmp_path, "ulm_1_2")
    touch(tmp_path, "leftImg8bit/val/ulm/ulm_3_4_leftImg8bit.png")
    first, second = cityscapes.LAYOUT.pairs(tmp_path, "val", {})
    assert (first.fault, second.label) == ("", None)
    label = tmp_path / "gtFine/val/ulm/ulm_3_4_gtFine_labelTrainIds.png"
    assert second.fault == f"{second.image}: has no label ({label} is missing)"


def test_missing_folder_is_named(tmp_path):
    touch(tmp_path, "leftImg8bit/val/ulm/ulm_1_2_leftImg8bit.png")
    with pytest.raises(InputError, match=r"gtFine/val: no such folder$"):
        cityscapes.LAYOUT.pairs(tmp_path, "val", {})
    with pytest.raises(InputError, match=r"/val: no such folder$"):
        camvid.LAYOUT.pairs(tmp_path, "val", {})


def test_camvid_void_is_ignored(tmp_path):
    touch(tmp_path, "val/b.png", "val/a.png", "valannot/a.png", "valannot/b.png", "val/notes.txt")
    assert [(p.image_id, p.label.parent.name) for p in camvid.LAYOUT.pairs(tmp_path, "val", {})] == [
        ("a", "valannot"),
        ("b", "valannot"),
    ]
    facts = camvid.LAYOUT.facts(tmp_path, "val", {})
    assert facts.id_map == {**{i: i for i in range(11)}, 11: 255}
    assert len(facts.classes) == 11


@pytest.mark.parametrize(
    ("images", "labels", "files"),
    [
        ("val/*.jpg", "labels/*.png", {"val/1.jpg": "labels/1.png", "val/2.v2.jpg": "labels/2.v2.png"}),
        ("*_photo.jpg", "*_ids.png", {"1_photo.jpg": "1_ids.png", "2_photo.jpg": "2_ids.png"}),
        ("i/*/*.png", "l/*/*.png", {"i/a/1.png": "l/a/1.png", "i/b/1.png": "l/b/1.png"}),
        ("i/**/*.png", "l/*.png", {"i/a/1.png": "l/1.png", "i/2.png": "l/2.png"}),
        ("i/*.*", "l/*", {"i/1.jpg": "l/1.png", "i/2.png": "l/2.png"}),
        ("img_[0-9].png", "lab_?.png", {"img_1.png": "lab_1.png", "img_2.png": "lab_2.png"}),
        ("only.png", "its_label/only.png", {"only.png": "its_label/only.png"}),
        ("i/*.png", "l/*.png", {"i/café.png": "l/café.png"}),  # one letter, or e and an accent (macOS)
    ],
)
def test_folder_pairs_what_the_wildcards_match_alike(tmp_path, images, labels, files):
    touch(tmp_path, *files, *files.values())
    assert paired(tmp_path, folder_entry(images, labels)) == files


def test_folder_never_guesses_among_labels(tmp_path):
    touch(tmp_path, "i/a/1.png", "i/b/1.png", "l/1.png", "i/c/2.png", "l/x/2.png", "l/y/2.png")
    found = folder.LAYOUT.pairs(tmp_path, "val", folder_entry("i/*/*.png", "l/**/*.png"))
    assert [pair.label for pair in found] == [None, None, None]
    assert found[0].fault == f"{tmp_path}/i/a/1.png: has no label (none of l/**/*.png is named '1')"
    assert found[2].fault == f"{tmp_path}/i/c/2.png: 2 labels fit: {tmp_path}/l/x/2.png, {tmp_path}/l/y/2.png"


def test_folder_without_labels(tmp_path):
    touch(tmp_path, "i/1.png", "l/1.png")
    assert paired(tmp_path, folder_entry("i/*.png", None)) == {"i/1.png": None}


@pytest.mark.parametrize(
    ("images", "labels", "split", "message"),
    [
        ("/abs/*.png", None, "val", "dataset_catalogue.mine.splits.val.images: '/abs/*.png' is no glob below the root"),
        ("", None, "val", "dataset_catalogue.mine.splits.val.images: '' is no glob below the root"),
        ("i/*.png", "l/*.png", "val", "dataset_catalogue.mine.splits.val.labels: 'l/*.png': no such files below"),
        ("i/*.png", None, "train", "dataset_catalogue.mine.splits.train: not in the configuration; give its images"),
    ],
)
def test_folder_faults_name_their_key(tmp_path, images, labels, split, message):
    touch(tmp_path, "i/1.png")
    with pytest.raises(InputError) as error:
        folder.LAYOUT.pairs(tmp_path, split, folder_entry(images, labels))
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"id_map": {"7": 3}}, "dataset_catalogue.mine.id_map.7: 3 is no trainId (0 to 2, 255)"),
        ({"id_map": {"300": 1}}, "dataset_catalogue.mine.id_map.300: label files are 8-bit; allowed are ids from -1"),
        ({"ignore_index": 1}, "dataset_catalogue.mine.ignore_index: 1 is the trainId of class 'b'; leave that class"),
    ],
)
def test_folder_refuses_ids_that_are_no_classes(tmp_path, more, message):
    with pytest.raises(InputError) as error:
        folder.LAYOUT.facts(tmp_path, "val", folder_entry("*", None, **more))
    assert str(error.value).startswith(message)


def test_folder_facts_are_the_configurations(tmp_path):
    entry = folder_entry("*", None, id_map={"7": 2, "-1": 254}, ignore_index=254)
    assert folder.LAYOUT.facts(tmp_path, "val", entry) == base.Facts(["a", "b", "c"], 254, {7: 2, -1: 254})


def test_symbolic_link_loop_ends(tmp_path):
    touch(tmp_path, "i/a/1.png")
    os.symlink(tmp_path / "i", tmp_path / "i" / "a" / "again")
    assert paired(tmp_path, folder_entry("i/**/*.png", None)) == {"i/a/1.png": None}


@pytest.mark.parametrize(
    ("path", "image_id"),
    [
        ("val/scene 1.png", "val__scene_x20_1"),
        ("-rf.png", "_x2d_rf"),
        (".hidden/it's.png", "_x2e_hidden__it_x27_s"),
        ("straße/1.2.png", "stra_xdf_e__1.2"),
    ],
)
def test_ids_are_safe_file_names(path, image_id):
    assert base.safe_id(Path(path)) == image_id
