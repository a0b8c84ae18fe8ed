"""Objects of a label are found, lost and gained as scipy's components say, and a class that is dropped is named."""

import json

import cv2
import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from merge_scores import merge
from segbench.errors import InputError
from segbench.images import shards
from segbench.scoring.objects import KEPT, SIZES, Objects, ObjectSettings, by_class
from segbench.scoring.score_record import Judgement
from test_merge_scores import score_shard
from test_score import CLASSES, Run

OF = {"classes": ["person", "car"], "min_pixels": 3, "found": 0.5, "lost_below": None, "sizes": [5, 9]}
EIGHT = np.ones((3, 3), int)


def expected(pairs, of):
    """Numbers by class, size and kind, written out by scipy's components."""
    found = {(name, size): np.zeros(5, int) for name in of["classes"] for size in SIZES}
    for label, reference, own in pairs:
        for name in of["classes"]:
            mine = CLASSES.index(name)
            parts, count = scipy.ndimage.label(label == mine, EIGHT)
            for number in range(1, count + 1):
                here = parts == number
                if here.sum() < of["min_pixels"]:
                    continue
                size = SIZES[sum(int(here.sum()) >= bound for bound in of["sizes"])]
                shares = [np.mean(one[here] == mine) for one in (reference, own)]
                by = [share >= of["found"] for share in shares]
                missed = [share < (of["lost_below"] or of["found"]) for share in shares]
                found[name, size] += [1, by[0], by[1], by[0] and missed[1], by[1] and missed[0]]
    return found


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from([(0.5, None), (1.0, None), (0.3, None), (0.5, 0.5), (0.7, 0.4)]))
def test_numbers_are_those_of_scipys_components(seed, shares):
    share, least = shares
    random, of = np.random.default_rng(seed), {**OF, "found": share, "lost_below": least}
    tally = Objects(ObjectSettings.of(of, CLASSES), len(CLASSES))
    triples = []
    for number in range(3):
        label = random.choice([0, 1, 2, 255], (9, 13), p=[0.4, 0.3, 0.25, 0.05]).astype(np.uint8).repeat(2, 1)
        reference, own = (np.where(random.random(label.shape) < 0.6, label, 0).astype(np.uint8) for _ in range(2))
        triples.append((label, reference, own))
        tally.add(f"image{number}", tally.seen(*triples[-1]))
    wanted = expected(triples, of)
    assert {key: list(tally.counts[key[0]][key[1]].values()) for key in wanted} == {
        key: numbers.tolist() for key, numbers in wanted.items()
    }
    lost = sum(numbers[3] for numbers in wanted.values())
    assert len(tally.lost) == min(lost, KEPT)
    for one in tally.lost:
        left, top, width, height = one.box
        label = triples[int(one.image_id[-1])][0]
        assert one.own < (least or share) and share <= one.reference and one.pixels <= width * height
        assert (label[top : top + height, left : left + width] == CLASSES.index(one.name)).sum() >= one.pixels


def test_outputs_are_compared_as_the_classes_that_they_mean():
    label = np.full((4, 4), 2, np.uint8)
    tally = Objects(ObjectSettings.of(OF, CLASSES), len(CLASSES), class_map=[255, 2, 2, 0])
    tally.add("image", tally.seen(label, np.ones_like(label), np.full_like(label, 2)))
    assert by_class(tally.counts, "own") == by_class(tally.counts, "reference") == {"person": 1, "car": 0}


def test_an_object_that_is_just_not_found_is_not_lost():
    label = np.full((1, 100), 2, np.uint8)
    maps = {share: np.where(np.arange(100) < share, 2, 0).astype(np.uint8)[None] for share in (60, 49, 25, 24)}
    numbers = {}
    for share, own in maps.items():
        tally = Objects(ObjectSettings.of({**OF, "lost_below": 0.25}, CLASSES), len(CLASSES))
        tally.add("image", tally.seen(label, maps[60], own))
        numbers[share] = [by_class(tally.counts, key)["person"] for key in ("reference", "own", "lost")]
    assert numbers == {60: [1, 1, 0], 49: [1, 0, 0], 25: [1, 0, 0], 24: [1, 0, 1]}


def test_the_worst_lost_objects_are_those_that_cost_most_pixels():
    label, none = np.zeros((200, 40), np.uint8), np.zeros((200, 40), np.uint8)
    for number in range(18):
        label[number * 10 : number * 10 + 2, : number + 3] = 2
    tally = Objects(ObjectSettings.of(OF, CLASSES), len(CLASSES))
    tally.add("image", tally.seen(label, label, none))
    assert [one.pixels for one in tally.lost] == [2 * (number + 3) for number in range(17, 17 - KEPT, -1)]
    assert by_class(tally.counts, "lost")["person"] == 18


def test_a_class_that_the_data_set_lacks_is_refused():
    message = r"^objects.classes: the data set has no class 'rider'; it has road, car, person, sky$"
    with pytest.raises(InputError, match=message):
        ObjectSettings.of({**OF, "classes": ["rider"]}, CLASSES)


@pytest.fixture
def street(tmp_path) -> Run:
    """Ten images of 12×20 with small objects; the reference is right but for single pixels."""
    run = Run(tmp_path, count=10)
    random = np.random.default_rng(1)
    run.labels = np.zeros(run.labels.shape, np.uint8)
    run.labels[:, :4] = 3
    for number, label in enumerate(run.labels):
        label[5:8, 2:5] = 1
        if number % 5 == 0:
            label[9, 10] = label[9, 11] = label[10, 10] = 2  # two persons of three pixels in ten images
    for image_id, label in zip(run.ids, run.labels, strict=True):
        cv2.imwrite(str(run.folder / f"{image_id}.png"), label)
    run.maps = np.where(random.random(run.labels.shape) < 0.001, 0, run.labels).astype(np.uint8)
    run.predict("reference", run.maps)
    run.predict("predictions", run.maps)
    run.options |= {"objects": OF, "agreement_bound": 0.95, "class_agreement_bound": 0.6}
    return run


def test_a_row_that_drops_a_class_is_named_although_it_agrees(street):
    street.predict("predictions", np.where(street.maps == 2, 0, street.maps).astype(np.uint8))
    found = street.score()
    assert found["pixel_agreement"] > 0.99 and found["agrees"]
    assert by_class(found["objects"], "lost") == {"person": 2, "car": 0}
    assert by_class(found["objects"], "reference") == {"person": 2, "car": 10}
    assert "loses objects that paddle-fp32 finds: 2 of 2 person" in found["warnings"]
    assert [one[:2] for one in found["lost_objects"]] == [["image0", "person"], ["image5", "person"]]


def test_the_reference_itself_loses_none(street):
    found = street.score()
    assert by_class(found["objects"], "lost") == by_class(found["objects"], "gained") == {"person": 0, "car": 0}
    assert found["lost_objects"] == [] and not [text for text in found["warnings"] if "loses" in text]


def test_objects_are_not_known_without_a_reference_or_labels(street):
    street.options["reference"] = None
    assert street.score()["objects"] is None
    street.options["reference"] = street.folder / "reference.zip"
    street.describe(labelled=False)
    assert street.score()["objects"] is None


def test_objects_of_shards_add_up_to_those_of_the_whole(street):
    street.maps = np.where(street.maps == 1, 0, street.maps).astype(np.uint8)
    street.predict("predictions", street.maps)
    whole = json.loads(json.dumps(street.score()))
    assert len(whole["lost_objects"]) == 10
    records = [score_shard(street, name) for name in shards.names(4)]
    merged = merge(records, CLASSES, Judgement("excluded", 0.95, 0.6, "paddle-fp32"))
    assert json.loads(json.dumps(merged)) == whole
