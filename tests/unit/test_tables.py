"""The tables say the same as Markdown, CSV, JSON by its schema and LaTeX, and stand beside the published page."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from helpers.report_made import Made
from segbench.errors import InputError
from segbench.table.columns import NAMES
from segbench.table.csv import read_table
from segbench.table.latex import to_latex
from segbench.table.markdown import page_cells, published_table
from segbench.table.published import compare, read_published
from segbench.table.rows import read_rows

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "config" / "schemas" / "table.schema.json").read_text())
PUBLISHED = sorted((ROOT / "resources" / "published").glob("*.csv"))


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
                if isinstance(row[name], dict):
                    assert json.loads(cells[name]) == row[name], name
                    continue
                told = {None: "", True: "true", False: "false"}.get(row[name], str(row[name]))
                assert cells[name] == told or float(cells[name]) == row[name], name


@pytest.mark.parametrize("cell", ["7", "[1]", '{"a": "1"}', '{"a": 1.5}', '{"a": true}', "{", "[" * 100_000])
def test_a_cell_that_is_no_mapping_of_numbers_is_damage(tables, tmp_path, cell):
    rows = list(csv.reader((tables / "table.csv").open(newline="")))
    rows[1][rows[0].index("objects_lost_by_class")] = cell
    with open(tmp_path / "table.csv", "w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    with pytest.raises(InputError, match=r"table\.csv: damaged \("):
        read_table(tmp_path / "table.csv")


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


def test_published_figures_stand_beside_models_of_their_titles_only(tables):
    text = (tables / "table.md").read_text()
    section = text.split("## Against published figures")[1].split("## ")[0]
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


def test_every_published_figure_is_there_once_with_its_source():
    readmes, page = (list(csv.DictReader(path.read_text().splitlines())) for path in PUBLISHED)
    assert (len(page), len(readmes)) == (32, 152)
    assert len({row["configuration"] for row in readmes}) == 152
    assert sum(row["dataset"] == "cityscapes" for row in readmes) == 90
    figures = read_published(PUBLISHED)
    assert len(figures) == 32 + 2 * 152  # a README's figure is for native and for accelerated FP32 rows
    assert all(0.3 < figure.miou < 1 for figure in figures.values())
    assert all(row["source"].startswith("PaddlePaddle/PaddleSeg@d7975e7:configs/") for row in readmes)
    same = {"ANN": "ann", "DeepLabV3P": "deeplabv3p", "PSPNet": "pspnet"}  # PaddleSeg prints these in both places
    for title, name in same.items():
        readme = figures[f"{name}_resnet50_os8_cityscapes_1024x512_80k", False, "fp32"]
        assert readme.miou == figures[f"{title}_ResNet50_OS8", False, "fp32"].miou and readme.time_s is None


def test_figure_of_a_readme_stands_beside_every_fp32_row_of_its_configuration(tmp_path):
    name = "pp_liteseg_stdc1_cityscapes_1024x512_scale1.0_160k"
    made = Made(tmp_path, models={"mine": name})
    rows = read_rows(made.results, made.selection)
    compared = compare(rows, read_published(PUBLISHED))
    assert [row.variant for row in compared] == [row["variant"] for row in rows if row["precision"] == "fp32"]
    assert {row.published.miou for row in compared} == {0.7704}
    assert {row.published_speed_up for row in compared} == {None}
    section = "\n".join(published_table(compared))
    assert "cityscapes, whole image: PaddlePaddle/PaddleSeg@d7975e7:configs/pp_liteseg/README.md" in section
    assert "V100" not in section and "of one scale without flips" in section
