"""Time cells carry their precision and their marks; below a table stands what they mean, and what cannot be told."""

import csv
import io

import merge_tables
import pytest
from helpers.report_made import ENTRIES, Made
from segbench.table.cells import adjusted_number, legend, resolution, time_cell
from segbench.table.csv import to_csv
from segbench.table.formats import seconds, significant
from segbench.table.latex import to_latex
from segbench.table.markdown import full_cells, page_cells, page_table
from segbench.table.rows import read_rows


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Rows of a made run with a control; the INT8 row of ONNX Runtime is contended."""
    made = Made(
        tmp_path_factory.mktemp("cells"),
        variants=tuple(ENTRIES),
        rounds=4,
        control=True,
        records={"onnxruntime-int8": {"contended": True}},
    )
    return read_rows(made.results, made.selection)


def timed(rows, time, low, high, **cells):
    """The first row with other figures; the half width is that of the interval's geometric middle."""
    half = (high / low) ** 0.5 - 1 if low else None
    return {**rows[0], "time_s": time, "time_s_low": low, "time_s_high": high, "time_half_width": half, **cells}


@pytest.mark.parametrize(
    ("time", "low", "high", "cell"),
    [
        (0.0279, 0.0268, 0.0290, "0.0279 ±4%"),
        (0.32712, 0.3255, 0.3287, "0.327 ±0.5%"),
        (12.345, 11.9, 12.8, "12.3 ±4%"),
        (0.02792, 0.0236, 0.0330, "0.028 ±18%"),
        (0.0279, 0.0068, 0.151, "0.03 (0.0068–0.15)"),
        (0.0279, None, None, "0.0279 ±?"),
        (0.5, 0.5, 0.5, "0.500 ±0%"),
    ],
)
def test_a_time_has_its_precision_and_no_more_digits_than_that_carries(rows, time, low, high, cell):
    assert str(time_cell(timed(rows, time, low, high), None)) == cell


def test_digits_of_errors_from_10_to_35_are_two():
    halves = (0.0351, 0.036, 0.35, 0.36, 0.1, 0.094)
    shown = ["1.235", "1.23", "1.23", "1.2", "1.23", "1.23"]
    assert [seconds(1.23456, half / 1.23456) for half in halves] == shown
    assert seconds(123.4, 0.5) == "123" and seconds(0.0123) == "0.0123"
    assert [significant(value) for value in (0.0068, 0.151, 1234.5)] == ["0.0068", "0.15", "1234"]


@pytest.mark.parametrize(
    ("cells", "marks"),
    [
        ({"steady": False, "contended": True, "throttled": True}, "uct"),
        ({"repeatable": False}, "r"),
        ({"hardware_id": "there"}, "h"),
        ({"agrees": False}, "a"),
        ({"steady": None, "contended": None, "throttled": None, "repeatable": None, "agrees": None}, ""),
    ],
)
def test_a_letter_stands_for_each_reason_to_distrust_a_row(rows, cells, marks):
    row = timed(rows, 0.0279, 0.0268, 0.0290, **cells)
    assert str(time_cell(row, "0123456789ab")) == f"0.0279 ±4% {marks}".strip()
    assert set(legend([rows[0], row])) == {"±", *marks}


def test_rows_of_several_machines_are_on_none(rows):
    assert time_cell(timed(rows, 0.1, 0.09, 0.11, hardware_id="a;b"), "a;b").marks == "h"


def test_every_time_of_a_run_has_a_precision_and_every_sign_its_meaning(rows):
    text = page_table(rows)
    header, cells = page_cells(rows)
    assert header[-1] == "time(s/img)" and len(header) == 5
    for row, line in zip(rows, cells, strict=True):
        assert ("±" in line[-1] or "(" in line[-1]) == (row["time_s"] is not None)
        assert line[-1].endswith(" c") == (row["variant"] == "onnxruntime-int8")
    assert "c, contended" in text and "a, agreement below its bound" in text and "u, " not in text


def test_full_table_has_fewer_digits_too_and_names_what_has_the_drift_taken_out(rows):
    header, cells = full_cells([timed(rows, 0.0279, 0.0068, 0.151)])
    assert cells[0][header.index("time s")] == "0.03"
    assert "drift taken out s" in header
    adjusted = {"time_adjusted_s": 0.0279, "time_adjusted_s_low": 0.0236, "time_adjusted_s_high": 0.0330}
    assert adjusted_number({**rows[0], **adjusted}) == "0.028"


def test_smallest_difference_is_told_once_with_its_control(rows):
    told = resolution(rows)
    assert page_table(rows).count(told) == 1
    assert told.startswith("Differences in time below ") and "(first/onnxruntime-fp32)" in told
    few = [{**row, "smallest_difference": None} for row in rows]
    assert resolution(few).endswith(
        "fewer than four rounds of the control, first/onnxruntime-fp32, were timed beside these rows."
    )
    assert resolution([{**row, "control": None} for row in few]).endswith("no control was timed beside these rows.")
    assert resolution([{**row, "time_s": None} for row in rows]) == ""
    more = [{**rows[0], "smallest_difference": 0.031}, {**rows[1], "smallest_difference": 0.042}]
    assert "below 3.1% to 4.2%, by their numbers of rounds, cannot" in resolution(more)


def test_latex_has_precisions_footnotes_and_what_cannot_be_told(rows):
    text = to_latex(rows)
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0]
    assert body.count(r"$\pm$") == sum(row["time_s"] is not None for row in rows)
    assert body.count(r"\%\textsuperscript{c} \\") == 2  # one for each model
    notes = text.split(r"\end{tabular}")[1]
    assert r"\textsuperscript{c} contended" in notes and r"\% cannot be told" in notes
    assert text.isascii() and text.count("{") == text.count("}")
    assert all(line.count("&") == 4 for line in body.strip().splitlines())


def test_merged_tables_keep_intervals_flags_and_threads(rows, tmp_path):
    mine, other = tmp_path / "mine.csv", tmp_path / "other.csv"
    mine.write_text(to_csv([{**row, "threads": 2} for row in rows]))
    other.write_text(to_csv([{**rows[0], "hardware_id": "there", "time_half_width": 0.6, "threads": 8}]))
    here, there, _ = merge_tables.to_markdown(merge_tables.merge([mine, other])).split("\n## ")[1:]
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in here.splitlines() if line.startswith("| made")
    ]
    assert all("±" in line[5] and line[6] == "2" for line in lines)
    assert [line[5].endswith(" c") for line in lines if line[2] == "onnxruntime-int8"] == [True, True]
    assert "c, contended" in here and f"{mine}: Differences in time below" in here
    assert "(0." in there and "±" not in there.splitlines()[4] and " 8 " in there
    merged = list(csv.DictReader(io.StringIO(merge_tables.to_csv([mine, other]))))
    assert merged[0]["time_half_width"] == repr(rows[0]["time_half_width"]) and merged[0]["threads"] == "2"
