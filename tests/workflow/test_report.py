"""The report as the workflow leaves it: with every run, alone when only it changes, and in Snakemake's own report."""

import json

import jsonschema
from segbench.report import PLOTS


def test_run_leaves_report_plots_and_tables(finished):
    results = finished.folder / "results"
    text = (results / "report.html").read_text()
    assert "nearest · openvino-fp32" in text and "snakemake --configfile overlay.yaml" in text
    assert str(finished.folder) not in text
    for plot in PLOTS:
        assert (results / "plots" / f"{plot}.svg").read_text().startswith("<svg")
        assert (results / "plots" / f"{plot}.png").read_bytes().startswith(b"\x89PNG")
    schema = json.loads((finished.folder / "config/schemas/table.schema.json").read_text())
    jsonschema.validate(json.loads((results / "table.json").read_text()), schema)
    assert "tabular" in (results / "table.tex").read_text()


def test_changed_style_makes_the_report_only(done):
    with open(done.folder / "workflow_scripts/segbench/report/templates/report.css", "a") as stream:
        stream.write("\n/* changed */\n")
    assert done.plan() == {"report": 1}


def test_snakemakes_own_report_has_everything_with_captions(done):
    done.snakemake("--report", "all.html")
    text = (done.folder / "all.html").read_text()
    for part in ("report.html", "table.csv", "openvino-fp32", *(f"{plot}.svg" for plot in PLOTS)):
        assert part in text, part
    for caption in (done.folder / "report").glob("*.rst"):
        words = caption.read_text().split()
        assert " ".join(words[:3]) in " ".join(text.split()), caption.name


def test_braces_in_a_title_are_text(done):
    done.config["model_catalogue"]["nearest"]["title"] = "{model} of {mine}"
    assert done.plan() == {"report": 1, "table": 1}
    done.snakemake()
    assert "{model} of {mine}" in (done.folder / "results/table.md").read_text()
    assert "{model} of {mine}" in (done.folder / "results/report.html").read_text()
