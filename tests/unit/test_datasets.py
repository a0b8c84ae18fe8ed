"""Which image belongs to which label, and what the ids mean."""

import os
from pathlib import Path

import pytest
from segbench.datasets import ade20k, base, camvid, cityscapes, folder, listing, voc
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
    assert base.names() == ["ade20k", "camvid", "cityscapes", "folder", "voc"]
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


def test_cityscapes_instances_are_read_where_a_split_has_them(tmp_path):
    city(tmp_path, "ulm_1_2")
    city(tmp_path, "ulm_3_4")
    assert [pair.instances for pair in cityscapes.LAYOUT.pairs(tmp_path, "val", {})] == [None, None]
    city(tmp_path, "ulm_1_2", "instanceIds")
    first, second = cityscapes.LAYOUT.pairs(tmp_path, "val", {})
    path = tmp_path / "gtFine/val/ulm/ulm_3_4_gtFine_instanceIds.png"
    assert (first.instances, first.fault) == (path.with_name("ulm_1_2_gtFine_instanceIds.png"), "")
    assert second.instances is None and second.fault == (
        f"{second.image}: has no ids of instances ({path} is missing): add it, or take all files of instances out of"
        " the split"
    )
    facts = cityscapes.LAYOUT.facts(tmp_path, "val", {})
    named = {i: CITYSCAPES[i] for i in facts.instances}
    assert named == {i: train_id for i, (train_id, _) in facts.instances.items()}


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
    touch(tmp_path, "val/a.png")
    with pytest.raises(InputError, match=r"/valannot: no such folder, and no val_labels either$"):
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
        ("i/*.{jpg,png}", "l/*.png", {"i/1.jpg": "l/1.png", "i/2.PNG": "l/2.png", "i/3.JPG": "l/3.png"}),
        ("i/*.jpg", "l/*_m.{png,bmp}", {"i/1.JPG": "l/1_m.PNG", "i/2.Jpg": "l/2_m.bmp"}),
        ("{a,b}/i/*.png", "{a,b}/l/*.png", {"a/i/1.png": "a/l/1.png", "b/i/1.png": "b/l/1.png"}),
        ("*/i/*.png", "*/l/*.png", {"a/i/1.png": "a/l/1.png", "b/i/1.png": "b/l/1.png"}),
        ("s/**/i/*.png", "t/**/l/*.png", {"s/a/b/i/1.png": "t/a/b/l/1.png", "s/i/1.png": "t/l/1.png"}),
        ("i/{x,y{1,2}}.png", "l/*.png", {"i/x.png": "l/x.png", "i/y1.png": "l/y1.png", "i/y2.png": "l/y2.png"}),
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
    assert found[0].fault == (
        f"{tmp_path}/i/a/1.png: has no label (none of l/**/*.png is named '1'); to leave it out, give a `list` of the"
        " split's images"
    )
    assert found[2].fault == f"{tmp_path}/i/c/2.png: 2 labels fit: {tmp_path}/l/x/2.png, {tmp_path}/l/y/2.png"


def test_folder_without_labels(tmp_path):
    touch(tmp_path, "i/1.png", "l/1.png")
    assert paired(tmp_path, folder_entry("i/*.png", None)) == {"i/1.png": None}


@pytest.mark.parametrize(
    ("images", "labels", "split", "message"),
    [
        ("/abs/*.png", None, "val", "dataset_catalogue.mine.splits.val.images: '/abs/*.png' is no glob below the root"),
        ("", None, "val", "dataset_catalogue.mine.splits.val.images: '' is no glob below the root"),
        ("val.txt", None, "val", "dataset_catalogue.mine.splits.val.images: 'val.txt' is a list file; give it as data"),
        (
            "{a,b}" * 7,
            None,
            "val",
            "dataset_catalogue.mine.splits.val.images: '{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}' is",
        ),
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
        (
            {"id_map": {"70000": 1}},
            "dataset_catalogue.mine.id_map.70000: allowed are ids from -1 to 65535, and colours",
        ),
        ({"id_map": {"7": 1, "1,2,3": 0}}, "dataset_catalogue.mine.id_map.7: is an id among colours; labels have ei"),
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


def listed(root: Path, lines: str | bytes, place: str = "val.txt", **more: object) -> list[base.Pair]:
    """The pairs of a list file with these lines."""
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).write_bytes(lines if isinstance(lines, bytes) else lines.encode())
    entry = {**folder_entry("", None), "splits": {"val": {"list": place, **more}}}
    return folder.LAYOUT.pairs(root, "val", entry)


def names(root: Path, pairs: list[base.Pair]) -> list[tuple[str, str | None]]:
    return [(str(p.image.relative_to(root)), p.label and str(p.label.relative_to(root))) for p in pairs]


@pytest.mark.parametrize("separator", [" ", "  ", "\t", ",", ", ", ";", "|", " | "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_list_has_an_image_and_its_label_a_line(tmp_path, separator, end):
    touch(tmp_path, "img/photo_0.png", "ann/100_mask.png", "img/photo_1.png", "ann/99_mask.png")
    lines = [f"img/photo_{i}.png{separator}ann/{label}_mask.png{end}" for i, label in ((1, 99), (0, 100))]
    pairs = listed(tmp_path, b"\xef\xbb\xbf" + "".join(lines).encode())
    assert names(tmp_path, pairs) == [
        ("img/photo_1.png", "ann/99_mask.png"),
        ("img/photo_0.png", "ann/100_mask.png"),
    ]
    assert [pair.image_id for pair in pairs] == ["img__photo_1", "img__photo_0"]


@pytest.mark.parametrize(
    ("line", "pair"),
    [
        ("a b.png l/a b.png", ("a b.png", "l/a b.png")),
        ("a,b.png,l/a,b.png", ("a,b.png", "l/a,b.png")),
        ('"a b.png","l/a b.png"', ("a b.png", "l/a b.png")),
        ("/a b.png /l/a b.png", ("a b.png", "l/a b.png")),  # DeepLab's lists
        ("lists/near.png lists/near_l.png", ("lists/near.png", "lists/near_l.png")),
        ("near.png near_l.png", ("lists/near.png", "lists/near_l.png")),  # they start from the list's folder
        ("a,b.png l/a,b.png edge.png 7", ("a,b.png", "l/a,b.png")),  # what follows is no label
        ("lists\\near.png lists\\near_l.png", ("lists/near.png", "lists/near_l.png")),  # Windows
        ("a b.png", ("a b.png", None)),
        ("lists/near.png", ("lists/near.png", None)),
    ],
)
def test_line_of_a_list_is_split_where_both_files_exist(tmp_path, line, pair):
    touch(tmp_path, "a b.png", "l/a b.png", "a,b.png", "l/a,b.png", "lists/near.png", "lists/near_l.png", "edge.png")
    assert names(tmp_path, listed(tmp_path, line, "lists/val.txt")) == [pair]


def test_list_with_absolute_paths_of_another_folder(tmp_path):
    touch(tmp_path, "else/1.png", "else/2.png", "root/x.png")
    (pair,) = listed(tmp_path / "root", f"{tmp_path}/else/1.png {tmp_path}/else/2.png")
    assert (pair.image, pair.label) == (tmp_path / "else/1.png", tmp_path / "else/2.png")
    assert pair.image_id.endswith("__else__1")


def test_heading_of_a_list_is_no_pair(tmp_path):
    touch(tmp_path, "a.png", "b.png")
    assert names(tmp_path, listed(tmp_path, "image,label\na.png,b.png\n", "val.csv")) == [("a.png", "b.png")]


def test_missing_files_of_a_list_are_the_pairs_faults(tmp_path):
    touch(tmp_path, "a.png", "b.png")
    label, image = listed(tmp_path, "a.png l/none.png\nnone.png b.png\n")
    assert label.fault == f"{tmp_path}/a.png: has no label ({tmp_path}/l/none.png is missing)"
    assert image.image == tmp_path / "none.png"  # which the index cannot read


@pytest.mark.parametrize("lines", ["2\n0\n", "2.jpg\n0.jpg", "JPEGImages/2.jpg\nJPEGImages/0.jpg\n", "2 -1\r\n0 1\r\n"])
def test_list_of_names_chooses_among_the_images(tmp_path, lines):
    touch(tmp_path, *(f"JPEGImages/{i}.jpg" for i in range(4)), "Ann/0.png", "Ann/2.png")
    pairs = listed(tmp_path, lines, "ImageSets/Segmentation/val.txt", images="JPEGImages/*.jpg", labels="Ann/*.png")
    assert names(tmp_path, pairs) == [("JPEGImages/2.jpg", "Ann/2.png"), ("JPEGImages/0.jpg", "Ann/0.png")]
    assert folder.LAYOUT.left_out(tmp_path, "val", {**folder_entry("", None), "splits": {"val": {"list": "x"}}}) == []


def test_names_of_a_list_may_have_folders(tmp_path):
    touch(tmp_path, "i/a/1.png", "i/b/1.png", "l/a/1.png", "l/b/1.png")
    pairs = listed(tmp_path, "b/1\n", images="i/*/*.png", labels="l/*/*.png")
    assert names(tmp_path, pairs) == [("i/b/1.png", "l/b/1.png")]


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("1\n", "'1': 2 images have this name"),
        ("7\n", "'7': no image that `images` matches is named so"),
        ("\n \n", "has no line"),
        (b"\xff\xfe", "is no text in UTF-8; a list has an image and its label a line"),
    ],
)
def test_list_that_chooses_nothing_is_refused(tmp_path, lines, fault):
    touch(tmp_path, "i/a/1.png", "i/b/1.png")
    with pytest.raises(InputError) as error:
        listed(tmp_path, lines, images="i/*/*.png")
    assert str(error.value) == f"dataset_catalogue.mine.splits.val.list: {tmp_path}/val.txt: {fault}"


def test_list_that_is_not_there_is_named(tmp_path):
    entry = {**folder_entry("", None), "splits": {"val": {"list": "no.txt"}}}
    with pytest.raises(InputError, match=r"splits\.val\.list: .*/no\.txt: cannot be read \(No such file"):
        folder.LAYOUT.pairs(tmp_path, "val", entry)


def test_voc_is_what_its_list_names(tmp_path):
    touch(tmp_path, *(f"JPEGImages/{i}.jpg" for i in range(4)), *(f"SegmentationClass/{i}.png" for i in (1, 3)))
    (tmp_path / "ImageSets/Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text("3\n1\n")
    pairs = voc.LAYOUT.pairs(tmp_path, "val", {})
    assert names(tmp_path, pairs) == [(f"JPEGImages/{i}.jpg", f"SegmentationClass/{i}.png") for i in (1, 3)]
    assert voc.LAYOUT.facts(tmp_path, "val", {}) == base.Facts(voc.CLASSES) and len(voc.CLASSES) == 21


def test_ade20ks_zero_is_ignored(tmp_path):
    touch(tmp_path, "images/validation/ADE_val_1.jpg", "annotations/validation/ADE_val_1.png")
    (pair,) = ade20k.LAYOUT.pairs(tmp_path, "val", {})
    assert (pair.image_id, pair.label) == ("ADE_val_1", tmp_path / "annotations/validation/ADE_val_1.png")
    facts = ade20k.LAYOUT.facts(tmp_path, "val", {})
    assert len(set(facts.classes)) == 150 and (facts.classes[0], facts.classes[-1]) == ("wall", "flag")
    assert facts.id_map == {0: 255, **{i: i - 1 for i in range(1, 151)}}


def test_zero_of_a_folder_may_be_ignored():
    entry = folder_entry("*", None, zero_is_ignored=True)
    assert folder.LAYOUT.facts(Path(), "val", entry).id_map == {0: 255, 1: 0, 2: 1, 3: 2, 255: 255}


def test_camvids_own_colours_are_joined_to_segnets_classes(tmp_path):
    touch(tmp_path, "test/1.png", "test_labels/1_L.png", "test_labels/2_L.png")
    assert names(tmp_path, camvid.LAYOUT.pairs(tmp_path, "test", {})) == [("test/1.png", "test_labels/1_L.png")]
    facts = camvid.LAYOUT.facts(tmp_path, "test", {})
    assert len(facts.id_map) == 32 and {*facts.id_map.values()} == {*range(11), 255}
    named = {colour: facts.classes[i] for colour, i in facts.id_map.items() if i != 255}
    assert (named["128,128,128"], named["192,128,192"], named["192,0,64"]) == ("sky", "car", "road")


def test_split_of_another_name_is_what_is_scored(tmp_path):
    touch(tmp_path, "t/1.png", "v/2.png")
    splits = {"test": {"images": "t/*"}, "val": {"images": "v/*"}, "train": {"images": "v/*"}}
    entry = {**folder_entry("", None), "kind": "folder", "root": str(tmp_path), "splits": splits}
    for own, image in (("val", "2.png"), ("test", "1.png")):
        for split in ("val", "timed"):
            assert [p.image.name for p in listing.listed("mine", split, {**entry, "split": own})] == [image]
    assert [p.image.name for p in listing.listed("mine", "calibration", {**entry, "split": "test"})] == ["2.png"]
