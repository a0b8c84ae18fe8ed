"""A class never meets its label in silence."""

from __future__ import annotations

import numpy as np
import pytest
from segbench.scoring.confusion import confusion_matrix, fold, pair_counts
from segbench.scoring.image_counts import ImageCounts
from segbench.scoring.score_record import Judgement, Sums, figures
from segbench.scoring.unmet import unmet

RANDOM = np.random.default_rng(0)


def maps(share: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """A label of two classes, and a prediction that is mostly right."""
    label = (RANDOM.random((64, 96)) < share).astype(np.uint8)
    return label, np.where(RANDOM.random(label.shape) < 0.05, 1 - label, label).astype(np.uint8)


def test_nothing_is_said_where_classes_meet_their_labels():
    assert unmet(confusion_matrix(*maps(), 2), ["background", "polyp"]) == []


def test_mask_files_of_0_and_255_without_an_id_map():
    label, prediction = maps()
    matrix = fold(pair_counts(label * 255, prediction), 2, 255)
    assert unmet(matrix, ["background", "polyp"])[0] == "no label has 'polyp': check classes and id_map"


def test_model_that_puts_out_0_and_255():
    label, prediction = maps()
    said = unmet(fold(pair_counts(label, prediction * 255), 2, 255), ["background", "polyp"])
    assert said[0].startswith("'polyp' is labelled, but never predicted")
    assert "% of predictions are none of the classes: check class_count" in said[1]


@pytest.mark.parametrize(("share", "said"), [(0.6, True), (0.3, False)])
def test_large_share_of_ignored_labels(share, said):
    label, prediction = maps(share)
    matrix = fold(pair_counts(np.where(label == 1, 255, 0).astype(np.uint8), prediction), 2, 255)
    assert any("of label pixels are ignored" in line for line in unmet(matrix, ["road", "car"])) == said


def test_many_classes_are_counted():
    matrix = np.zeros((20, 20), np.int64)
    matrix[0, 0] = 9
    (said,) = unmet(matrix, [f"class {number}" for number in range(19)])
    assert said.endswith("'class 5' and 13 more: check classes and id_map")


def test_row_has_the_warning():
    label, prediction = maps()
    matrix = fold(pair_counts(label * 255, prediction), 2, 255)
    sums = Sums(matrix, ImageCounts(), 1, None, 0, 0, 0, [])
    found = figures(sums, ["background", "polyp"], Judgement("excluded", 0.9, 0.9, "x"))
    assert "no label has 'polyp'" in found["warnings"][0] and found["agrees"] is None
