"""One half of the judging images chooses layers, the other confirms: halves, the stop, the report, the warnings."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from segbench.calibration.judging import HeldOut, Judge, halves
from segbench.calibration.mixed_precision import Candidate, first_1_2_4

CLASSES = ["road", "car", "bus", "train"]
FACTS = {
    "preprocessing": {"channel_order": "rgb", "scale": 1, "mean": [0] * 3, "std": [1] * 3, "resize": "none"},
    "input": {"height": 16, "width": 32},
    "class_map": None,
}
DATASET = {"classes": CLASSES, "ignore_index": 255, "id_map": None}
COUNT = 24


def scenes(folder: Path, count: int = COUNT) -> list[dict[str, str]]:
    """An index of images whose grey value is the label's class, and whose last pixel is the image's number.

    Half of each is road, half car, but for a bus in every third. The last pixel is ignored.
    """
    rows = []
    for number in range(count):
        label = np.zeros((16, 32), np.uint8)
        label[8:] = 1
        if number % 3 == 0:
            label[:2, :8] = 2
        image = np.repeat(label[:, :, None], 3, axis=2)
        image[-1, -1], label[-1, -1] = number, 255
        names = folder / f"{number}.png", folder / f"{number} label.png"
        for name, picture in zip(names, (image, label), strict=True):
            cv2.imwrite(str(name), picture)
        rows.append({"image_id": str(number), "image": str(names[0]), "label": str(names[1])})
    return rows


@pytest.fixture
def held_out(tmp_path) -> HeldOut:
    return HeldOut(scenes(tmp_path), FACTS, DATASET)


def exact(image):
    return image[0, 0].astype(np.uint8)


def number_of(image) -> str:
    return str(int(image[0, 0, -1, -1]))


def losing(share: float, images=None):
    """A network that takes this share of the cars' rows for road, in the images of these ids (None: in all)."""

    def predict(image):
        found = exact(image)
        if images is None or number_of(image) in images:
            found[8 : 8 + round(8 * share)] = 0
        return found

    return predict


def choose(judge: Judge, candidates: Iterable[Candidate], bound: float) -> dict:
    """The facts of what a judge takes."""
    taken, facts = judge.choose(iter(candidates), bound)
    assert facts["fp32_layers"] is taken.fp32_layers
    return facts


def ids(held_out: HeldOut, half: list[int]) -> set[str]:
    return {held_out.rows[number]["image_id"] for number in half}


def test_halves_are_equal_and_share_the_images_of_each_class():
    random = np.random.default_rng(0)
    for _ in range(50):
        shown = random.random((33, 12)) < random.choice([0.1, 0.3, 0.9], 12)
        one, other = halves(shown)
        assert sorted(one + other) == list(range(33)) and abs(len(one) - len(other)) == 1
        in_both = np.minimum(shown[one].sum(0), shown[other].sum(0))
        assert (in_both[shown.sum(0) >= 6] >= 2).all()
        rarest = shown.sum(0).argmin()
        assert abs(int(shown[one, rarest].sum()) - int(shown[other, rarest].sum())) <= 1


def test_halves_begin_with_the_rarest_classes():
    shown = np.array([[1, 0], [1, 0], [1, 0], [1, 1], [1, 0], [1, 1]], bool)
    assert halves(shown) == ([3, 0, 2], [5, 1, 4])


def test_a_single_image_is_both_halves():
    assert halves(np.array([[True]])) == ([0], [0])


def test_the_loss_reported_is_that_of_the_half_that_did_not_choose(held_out):
    judge = held_out.judge(exact)
    only_chosen_by = losing(0.5, ids(held_out, judge.choosing))
    found = choose(judge, [Candidate([], only_chosen_by)], 1)
    assert found["drop_choosing"] > 0.2 and found["drop"] == 0
    assert set(found["choosing_images"]) == ids(held_out, judge.choosing)
    assert not set(found["choosing_images"]) & set(found["confirming_images"])


def test_the_first_candidate_whose_upper_end_is_within_the_bound_is_taken(held_out):
    judge = held_out.judge(exact)
    lucky = losing(1, {held_out.rows[judge.choosing[0]]["image_id"]})  # one image of twelve, and that wholly
    reading = judge.loss(lucky, judge.choosing)
    bound = (reading.drop + reading.high) / 2
    asked = []

    def candidates():
        for kept, predict in (([], losing(1)), (["a"], lucky), (["a", "b"], exact), (["a", "b", "c"], exact)):
            asked.append(kept)
            yield Candidate(kept, predict)

    found = choose(judge, candidates(), bound)
    assert reading.drop < bound < reading.high
    assert found["fp32_layers"] == ["a", "b"] and asked == [[], ["a"], ["a", "b"]]
    assert found["drop_before"] > bound and found["drop_choosing_high"] == 0
    assert found["warnings"] == []


def test_where_no_candidate_meets_the_bound_the_best_is_taken_and_warned_of(held_out):
    networks = ([], 0.5), (["a"], 0.25), (["a", "b"], 0.25), (["a", "b", "c"], 0.5)
    found = choose(held_out.judge(exact), [Candidate(kept, losing(share)) for kept, share in networks], 0.005)
    assert found["fp32_layers"] == ["a"]
    assert found["warnings"] == [
        f"INT8 may lose {found['drop_choosing_high']:.4f} mIoU, whichever layers stay in FP32"
        " (calibration.max_drop is 0.005)",
        f"INT8 loses {found['drop']:.4f} mIoU on the images that confirm its layers (calibration.max_drop is 0.005)",
    ]


def test_a_choice_that_the_other_half_does_not_confirm_is_warned_of(held_out):
    judge = held_out.judge(exact)
    found = choose(judge, [Candidate([], losing(0.5, ids(held_out, judge.confirming)))], 0.005)
    assert found["fp32_layers"] == [] and found["drop"] > 0.2
    (warning,) = found["warnings"]
    assert "on the images that confirm" in warning


def test_images_that_also_calibrated_are_warned_of(tmp_path):
    judge = HeldOut(scenes(tmp_path), FACTS, DATASET, calibrated=True).judge(exact)
    (warning,) = choose(judge, [Candidate([], exact)], 0.005)["warnings"]
    assert "judged on the images that it was calibrated with" in warning


def test_a_class_of_few_images_is_named(tmp_path):
    judge = HeldOut(scenes(tmp_path, 16), FACTS, DATASET).judge(exact)  # six buses: three in each half
    assert choose(judge, [Candidate([], exact)], 0.005)["warnings"] == []
    judge = HeldOut(scenes(tmp_path, 17)[1:], FACTS, DATASET).judge(exact)  # five
    (warning,) = choose(judge, [Candidate([], exact)], 0.005)["warnings"]
    assert warning == "fewer than 3 images of a half that judged INT8 show bus (raise calibration.judging_images)"


def test_too_few_images_for_an_interval_are_judged_by_the_loss_itself_and_warned_of(tmp_path):
    judge = HeldOut(scenes(tmp_path, 14), FACTS, DATASET).judge(exact)
    found = choose(judge, [Candidate([], losing(0.5))], 0.5)
    assert found["drop_choosing_high"] == found["drop_choosing"] > 0 and found["drop_high"] is None
    (warning,) = found["warnings"]
    assert warning.startswith("INT8 was judged on 14 images, too few for an interval (below 16;")


def test_a_class_without_labels_hides_no_loss(held_out):
    """The FP32 network takes some road for a train, which nothing is; INT8 does not, but loses cars."""

    def straying(image):
        found = exact(image)
        found[3, 3] = 3
        return found

    judge = held_out.judge(straying)
    assert judge.loss(losing(0.25), judge.choosing).drop > 0.05
    assert held_out.judge(exact).loss(straying, judge.choosing).drop < 0.01


def test_labels_without_any_class_judge_nothing(tmp_path):
    rows = scenes(tmp_path)
    for row in rows:
        cv2.imwrite(row["label"], np.full((16, 32), 255, np.uint8))
    found = choose(HeldOut(rows, FACTS, DATASET).judge(exact), [Candidate([], losing(1))], 0.005)
    assert found["drop"] is None and found["fp32_miou"] is None and found["fp32_layers"] == []


def test_a_layer_that_loses_a_rare_class_is_worse_than_one_that_changes_more_pixels(held_out):
    def without_buses(image):
        found = exact(image)
        found[found == 2] = 0
        return found

    networks = {"harmless": exact, "cars": losing(0.25), "buses": without_buses}
    judge = held_out.judge(exact)
    changed = {name: sum((network(i) != exact(i)).sum() for i in held_out.images) for name, network in networks.items()}
    assert changed["cars"] > changed["buses"] > 0
    assert judge.layers_worst_first(list(networks), networks.get) == ["buses", "cars", "harmless"]


@pytest.mark.parametrize(
    ("count", "steps"), [(0, []), (1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 4]), (9, [1, 2, 4, 8, 9])]
)
def test_the_first_1_2_4_layers_are_tried_and_at_last_all(count, steps):
    layers = list("abcdefghi"[:count])
    tried = list(first_1_2_4(layers))
    assert [len(step) for step in tried] == steps
    assert all(step == layers[: len(step)] for step in tried)


@pytest.mark.parametrize(
    ("size", "setting"),
    [
        ((8, 20), {"window": {"stride": {"height": 5, "width": 9}}}),
        ((20, 50), {"resize": {"kind": "none", "pad_value": 3, "align": "centre"}}),
    ],
)
def test_images_that_are_cut_or_padded_are_counted_at_their_own_size(tmp_path, held_out, size, setting):
    rows = [{**row, "height": "16", "width": "32"} for row in held_out.rows]
    facts = {**FACTS, "input": {"height": size[0], "width": size[1]}}
    other = HeldOut(rows, {**facts, "preprocessing": {**FACTS["preprocessing"], **setting}}, DATASET)
    numbers = range(len(rows))
    assert np.array_equal(other.counts(exact, numbers), held_out.counts(exact, numbers))
