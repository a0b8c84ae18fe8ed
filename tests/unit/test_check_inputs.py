"""Whether a data set fits a model is checked before anything is built."""

from __future__ import annotations

import pytest
from check_inputs import check_inputs
from segbench.errors import InputError

DATASET = {"status": "ok", "dataset": "mine", "sizes": [[32, 64, 4]], "classes": ["a", "b", "c"], "ignore_index": 255}
ENTRY = {
    "input": {"height": 32, "width": 64}, "preprocessing": {"resize": "none"}, "class_count": 3, "class_map": None,
}  # fmt: skip


def said(**entry: object) -> str:
    with pytest.raises(InputError) as error:
        check_inputs("net", {**ENTRY, **entry}, DATASET)
    return str(error.value)


def test_fitting_model_passes():
    check_inputs("net", ENTRY, DATASET)
    check_inputs("net", {**ENTRY, "class_count": 4, "class_map": [255, 0, 1, 2]}, DATASET)


def test_one_output_more_than_classes_asks_which_is_none_of_them():
    text = said(class_count=4)
    assert "[0, 1, 2, 255] if it is the last one, [255, 0, 1, 2] if it is the first (background)" in text


def test_other_numbers_of_outputs_ask_for_a_class_map():
    assert said(class_count=5).startswith("model_catalogue.net.class_count: 5, but 'mine' has 3 classes; give")


def test_image_sizes_count_even_where_the_labels_were_refused():
    refused = {**DATASET, "status": "refused", "classes": []}
    check_inputs("net", ENTRY, refused)
    with pytest.raises(InputError, match="has images of 32×64"):
        check_inputs("net", {**ENTRY, "input": {"height": 64, "width": 64}}, refused)


def test_each_size_of_the_set_has_to_fit_once_it_is_resized():
    dataset = {**DATASET, "sizes": [[64, 128, 2], [100, 130, 3]]}
    check_inputs("net", {**ENTRY, "preprocessing": {"resize": "letterbox"}}, dataset)
    check_inputs("net", {**ENTRY, "preprocessing": {"resize": "none", "window": {}}}, dataset)
    with pytest.raises(InputError) as error:
        check_inputs("net", {**ENTRY, "preprocessing": {"resize": {"kind": "long_side", "size": 64}}}, dataset)
    assert str(error.value) == (
        "model_catalogue.net.input: data set 'mine' has images of 100×130 (height×width), made 49×64 by"
        " preprocessing.resize long_side, for a model of 32×64; set a preprocessing.window that slides over it, the"
        " model's input to that size, or another resize"
    )
