"""The tables say the same as Markdown, CSV, JSON by its schema and LaTeX, and stand beside the published page."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from helpers.report_made import Made
from segbench.table.columns import NAMES
from segbench.table.latex import to_latex
from segbench.table.markdown import page_cells, published_table
from segbench.table.published import compare, read_published
from segbench.table.rows import read_rows

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "config" / "schemas" / "table.schema.json").read_text())
PUBLISHED = ROOT / "resources" / "published" / "paddleseg_v100.csv"


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> Path:
    """The folder with table.csv, .md, .json and .tex of a made run."""
    made = Made(tmp_path_factory.mktemp("made"), models={"first": "PSPNet_ResNet50_OS8", "second": "Mine & {yours}"})
    forms = {"csv": "csv", "markdown": "md", "json": "json", "tex": "tex"}
    outputs = [f"--{form}={made.results}/table.{suffix}" for form, suffix in forms.items()]
    subprocess.run([sys.executable, ROOT / "workflow_scripts" / "table.py", *made.arguments(), *outputs], check=True)
    return made.results


def test_json_follows_its_schema_and_equals_the_csv(tables):
    content = json.loads((tables / "table.json").read_text())
    jsonschema.validate(content, SCHEMA)
    with open(tables / "table.csv", newline="") as stream:
        for row, cells in zip(content["rows"], csv.DictReader(stream), strict=True):
            for name in NAMES:
                told = {None: "", True: "true", False: "false"}.get(row[name], str(row[name]))
                assert cells[name] == told or float(cells[name]) == row[name], name


def test_rows_that_look_alike_name_their_variant(tmp_path):
    made = Made(tmp_path)
    _, cells = page_cells(read_rows(made.results, made.selection))
    assert len({tuple(line[:3]) for line in cells}) == len(cells)
    assert [line[1] for line in cells[:4]] == [
        "-",
        "onnxruntime",
        "openvino (openvino-int8)",
        "openvino (openvino-int8-table)",
    ]


def test_two_native_engines_name_their_variants(tmp_path):
    made = Made(tmp_path)
    rows = read_rows(made.results, made.selection)
    rows[1] |= {"accelerated": False, "precision": rows[0]["precision"]}
    _, cells = page_cells(rows)
    assert [line[1] for line in cells[:2]] == ["- (paddle-fp32)", "- (onnxruntime-fp32)"]


def test_latex_has_escaped_names_and_booktabs_rules(tables):
    text = (tables / "table.tex").read_text()
    assert r"Mine \& \{yours\}" in text
    assert text.count(r"\toprule") == text.count(r"\midrule") == text.count(r"\bottomrule") == 1


def test_latex_of_a_hostile_name_is_text(tmp_path):
    made = Made(tmp_path, models={"m": r"\input{x} 50% $y$ #_^~"})
    line = next(line for line in to_latex(read_rows(made.results, made.selection)).splitlines() if "input" in line)
    assert r"\input" not in line and r"50\%" in line and r"\$y\$" in line


def test_published_page_stands_beside_models_of_its_titles_only(tables):
    text = (tables / "table.md").read_text()
    section = text.split("## Against the published page")[1].split("## ")[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if "PSPNet" in line]
    by_variant = {line[1]: line for line in lines}
    assert by_variant["paddle-fp32"][3:6:2] == ["0.7883", "0.327"]
    int8 = by_variant["openvino-int8"]
    assert int8[3] == "0.7915" and int8[5] == "0.223" and int8[7] == f"{0.327 / 0.223:.2f}"
    assert 9 < float(int8[6]) < 11  # made so: 0.2 s over 0.02 s
    assert "Mine" not in section and "calibrated after training" in section


def test_no_section_where_no_model_is_the_pages(tmp_path):
    made = Made(tmp_path)
    assert published_table(compare(read_rows(made.results, made.selection), read_published(PUBLISHED))) == []


def test_published_rows_are_all_32():
    assert len(read_published(PUBLISHED)) == 32
