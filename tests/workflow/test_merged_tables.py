"""Tables of several machines in one report, and models shared by Snakemake's between-workflow cache."""

import csv
import shutil

from conftest import Workflow


def other_machines_table(flow, hardware: str) -> None:
    """The flow's own table as if another machine had made it, one of its rows unsupported there."""
    with open(flow.folder / "results/table.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    rows[0] |= {"hardware_id": hardware, "hardware": "Another CPU, 8 cores", "time_s": "0.5"}
    rows[1] |= {"hardware_id": "", "hardware": "", "time_s": "", "status": "unsupported", "reason": "no such thing"}
    with open(flow.folder / "other.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_merged_tables_have_a_section_for_each_hardware(done):
    other_machines_table(done, "0123456789ab")
    shutil.copy(done.folder / "results/table.csv", done.folder / "mine.csv")
    done.snakemake("results/merged.md", "--config", "tables=[mine.csv,other.csv]")
    mine, other, missing = (done.folder / "results/merged.md").read_text().split("\n## ")[1:]
    assert done.rows()[0]["hardware_id"] in mine.splitlines()[0] and "core" in mine.splitlines()[0]
    assert other.startswith("Another CPU, 8 cores (0123456789ab)\n")
    assert ("mine.csv" in mine, "other.csv" in mine, "other.csv" in other, "mine.csv" in other) == (1, 0, 1, 0)
    assert "no such thing" in missing
    with open(done.folder / "results/merged.csv", newline="") as stream:
        assert [row["table"] for row in csv.DictReader(stream)] == ["mine.csv"] * 2 + ["other.csv"] * 2
    printed = done.snakemake("results/merged.md", "--config", "tables=[mine.csv,mine.csv]", fails=True)
    assert "error: mine.csv: made nearest onnxruntime-fp32 on " in printed
    assert "error: tables: none given" in done.snakemake("results/merged.md", fails=True)
    printed = done.snakemake("results/merged.md", "--config", "tables=[gone.csv]", fails=True)
    assert "error: gone.csv: no such file; a table.csv of an earlier run is wanted" in printed


def test_exported_models_are_shared_between_workflows(workflow, tmp_path):
    workflow.config["model_root"] = str(workflow.folder.resolve())  # one file of weights for both
    other = Workflow(tmp_path / "other", workflow.config)
    shutil.copytree(workflow.folder, other.folder)
    (tmp_path / "cache").mkdir()
    command = ("results/models/nearest/model.json", "--cache", "fetch_checkpoint", "export_onnx_model")
    for flow in (workflow, other):
        printed = flow.snakemake(*command, env={"SNAKEMAKE_OUTPUT_CACHE": str(tmp_path / "cache")})
    assert "Moving output file" not in printed and "results/models/nearest/model.onnx from cache" in printed
    assert (other.folder / "results/models/nearest/model.onnx").exists()
    assert other.plan("results/models/nearest/model.json") == {}
