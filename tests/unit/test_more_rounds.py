"""Rows with wide intervals get more rounds, the widest first, within a budget."""

import pytest
from segbench.timing.intervals import deviation_of_rounds, half_width
from segbench.timing.more_rounds import Row, further_rounds

NARROW, WIDE, WIDER = [1.0, 1.001, 1.002], [1.0, 1.05, 1.1], [1.0, 1.3, 1.6]


def test_narrow_rows_and_rows_of_two_rounds_get_none():
    rows = {"narrow": Row(NARROW, 1.0), "two": Row(WIDER[:2], 1.0)}
    assert further_rounds(rows, 0.05, 20, 1000) == {}


def test_a_row_gets_as_many_rounds_as_its_target_is_expected_to_need():
    more = further_rounds({"wide": Row(WIDE, 1.0)}, 0.05, 50, 1000)["wide"]
    spread = deviation_of_rounds(WIDE)
    assert half_width(spread, 3 + more) <= 0.05 < half_width(spread, 3 + more - 1)


def test_no_row_gets_more_than_max_rounds():
    assert further_rounds({"wider": Row(WIDER, 1.0)}, 0.05, 7, 1000) == {"wider": 4}
    assert further_rounds({"wider": Row(WIDER, 1.0)}, 0.05, 2, 1000) == {}


def test_the_widest_row_is_served_first():
    assert further_rounds({"wide": Row(WIDE, 1.0), "wider": Row(WIDER, 1.0)}, 0.05, 20, 1.5) == {"wider": 1}


def test_the_budget_is_kept_and_what_is_left_goes_to_rows_that_fit():
    rows = {"slow": Row(WIDER, 10.0), "fast": Row(WIDE, 1.0)}
    assert further_rounds(rows, 0.01, 100, 5.0) == {"fast": 5}
    found = further_rounds(rows, 0.01, 100, 25.0)
    assert sum(rows[name].round_s * count for name, count in found.items()) <= 25


@pytest.mark.parametrize("budget", [0, 0.5])
def test_without_a_budget_nothing_is_added(budget):
    assert further_rounds({"wider": Row(WIDER, 1.0)}, 0.05, 20, budget) == {}


def test_the_first_round_of_a_block_takes_the_control_with_it():
    rows = {name: Row(WIDER, 1.0, "gcnet") for name in ("a", "b")} | {"c": Row(WIDE, 1.0, "unet")}
    assert further_rounds(rows, 0.05, 4, 3.9, control_s=2.0) == {"a": 1}
    assert further_rounds(rows, 0.05, 4, 4.0, control_s=2.0) == {"a": 1, "b": 1}
    assert further_rounds(rows, 0.05, 4, 7.0, control_s=2.0) == {"a": 1, "b": 1, "c": 1}
