"""Bootstrap intervals cover what they should on simulated images, and come out the same twice."""

import numpy as np
import pytest
from scipy import stats
from segbench.scoring import bootstrap
from segbench.scoring.bootstrap import change_interval, mean_iou, mean_iou_change, miou_interval

CLASSES = 8


def draw(random, images):
    """Counts of two variants on simulated images: classes of differing size and rarity, images of differing hardness.

    The second variant is right a little less often. Its errors are at nearly the same places.
    """
    occurs = random.random((images, CLASSES)) < np.linspace(1, 0.3, CLASSES)
    size = random.lognormal(0, 1, (images, CLASSES)) * np.geomspace(20000, 400, CLASSES)
    labelled = np.where(occurs, size, 0).astype(np.int64)
    ease = 1.5 + random.normal(0, 0.6, (images, 1)) + random.normal(0, 0.8, (images, CLASSES))
    found = []
    for shift in (0, random.normal(-0.08, 0.1, (images, CLASSES))):
        hits = np.floor(labelled / (1 + np.exp(-ease - shift))).astype(np.int64)
        elsewhere = random.dirichlet(np.geomspace(3, 0.3, CLASSES), images) * (labelled - hits).sum(1, keepdims=True)
        found.append(np.stack([hits, labelled, hits + np.floor(elsewhere).astype(np.int64)], 1))
    return found


@pytest.fixture(scope="module")
def truth():
    """mIoU of the first variant and the change by the second, over very many images."""
    first, second = (one.sum(0) for one in draw(np.random.default_rng(1), 100_000))
    return float(mean_iou(first)), float(mean_iou_change(np.stack([second, first])))


@pytest.mark.parametrize("images", [16, 64])
def test_intervals_cover_the_truth(truth, images, monkeypatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 500)
    random, covered, trials = np.random.default_rng(images), np.zeros(2), 400
    for _ in range(trials):
        first, second = draw(random, images)
        found = miou_interval(first), change_interval(second, first)
        covered += [one.low <= true <= one.high for one, true in zip(found, truth, strict=True)]
    assert (covered / trials >= 0.9).all() and (covered / trials <= 0.985).all(), covered / trials


def test_pairing_makes_the_interval_of_a_change_narrower():
    first, second = draw(np.random.default_rng(0), 100)
    change, alone = change_interval(second, first), miou_interval(first)
    assert change.high - change.low < 0.5 * (alone.high - alone.low)


def test_equal_counts_give_an_equal_interval_and_another_seed_another():
    first, second = draw(np.random.default_rng(0), 40)
    assert miou_interval(first) == miou_interval(first.copy())
    assert change_interval(second, first) == change_interval(second.copy(), first)
    assert miou_interval(first) != miou_interval(first, seed=1)


def test_exchanged_sides_change_the_sign():
    first, second = draw(np.random.default_rng(0), 40)
    there, back = change_interval(second, first), change_interval(first, second)
    assert there == pytest.approx((-back.high, -back.low))


def test_change_is_over_the_labelled_classes_alone():
    """A stray pixel of a third class, which no label has, lowers mean IoU by a third, and changes nothing else."""
    clean = np.array([[60, 30, 0], [60, 40, 0], [70, 30, 0]])
    stray = clean + np.array([[0, 0, 0], [0, 0, 0], [0, 0, 1]])
    assert mean_iou(stray) == pytest.approx(mean_iou(clean) * 2 / 3)
    assert mean_iou_change(np.stack([stray, clean])) == 0


def test_fewer_than_eight_images_have_no_interval():
    first, second = draw(np.random.default_rng(0), 8)
    assert miou_interval(first) and change_interval(second, first)
    assert miou_interval(first[:7]) is change_interval(second[:7], first[:7]) is None


def test_nothing_labelled_has_no_interval():
    assert miou_interval(np.zeros((10, 3, CLASSES), np.int64)) is None


def test_counts_of_other_labels_are_refused():
    first, second = draw(np.random.default_rng(0), 10)
    with pytest.raises(ValueError, match="different images or labels"):
        change_interval(second[::-1], first)


def test_many_images_are_drawn_in_several_parts(monkeypatch):
    first, _ = draw(np.random.default_rng(0), 50)
    whole = miou_interval(first)
    monkeypatch.setattr(bootstrap, "AT_ONCE", 1000)
    assert miou_interval(first) == whole


@pytest.mark.parametrize("count", [8, 32, 500])
def test_interval_is_expanded_as_students_t_is(count):
    expected = stats.norm.cdf(-np.sqrt(count / (count - 1)) * stats.t.ppf(0.975, count - 1))
    assert bootstrap._tail(count, 0.95) == pytest.approx(expected, rel=0.02)
