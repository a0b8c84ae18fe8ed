"""The confusion matrix is scikit-learn's, the scores are cityscapesscripts', exactly."""

import math

import cv2
import numpy as np
import pytest
import sklearn.metrics
from helpers.skips import need_package
from hypothesis import given, settings
from hypothesis import strategies as st
from segbench.images.labels import read_label
from segbench.scoring import confusion
from segbench.scoring.confusion import changed_counts, confusion_matrix, fold, iou_counts, pair_counts, scores

IGNORE = 255


@st.composite
def label_and_prediction(draw):
    """Class count and two maps: labels of classes and ignored, predictions of anything; blocks, so that runs occur."""
    classes = draw(st.integers(1, 21))
    height, width, block = draw(st.integers(1, 12)), draw(st.integers(1, 40)), draw(st.sampled_from([1, 2, 30]))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    used = random.integers(0, classes, random.integers(1, classes + 1))  # some classes do not occur
    label = random.choice([*used, IGNORE], (height, width)).astype(np.uint8)
    prediction = random.choice([*used, classes, 255], (height, width)).astype(np.uint8)
    return classes, *(np.repeat(np.repeat(part, block, 0), block, 1) for part in (label, prediction))


def by_scikit_learn(label, prediction, classes):
    label = np.where(label == IGNORE, classes, label).ravel()
    prediction = np.minimum(prediction, classes).ravel()
    return sklearn.metrics.confusion_matrix(label, prediction, labels=range(classes + 1))


@settings(deadline=None, max_examples=150)
@given(label_and_prediction())
def test_matrix_is_scikit_learns(given_maps):
    classes, label, prediction = given_maps
    matrix = confusion_matrix(label, prediction, classes, IGNORE)
    assert matrix.dtype == np.int64
    assert (matrix == by_scikit_learn(label, prediction, classes)).all()


@settings(deadline=None, max_examples=100)
@given(label_and_prediction())
def test_scores_are_scikit_learns_of_the_labelled_pixels(given_maps):
    classes, label, prediction = given_maps
    found = scores(confusion_matrix(label, prediction, classes, IGNORE))
    counted = label != IGNORE
    # scikit-learn has no "none of the classes": it becomes a class of its own that no label has.
    truth, guess = label[counted], np.minimum(prediction[counted], classes)
    present = sorted((set(truth.tolist()) | set(guess.tolist())) - {classes})
    expected = dict.fromkeys(range(classes))
    if present:
        values = sklearn.metrics.jaccard_score(truth, guess, labels=present, average=None, zero_division=0)
        expected |= dict(zip(present, values, strict=True))
    assert found.iou == list(expected.values())
    assert found.miou == (np.mean([expected[i] for i in present]) if present else None)
    assert found.pixel_accuracy == (sklearn.metrics.accuracy_score(truth, guess) if truth.size else None)
    labelled = sorted(set(truth.tolist()))
    recall = sklearn.metrics.recall_score(truth, guess, labels=labelled, average=None) if labelled else []
    assert found.mean_class_accuracy == (np.mean(recall) if labelled else None)
    dice = sklearn.metrics.f1_score(truth, guess, labels=present, average=None, zero_division=0) if present else []
    assert found.mean_dice == (pytest.approx(np.mean(dice), rel=1e-15) if present else None)
    # Weighted by support, of which "none of the classes" has none.
    weighted = {"labels": range(classes), "average": "weighted", "zero_division": 0}
    of_pixels = sklearn.metrics.jaccard_score(truth, guess, **weighted) if truth.size else None
    assert found.frequency_weighted_iou == (pytest.approx(of_pixels, rel=1e-14) if truth.size else None)


def test_scores_are_cityscapesscripts_own(tmp_path):
    """Its evaluation on labelIds (all 35, ignored ones included) against ours on the trainIds they are mapped to."""
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as peer
    from segbench.datasets.cityscapes import CLASSES, LABEL_IDS, UNSCORED

    random = np.random.default_rng(0)
    ids = np.array([*LABEL_IDS, *(number for number in UNSCORED if number >= 0)], np.uint8)
    label = ids[random.integers(0, len(ids), (64, 128))]
    guess = np.where(random.random(label.shape) < 0.6, label, np.array(LABEL_IDS)[random.integers(0, 17, label.shape)])
    label[label == LABEL_IDS[18]] = 0  # a class that only the prediction has, and one that neither has
    guess[np.isin(guess, LABEL_IDS[17])] = LABEL_IDS[18]
    label[label == LABEL_IDS[17]] = LABEL_IDS[0]
    paths = [str(tmp_path / "guess.png"), str(tmp_path / "label.png")]
    for path, ids_of in zip(paths, (guess, label), strict=True):
        cv2.imwrite(path, ids_of.astype(np.uint8))
    theirs = peer.generateMatrix(peer.args)
    peer.args.evalInstLevelScore = peer.args.evalPixelAccuracy = False
    peer.evaluatePair(*paths, theirs, {}, {}, peer.args)
    expected = [peer.getIouScoreForLabel(number, theirs, peer.args) for number in LABEL_IDS]

    id_map = {**dict.fromkeys(UNSCORED, IGNORE), **{number: i for i, number in enumerate(LABEL_IDS)}}
    label = read_label(paths[1], id_map)
    to_output = np.full(256, len(CLASSES), np.uint8)
    to_output[LABEL_IDS] = np.arange(len(CLASSES))
    found = scores(fold(pair_counts(label, to_output[guess]), len(CLASSES), IGNORE))
    assert [math.nan if value is None else value for value in found.iou] == pytest.approx(expected, rel=0, nan_ok=True)
    assert math.isnan(expected[17]) and expected[18] == 0
    assert found.miou == np.nanmean(expected)


def test_mean_over_all_classes_is_paddlesegs():
    need_package("paddleseg")
    import paddle
    from paddleseg.utils import metrics

    random = np.random.default_rng(0)
    label = random.choice([0, 1, 2, IGNORE], (50, 60)).astype(np.uint8)
    prediction = random.choice([0, 1, 3], (50, 60)).astype(np.uint8)  # 2 is missed, 3 is not labelled, 4 does not occur
    matrix = confusion_matrix(label, prediction, 5)
    hits, labelled, predicted = iou_counts(matrix)
    iou, mean = metrics.mean_iou(*map(paddle.to_tensor, (hits, predicted, labelled)))
    found = scores(matrix)
    assert [value or 0 for value in found.iou] == iou.tolist()
    assert found.miou_all_classes == pytest.approx(mean, rel=1e-15)
    assert found.miou == pytest.approx(mean * 5 / 4) and found.miou_labelled == pytest.approx(mean * 5 / 3)
    assert found.unlabelled_share == np.mean(prediction[label != IGNORE] == 3)


def test_ignored_pixels_do_not_count():
    label = np.array([[0, 0, 1, 255]], np.uint8)
    matrix = confusion_matrix(label, np.array([[0, 0, 1, 1]], np.uint8), 2)
    assert (scores(matrix).miou, scores(matrix).pixel_accuracy) == (1, 1)


def test_ignored_pixels_count_as_errors_where_the_data_set_says_so():
    label = np.array([[0, 0, 1, 255]], np.uint8)
    found = scores(confusion_matrix(label, np.array([[0, 0, 1, 1]], np.uint8), 2), "errors")
    assert found.iou == [1, 0.5]
    assert found.pixel_accuracy == 0.75


def test_prediction_of_no_class_misses_its_label():
    matrix = confusion_matrix(np.array([[0, 0]], np.uint8), np.array([[0, 9]], np.uint8), 2)
    assert matrix.tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert scores(matrix) == confusion.Scores([0.5, None], 0.5, 0.5, 0.25, 0, 2 / 3, 0.5, 0.5, 0.5)


def test_ignored_id_may_be_any_number():
    label = np.array([[0, 1, 2, 0]], np.uint8)
    prediction = np.array([[0, 1, 2, 2]], np.uint8)
    assert confusion_matrix(label, prediction, 3, 0).tolist() == [
        [0, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 1, 0],
        [1, 0, 1, 0],
    ]
    assert confusion_matrix(np.full((1, 2), 7, np.uint8), prediction[:, :2], 2, 7).tolist()[2] == [1, 1, 0]


def test_label_of_no_class_is_refused():
    with pytest.raises(ValueError, match=r"label ids \[2, 9\] are neither classes \(0 to 1\) nor ignored \(255\)"):
        confusion_matrix(np.array([[0, 2, 9]], np.uint8), np.zeros((1, 3), np.uint8), 2)


def test_maps_of_different_size_are_refused():
    with pytest.raises(ValueError, match=r"label \(1, 2\) and prediction \(2, 1\) differ in size"):
        pair_counts(np.zeros((1, 2), np.uint8), np.zeros((2, 1), np.uint8))


def test_outputs_are_mapped_after_counting():
    label = np.array([[0, 0, 1, 255, 255]], np.uint8)
    output = np.array([[0, 1, 2, 3, 3]], np.uint8)
    found = fold(pair_counts(label, output), 2, 255, [0, 0, 1, 255])
    mapped = np.array([[0, 0, 1, 255, 255]], np.uint8)
    assert found.tolist() == confusion_matrix(label, mapped, 2).tolist() == [[2, 0, 0], [0, 1, 0], [0, 0, 2]]


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (2100, 2100)], ids=str)
@pytest.mark.parametrize("kind", ["one run", "noise", "stripes"])
def test_every_pixel_is_counted_once(shape, kind):
    """Over the borders of blocks and in both ways of counting; 2100×2100 is more than one block."""
    random = np.random.default_rng(0)
    first = {
        "one run": np.full(shape, 255, np.uint8),
        "noise": random.integers(0, 256, shape, np.uint8),
        "stripes": np.broadcast_to((np.arange(shape[1]) // 100).astype(np.uint8), shape),
    }[kind]
    second = np.flipud(first)
    pairs = first.astype(np.int64).ravel() * 256 + second.ravel()
    assert (pair_counts(first, second).ravel() == np.bincount(pairs, minlength=65536)).all()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.9])
def test_counts_of_maps_that_are_much_alike_are_those_of_any_maps(share):
    random = np.random.default_rng(0)
    label, before = (random.integers(0, 256, (40, 50), np.uint8) for _ in range(2))
    after = np.where(random.random(before.shape) < share, random.integers(0, 256, before.shape), before)
    after = after.astype(np.uint8)
    found = changed_counts(before, after, pair_counts(label, after))
    assert (found == pair_counts(before, after)).all() and found.dtype == np.int64
    with pytest.raises(ValueError, match="differ in size"):
        changed_counts(before.T, after, pair_counts(label, after))


def test_counts_are_exact_beyond_float32():
    ones = np.ones((1, (1 << 24) + 3), np.uint8)
    assert pair_counts(ones, ones)[1, 1] == (1 << 24) + 3


def test_nothing_labelled_gives_no_score():
    found = scores(confusion_matrix(np.full((2, 2), 255, np.uint8), np.full((2, 2), 255, np.uint8), 3))
    assert found == confusion.Scores([None] * 3, *[None] * 8)
