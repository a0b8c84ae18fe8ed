"""Street scenes are the same everywhere and always, show every class, and come with a manifest that says so."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from demo.canvas import Class
from demo.scene import VERSION, scene
from make_demo_set import draw_pair, make_demo_set
from segbench.datasets import cityscapes
from segbench.errors import InputError
from segbench.images.labels import read_label
from segbench.images.read import read_image

SCRIPT = Path(__file__).parents[2] / "workflow_scripts" / "make_demo_set.py"
SMALL = (128, 256)
# Whoever changes a pixel on purpose raises scene.VERSION and puts the new digests here (and retrains the demo models).
DIGESTS = {
    "train": "7729e745a47e437306a717da106443e43fa1a133158da32fbf9e50127a45c448",
    "val": "e6e8308ca4ebf363afbbc3a5324cab51bc0f60abed446d12756ffd092861f930",
    "all": "2f3011bf8c4044a9a51b86d3c121aba4678a095ca2876e7d11696105e9f08dc8",
}
DEFAULT_SIZE_DIGEST = "968f0f49398f95537a89a8ec6439c080ef640bbe7677503a329b885565242d3e"


@pytest.fixture(scope="module")
def small_set(tmp_path_factory) -> tuple[Path, dict]:
    """Three training and two validation images, and their manifest, by the script itself."""
    folder = tmp_path_factory.mktemp("demo")
    options = {"height": 128, "width": 256, "train": 3, "val": 2, "seed": 0}
    command = [sys.executable, SCRIPT, "--out", folder / "images", "--manifest", folder / "manifest.json"]
    done = subprocess.run(
        [*command, *(f"--{key}={value}" for key, value in options.items())], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "drawing: 5/5, " in done.stderr
    return folder / "images", json.loads((folder / "manifest.json").read_text())


@pytest.fixture(scope="module")
def sixty() -> list[tuple[np.ndarray, np.ndarray]]:
    return [scene(0, "val", number, *SMALL) for number in range(60)]


def decoded(root: Path, split: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """The arrays of a split, as any later stage reads them."""
    pairs = cityscapes.LAYOUT.pairs(root, split, {})
    return [(read_image(pair.image), read_label(str(pair.label), None)) for pair in pairs]


def digest(pairs: list[tuple[np.ndarray, np.ndarray]]) -> str:
    """A split's SHA-256 as make_demo_set defines it."""
    each = [hashlib.sha256(image.tobytes() + label.tobytes()).digest() for image, label in pairs]
    return hashlib.sha256(b"".join(each)).hexdigest()


def test_arrays_are_the_committed_ones(small_set):
    assert small_set[1]["sha256"] == DIGESTS


def test_default_size_is_the_committed_one():
    assert digest([scene(0, "val", 0, 256, 512)]) == DEFAULT_SIZE_DIGEST


def test_manifest_tells_arguments_counts_and_the_digest_of_what_lies_there(small_set):
    root, manifest = small_set
    assert manifest["generator_version"] == VERSION
    assert manifest["arguments"] == {"height": 128, "width": 256, "train": 3, "val": 2, "seed": 0}
    assert manifest["image_count"] == {"train": 3, "val": 2, "all": 5}
    for split in ("train", "val"):
        assert digest(decoded(root, split)) == manifest["sha256"][split]


def test_files_have_cityscapes_names(small_set):
    names = sorted(str(path.relative_to(small_set[0])) for path in small_set[0].glob("*/val/*/*"))
    assert names == [
        "gtFine/val/demo/demo_000000_000000_gtFine_labelTrainIds.png",
        "gtFine/val/demo/demo_000000_000001_gtFine_labelTrainIds.png",
        "leftImg8bit/val/demo/demo_000000_000000_leftImg8bit.png",
        "leftImg8bit/val/demo/demo_000000_000001_leftImg8bit.png",
    ]


def test_small_set_is_the_beginning_of_a_larger_one_whatever_the_number_of_processes(small_set, tmp_path):
    make_demo_set(tmp_path / "larger", *SMALL, {"train": 9, "val": 2}, seed=0, jobs=2)
    for split in ("train", "val"):
        expected, found = decoded(small_set[0], split), decoded(tmp_path / "larger", split)
        assert digest(found[: len(expected)]) == digest(expected)


def test_splits_seeds_and_numbers_differ():
    drawn = [scene(*key, *SMALL) for key in ((0, "train", 0), (0, "val", 0), (1, "train", 0), (0, "train", 1))]
    assert len({digest([pair]) for pair in drawn}) == 4


def test_labels_are_train_ids_or_ignored(sixty):
    for image, label in sixty:
        assert image.shape == (*SMALL, 3) and label.shape == SMALL
        assert image.dtype == label.dtype == np.uint8
    assert set(np.unique([label for _, label in sixty]).tolist()) == {*range(19), 255}


def test_every_class_is_in_many_images_and_large_enough_to_learn(sixty):
    pixels = np.array([np.bincount(label.ravel(), minlength=256)[:19] for _, label in sixty])
    images = (pixels > 0).sum(0)
    assert images.min() >= 0.15 * len(sixty)
    assert (pixels.sum(0) / images).min() > 20


def test_classes_are_cityscapes():
    names = [kind.name.lower().replace("_", " ") for kind in Class if kind is not Class.IGNORED]
    assert names == cityscapes.CLASSES


@pytest.mark.parametrize("size", [(64, 64), (64, 400), (300, 70), (512, 1024)])
def test_any_size(size):
    image, label = scene(3, "train", 5, *size)
    assert image.shape == (*size, 3) and label.shape == size
    assert image.std() > 10


def test_pair_digest_is_of_the_decoded_arrays(tmp_path):
    for tree in ("leftImg8bit", "gtFine"):
        (tmp_path / tree / "val" / "demo").mkdir(parents=True)
    found = draw_pair(tmp_path, *SMALL, 7, ("val", 0))
    image, label = scene(7, "val", 0, *SMALL)
    assert found == hashlib.sha256(image.tobytes() + label.tobytes()).digest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": 63}, "--height 63: must be from 64 to 8192 pixels"),
        ({"width": 9000}, "--width 9000: must be from 64 to 8192 pixels"),
        ({"counts": {"train": 0, "val": 1}}, "--train 0: must be at least 1"),
        ({"counts": {"train": 1, "val": -2}}, "--val -2: must be at least 1"),
        ({"jobs": 0}, "--jobs 0: must be at least 1"),
        ({"seed": -1}, "--seed -1: must not be negative"),
    ],
    ids=str,
)
def test_bad_arguments_are_told_in_one_line(tmp_path, change, message):
    arguments = {"height": 64, "width": 64, "counts": {"train": 1, "val": 1}, "seed": 0, "jobs": 1} | change
    with pytest.raises(InputError) as told:
        make_demo_set(tmp_path / "set", **arguments)
    assert str(told.value) == message
    assert not list(tmp_path.iterdir())


def test_folder_with_other_things_is_not_replaced(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"holds 'thesis.tex', which is no demo set's"):
        make_demo_set(tmp_path, 64, 64, {"train": 1, "val": 1}, seed=0)
    assert (tmp_path / "thesis.tex").exists()
