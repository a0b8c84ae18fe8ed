"""What class maps are compared with: a chosen variant, an untimed run, a file made elsewhere, or nothing."""

import shutil

import pytest


def agreement(flow) -> dict[str, tuple[str, str]]:
    return {row["variant"]: (row["reference"], row["pixel_agreement"]) for row in flow.rows()}


def test_reference_that_is_no_row_runs_once_untimed(done):
    done.config["variants"] = ["openvino-fp32"]
    done.config["reference"] = "onnxruntime-fp32"
    done.config["agreement_images"] = 2
    planned = {"infer_reference": 1, "plan_rounds": 1, "picture": 1, "report": 1, "score": 1, "table": 1}
    assert done.plan() == {**planned, "find_preprocessing": 1}
    done.snakemake("results/table.csv")
    assert agreement(done) == {"openvino-fp32": ("onnxruntime-fp32", "1.0")}
    folder = done.folder / "results/references/made/nearest/onnxruntime-fp32"
    assert (folder / "predictions.zip").exists() and not (folder / "untimed.csv").exists()
    assert done.plan("results/table.csv") == {}


def test_stored_reference_is_read_from_its_file(done):
    run = done.folder / "results/predictions/made/nearest/onnxruntime-fp32/0/predictions.zip"
    shutil.copy(run, done.folder / "nearest made elsewhere.zip")
    done.config["variants"] = ["openvino-fp32"]
    done.config["reference"] = "{model} made elsewhere.zip"
    done.snakemake("results/table.csv")
    assert agreement(done) == {"openvino-fp32": ("nearest made elsewhere.zip", "1.0")}


def test_stored_reference_that_is_missing_is_told_and_old_scores_are_not_shown(done):
    done.config["reference"] = "elsewhere.zip"
    assert done.plan() == {"report": 1, "score": 2, "find_preprocessing": 1, "table": 1}
    printed = done.snakemake(fails=True)
    assert "error: elsewhere.zip: no such file (config key reference)" in printed


def test_reference_that_could_not_run_leaves_the_cell_empty_with_its_reason(done):
    done.config["variants"] = ["openvino-fp32"]
    done.config["reference"] = "paddle-fp32"
    done.snakemake("results/table.csv")
    (row,) = done.rows()
    assert row["status"] == "ok" and float(row["miou"]) > 0.5
    assert row["pixel_agreement"] == ""
    assert row["warnings"] == (
        "agreement not known: paddle-fp32: unsupported: this model is an ONNX file; Paddle engines need a Paddle"
        " inference model"
    )


@pytest.mark.parametrize("rows", [4, 0])
def test_variant_that_computes_something_else_is_warned_of(done, rows):
    """A planted engine that answers another class in the first `rows` rows of pixels: fast, and wrong."""
    source = (done.folder / "workflow_scripts/segbench/engines/onnxruntime.py").read_text()
    right = "        return without_batch(self._binding.copy_outputs_to_cpu()[0])"
    assert right in source
    source = source.replace(
        right,
        f"""\
        found = without_batch(self._binding.copy_outputs_to_cpu()[0])
        found[:{rows}] = (found[:{rows}] + 1) % 4
        return found""",
    )
    (done.folder / "workflow_scripts/segbench/engines/wrong.py").write_text(source)
    done.config["variant_catalogue"] = {"wrong-fp32": {"engine": "wrong", "precision": "fp32"}}
    done.config["variants"] = ["onnxruntime-fp32", "wrong-fp32"]
    done.snakemake("results/table.csv")
    wrong = done.rows()[1]
    assert float(wrong["pixel_agreement"]) == 1 - rows / 32
    first, _, of_classes = wrong["warnings"].partition("; ")
    where = ": snakemake results/diverge/made/nearest/wrong-fp32.md says at which layer"
    assert first == (f"agrees with onnxruntime-fp32 on only 0.8750 of pixels (bound 0.9995){where}" if rows else "")
    assert of_classes.startswith("agrees with onnxruntime-fp32 by a mean class IoU of only" if rows else "")
