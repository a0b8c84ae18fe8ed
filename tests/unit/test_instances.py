"""Instance-weighted IoU is that of cityscapesscripts, whatever the images, the kind of label and the shards."""

import math

import cv2
import numpy as np
import pytest
from helpers.skips import need_package
from segbench.datasets.cityscapes import CLASSES, INSTANCES, LABEL_IDS, UNSCORED
from segbench.images.labels import read_label, read_values
from segbench.scoring import bootstrap
from segbench.scoring.confusion import confusion_matrix, iou_counts
from segbench.scoring.instances import UNIT, instance_counts


def counted(instances, label, prediction, kinds, class_count, **more):
    """The counts of one image, in pixels."""
    pixels = iou_counts(confusion_matrix(label, prediction, class_count))
    found = instance_counts(instances, prediction, pixels, kinds=kinds, class_count=class_count, **more)
    assert found.dtype == np.int64
    return found / UNIT


def test_small_case_is_counted_by_hand():
    """Class 0 is road. Of class 1, an average instance has 6 pixels: one of 4 pixels is half right, one of 2 is right,
    a group of 2 is in no instance. Class 2 has no instance here, and class 3 is ignored.
    """
    label = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 0, 255]], np.uint8)
    instances = np.array([[24001, 24001, 24001, 24001, 7, 7], [24000 + 5, 24005, 24, 24, 7, 29001]], np.uint16)
    prediction = np.array([[1, 1, 0, 0, 1, 2], [1, 1, 0, 1, 0, 1]], np.uint8)
    kinds = {24: (1, 6.0), 26: (2, 9.0), 29: (255, 4.0)}
    hits, labelled, predicted = counted(instances, label, prediction, kinds, 3)
    assert hits.tolist() == [0, 6 / 2 + 6, 0]
    assert labelled.tolist() == [0, 6 + 6, 0]
    assert predicted.tolist() == [0, 9 + 1, 1]  # one pixel of road each; what is ignored is no error
    iou = bootstrap.iou(np.stack([hits, labelled, predicted]))
    assert iou[1] == 9 / 13 and iou[2] == 0 and math.isnan(iou[0])
    assert bootstrap.mean_iou(np.stack([hits, labelled, predicted])) == 9 / 13 / 2


def test_outputs_are_mapped_to_classes():
    label = np.array([[1, 1, 0, 0]], np.uint8)
    instances, output = np.array([[24001, 24001, 7, 7]], np.uint16), np.array([[0, 1, 1, 1]], np.uint8)
    pixels = iou_counts(confusion_matrix(label, np.array([[1, 0, 0, 0]], np.uint8), 2))
    found = instance_counts(instances, output, pixels, kinds={"24": [1, 8.0]}, class_count=2, class_map=[1, 0])
    assert (found[:, 1] / UNIT).tolist() == [4, 8, 4]


def test_right_instances_of_any_size_have_an_iou_of_one():
    random = np.random.default_rng(0)
    instances = np.repeat(26000 + np.arange(200), random.integers(1, 90, 200)).astype(np.uint16)[None]
    label = np.full(instances.shape, 13, np.uint8)
    hits, labelled, predicted = counted(instances, label, label, INSTANCES, 19)
    assert hits[13] == labelled[13] == predicted[13] == pytest.approx(200 * INSTANCES[26][1], rel=1e-12)


def draw(random, shape=(48, 96)):
    """Ids of instances, of labels and of a prediction: blocks of every class, small instances, groups, no instances."""
    ids = np.array([*LABEL_IDS, *(number for number in UNSCORED if number >= 0)])
    label = np.repeat(np.repeat(random.choice(ids, (shape[0] // 4, shape[1] // 6)), 4, 0), 6, 1)
    number = np.repeat(np.repeat(random.integers(0, 7, (shape[0] // 2, shape[1] // 3)), 2, 0), 3, 1)
    thing = np.isin(label, list(INSTANCES)) & (number < 6)  # number 6: a group
    guess = np.where(random.random(shape) < random.uniform(0.3, 0.95), label, random.choice(LABEL_IDS, shape))
    guess = np.where(np.isin(guess, LABEL_IDS), guess, 7)
    guess[guess == 31] = 28  # trains are missed everywhere
    label[label == 27], guess[random.random(shape) < 0.01] = 7, 27  # trucks are in predictions alone
    instances = np.where(thing & (label != 7), label * 1000 + number, label)
    return instances.astype(np.uint16), label.astype(np.uint8), guess.astype(np.uint8)


@pytest.mark.parametrize("kind", ["labelIds", "labelTrainIds"])
def test_iiou_is_cityscapesscripts_own(tmp_path, kind):
    need_package("cityscapesscripts")
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as peer

    random, ours = np.random.default_rng(1), []
    id_map = {**dict.fromkeys(UNSCORED, 255), **{number: i for i, number in enumerate(LABEL_IDS)}}
    to_train_id = np.full(256, 255, np.uint8)
    to_train_id[LABEL_IDS] = np.arange(19)
    peer.args.evalInstLevelScore, peer.args.evalPixelAccuracy = True, False
    matrix, stats = peer.generateMatrix(peer.args), peer.generateInstanceStats(peer.args)
    for number in range(50):
        maps = dict(zip(("instanceIds", "labelIds", "guess"), draw(random), strict=True))
        maps["labelTrainIds"] = to_train_id[maps["labelIds"]]
        paths = {name: str(tmp_path / f"{number}_{name}.png") for name in maps}
        for name, path in paths.items():
            cv2.imwrite(path, maps[name])
        peer.evaluatePair(paths["guess"], paths["labelIds"], matrix, stats, {}, peer.args)
        label = read_label(paths[kind], id_map if kind == "labelIds" else None)
        instances, guess = read_values(paths["instanceIds"], False), to_train_id[maps["guess"]]
        pixels = iou_counts(confusion_matrix(label, guess, 19))
        ours.append(instance_counts(instances, guess, pixels, kinds=INSTANCES, class_count=19))
    by_class = {i: peer.getInstanceIouScoreForLabel(i, matrix, stats, peer.args) for i in LABEL_IDS}
    sums = np.sum(ours, axis=0)
    assert bootstrap.iou(sums).tolist() == pytest.approx(list(by_class.values()), rel=0, abs=1e-12, nan_ok=True)
    assert by_class[31] == by_class[27] == 0 < by_class[24] < 1 and math.isnan(by_class[7])
    mean = peer.getScoreAverage(by_class, peer.args)
    assert float(bootstrap.mean_iou(sums)) == pytest.approx(mean, rel=0, abs=1e-12)
    averages = {peer.name2label[name].id: size for name, size in peer.args.avgClassSize.items()}
    assert averages == {number: average for number, (_, average) in INSTANCES.items()}
    assert [CLASSES[i] for i, _ in INSTANCES.values() if i != 255] == [
        peer.id2label[number].name for number in INSTANCES if not peer.id2label[number].ignoreInEval
    ]
