"""What the IoU of each image is made of is kept exactly, in little room, and adds up over shards."""

import json

import numpy as np
import pytest
from segbench.scoring import image_counts
from segbench.scoring.image_counts import ImageCounts
from segbench.scoring.predictions import key_of


def made(numbers, classes=19) -> ImageCounts:
    """Counts of the images of these numbers; an image has the same counts wherever it is."""
    found = ImageCounts()
    for number in numbers:
        counts = np.random.default_rng(number).integers(0, 1 << 40, (3, classes))
        found.add(key_of(f"image{number}"), counts)
    return found


def test_counts_are_read_back_as_they_were():
    before = made(range(20))
    packed = json.loads(json.dumps(before.packed()))
    keys, counts = ImageCounts.unpacked(packed).arrays()
    assert packed["images"] == len(keys) == 20
    assert (np.diff(keys.astype(object)) > 0).all()
    for number in range(20):
        (at,) = np.flatnonzero(keys == np.uint64(key_of(f"image{number}")))
        assert (counts[at] == np.random.default_rng(number).integers(0, 1 << 40, (3, 19))).all()


def test_order_of_the_images_does_not_matter():
    assert made(range(9)).packed() == made(reversed(range(9))).packed()


def test_no_image_packs_to_nothing():
    assert ImageCounts().packed() is None


@pytest.mark.parametrize("most", [4, 9, 10, 11])
def test_shards_add_up_to_the_whole_also_where_images_share_rows(most, monkeypatch):
    """Of 30 images, shards of 10: above, at and below the number of rows."""
    monkeypatch.setattr(image_counts, "MAX_ROWS", most)
    whole = made(range(30))
    merged = ImageCounts.merged([made(range(start, 30, 3)) for start in range(3)])
    assert merged.packed() == whole.packed()
    assert len(whole.rows) <= most < whole.images == 30
    assert (whole.arrays()[1].sum(0) == sum(made([number]).arrays()[1][0] for number in range(30))).all()


def test_500_cityscapes_images_take_a_few_hundred_kilobytes_at_most():
    """Random counts below 2^21, which hardly compress: a real image lacks most classes."""
    found = ImageCounts()
    random = np.random.default_rng(0)
    for number in range(500):
        found.add(key_of(f"image{number}"), random.integers(0, 1 << 21, (3, 19)))
    assert len(json.dumps(found.packed())) < 200_000
