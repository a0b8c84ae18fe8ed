"""Boundary IoU is that of its published definition, mask by mask and pixel by pixel."""

import math

import numpy as np
import pytest
from helpers.published_measures import boundary_parts, mean_boundary_iou
from hypothesis import given, settings
from hypothesis import strategies as st
from segbench.scoring import bootstrap
from segbench.scoring.boundary import boundary_counts, width_in_pixels

IGNORE = 255


@st.composite
def maps(draw):
    """Class count, label and prediction: blocks of classes, of ignored pixels, and of outputs that are no class."""
    classes, block = draw(st.sampled_from([1, 2, 5, 255])), draw(st.sampled_from([1, 3, 7]))
    height, width = draw(st.integers(1, 8)), draw(st.integers(1, 9))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    label = random.choice([0, 0, classes - 1, classes // 2, IGNORE], (height, width))
    prediction = np.where(random.random(label.shape) < 0.6, label, random.integers(0, 256, label.shape))
    return classes, *(np.repeat(np.repeat(part.astype(np.uint8), block, 0), block, 1) for part in (label, prediction))


@settings(deadline=None, max_examples=150)
@given(maps(), st.sampled_from([0.001, 0.02, 0.08, 0.2, 0.9]))
def test_counts_are_those_of_eroding_the_mask_of_each_class(made, share):
    classes, label, prediction = made
    hits, labelled, predicted = boundary_counts(label, prediction, share=share, class_count=classes, ignore=IGNORE)
    expected = boundary_parts(label, np.where(label == IGNORE, IGNORE, prediction), classes, share)
    assert list(zip(hits.tolist(), (labelled + predicted - hits).tolist(), strict=True)) == expected


def test_ignored_pixels_are_errors_where_the_data_set_says_so():
    label, prediction = np.full((9, 9), 0, np.uint8), np.zeros((9, 9), np.uint8)
    label[:, 4:] = IGNORE
    of = {"share": 0.01, "class_count": 1, "ignore": IGNORE}
    assert boundary_counts(label, prediction, **of)[:, 0].tolist() == [22, 22, 22]  # the contour of 9×4
    assert boundary_counts(label, prediction, **of, ignored_pixels="errors")[:, 0].tolist() == [15, 22, 32]  # of 9×9


def test_outputs_of_one_class_have_no_boundary_between_them():
    label = np.zeros((20, 20), np.uint8)
    outputs = np.repeat([[0, 1, 2, 1]], 20, 0).repeat(5, 1).astype(np.uint8)
    hits, labelled, predicted = boundary_counts(
        label, outputs, share=0.02, class_count=1, ignore=IGNORE, class_map=[0, 0, 0]
    )
    assert hits == labelled == predicted == 4 * 19


def test_a_wide_boundary_is_counted_past_what_a_byte_holds():
    """Windows of more than 255 pixels, and of more than 255 pixels of a side."""
    label = np.zeros((300, 600), np.uint8)
    label[:, 300:] = 1
    hits, labelled, _ = boundary_counts(label, label, share=0.24, class_count=2, ignore=IGNORE)
    assert width_in_pixels(0.24, 300, 600) == 161
    assert hits.tolist() == labelled.tolist() == [300 * 300] * 2
    narrow = boundary_counts(label, label, share=0.1, class_count=2, ignore=IGNORE)
    width = round(0.1 * math.hypot(300, 600))
    assert narrow[0].tolist() == [300 * 300 - (300 - 2 * width) ** 2] * 2


def test_mean_over_images_is_of_summed_counts():
    random = np.random.default_rng(0)
    pairs = []
    for shape in [(24, 40), (30, 30), (50, 20)]:
        label = random.choice([0, 1, 2, IGNORE], shape).astype(np.uint8).repeat(3, 0).repeat(3, 1)
        pairs.append((label, np.where(random.random(label.shape) < 0.8, label, 1).astype(np.uint8)))
    counts = [boundary_counts(*pair, share=0.03, class_count=4, ignore=IGNORE) for pair in pairs]
    assert float(bootstrap.mean_iou(np.sum(counts, 0))) == pytest.approx(mean_boundary_iou(pairs, 4, 0.03), rel=1e-15)
