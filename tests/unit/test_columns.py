"""A column is declared once: everything that shows it follows from its entry, and what is generated is current."""

import csv
import json
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import pytest
from helpers.report_made import Made
from segbench.table.columns import COLUMNS, NAMES, SENTENCES, SHOWN
from segbench.table.csv import read_table, to_csv
from segbench.table.row import Row
from segbench.table.rows import read_rows

ROOT = Path(__file__).parents[2]
# Names that programs read: a column may be added, none of these renamed, dropped or moved.
STABLE = (
    "dataset", "model", "title", "variant", "engine", "device", "accelerated", "precision", "status", "reason",
    "miou", "miou_delta", "pixel_agreement", "reference", "time_s", "time_s_low", "time_s_high", "interval_method",
    "round_medians_s", "end_to_end_s", "p90_s", "p99_s", "n", "rounds", "steady", "contended", "throttled",
    "repeatable", "warnings", "build_s", "engine_bytes", "trt_subgraphs", "trt_share", "trt_fallback", "fp32_layers",
    "calibrator", "calibration_s", "calibration_rss_bytes", "calibration_drop",
    "calibration_drop_high", "peak_rss_bytes", "peak_gpu_bytes",
    "hardware_id", "hardware",
)  # fmt: skip
SLOWEST = """    Column(
        "slowest_s", SECONDS, "The largest `compute_s` of all rounds.",
        lambda s: max(s.pooled, default=None), "slowest s", formats.seconds,
    ),
"""


def test_columns_that_programs_read_keep_their_names_and_their_order():
    assert tuple(name for name in NAMES if name in STABLE) == STABLE


def test_no_two_columns_have_one_name_or_one_heading():
    headings = [column.heading for column in SHOWN]
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
    assert len(set(headings)) == len(headings)


def test_cells_that_code_asks_for_by_name_are_columns_of_that_type():
    kinds = {column.name: column.kind for column in COLUMNS}
    words = {str: "string", bool: "boolean", int: "integer"}
    for name, hint in typing.get_type_hints(Row).items():
        told = kinds[name].schema.get("type", "string")
        optional = typing.get_args(hint)
        if hint is typing.Any:
            assert told[1] == "null", name
        else:
            assert told == ([words[optional[0]], "null"] if optional else words[hint]), name


def test_sentences_stand_last_where_a_person_reads():
    assert [column.kind is SENTENCES for column in SHOWN].index(True) == len(SHOWN) - 1


def test_table_is_read_back_as_it_was_written(tmp_path):
    made = Made(tmp_path)
    rows = read_rows(made.results, made.selection)
    (tmp_path / "table.csv").write_text(to_csv(rows))
    assert read_table(tmp_path / "table.csv") == [{name: row[name] for name in NAMES} for row in rows]


def test_scores_that_were_computed_are_shown(tmp_path):
    made = Made(tmp_path)
    ran, *_, failed = read_rows(made.results, made.selection)[:5]
    cells = {column.heading: column.shown(ran) for column in SHOWN}
    assert (cells["pixel accuracy"], cells["class accuracy"]) == ("0.7500", "0.7000")
    assert failed["status"] == "unsupported" and failed["pixel_accuracy"] is None


@pytest.fixture(scope="module")
def with_a_column(tmp_path_factory) -> Path:
    """A copy of the tree with one more entry in columns.py; the documents and a made run's tables are made in it."""
    copy = tmp_path_factory.mktemp("copy")
    for folder in ("workflow_scripts", "config", "docs", "resources/published", "report", "tools"):
        shutil.copytree(ROOT / folder, copy / folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    columns = copy / "workflow_scripts/segbench/table/columns.py"
    before, after = columns.read_text().split('    Column(\n        "end_to_end_s"')
    columns.write_text(f'{before}{SLOWEST}    Column(\n        "end_to_end_s"{after}')
    made = Made(tmp_path_factory.mktemp("made"))
    tables = [
        f"--{form}={copy}/table.{suffix}" for form, suffix in (("csv", "csv"), ("markdown", "md"), ("tex", "tex"))
    ]
    report = [f"--html={copy}/report.html", f"--plots={copy}/plots", f"--settings={json.dumps(made.settings)}"]
    for script, *arguments in (
        ["../tools/document.py"],
        ["table.py", *made.arguments(), *tables, f"--json={copy}/table.json"],
        ["report.py", *made.arguments(), *report],
    ):
        subprocess.run([sys.executable, f"workflow_scripts/{script}", *arguments], cwd=copy, check=True)
    return copy


def test_new_column_is_in_the_table_of_programs(with_a_column):
    with open(with_a_column / "table.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    header = list(rows[0])
    assert header[header.index("slowest_s") + 1] == "end_to_end_s"
    assert all(float(row["slowest_s"]) >= float(row["time_s"]) for row in rows if row["status"] == "ok")
    assert {row["slowest_s"] for row in rows if row["status"] != "ok"} == {""}


def test_new_column_is_in_the_schema_and_in_the_docs(with_a_column):
    schema = json.loads((with_a_column / "config/schemas/table.schema.json").read_text())["properties"]["rows"]["items"]
    assert "slowest_s" in schema["required"]
    assert schema["properties"]["slowest_s"] == {
        "type": ["number", "null"],
        "minimum": 0,
        "description": "The largest `compute_s` of all rounds.",
    }
    told = (with_a_column / "docs/use/table.md").read_text()
    assert "| `slowest_s` | seconds | The largest `compute_s` of all rounds. |" in told
    assert told.startswith("# ") and "## What is timed" in told  # the prose around it stays


def test_new_column_is_in_the_full_table_and_in_the_report(with_a_column):
    text = (with_a_column / "table.md").read_text()
    page, full = text.split("## Full table")
    assert "slowest s" in full.splitlines()[2]
    assert "slowest" not in page
    assert '<th scope="col">slowest s</th>' in (with_a_column / "report.html").read_text()
