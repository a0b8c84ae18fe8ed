"""What any job raises is a reason in the table: the other rows stand, and the run's exit status says it."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
from conftest import Workflow, copy_workflow, small_config
from helpers.huggingface_made import make_folder
from helpers.made import make_folder_dataset, make_onnx_model

# By script: the function that goes wrong, and for which call.
PLANTED = {
    "calibrate": ("calibrate", "args[0]['calibrator']['name'] == 'bad_calibrate'"),
    "choose_layers": ("choose", "'bad_choose_layers' in args[0]['table']"),
    "build_engine": ("build", "args[0]['variant']['name'] == 'bad_build_engine'"),
    "infer": ("infer", "args[0]['variant']['name'] == 'bad_infer'"),
    "time_round": ("time_round", "args[0]['variant']['name'] == 'bad_time_round'"),
    "score": ("score_run", "'bad_score' in str(args[0].out)"),
    "picture": ("draw", "True"),
}
CALIBRATED = ("calibrate", "choose_layers")
# The same of a job that prepares a model, as long as the file `planted` is there: test_bugs_become_reasons.py has all.
OF_MODELS = {"export_onnx_model": ("export", "args[0] == 'bad_export' and Path('planted').exists()")}


def plant(flow: Workflow, script: str) -> None:
    """Make a function of a script divide by zero."""
    path = flow.folder / f"workflow_scripts/{script}.py"
    function, condition = {**PLANTED, **OF_MODELS}[script]
    wrapped = f"_{function} = {function}\ndef {function}(*args):\n    if {condition}:\n        1 / 0\n"
    wrapped += f"    return _{function}(*args)\n\n\n"
    head, guard, tail = path.read_text().rpartition('if __name__ == "__main__":')
    path.write_text(head + wrapped + guard + tail)


def told(printed: str) -> list[str]:
    """The lines of the last job."""
    return [*dict.fromkeys(re.findall(r"^error: ((?:refused|bug): .*)$", printed, re.M))]  # a failed log is shown again


@pytest.fixture(scope="module")
def buggy(tmp_path_factory):
    """A run of one model whose variants each meet a bug in another job; and what Snakemake printed."""
    folder = copy_workflow(tmp_path_factory.mktemp("buggy") / "work flow")
    flow = Workflow(folder, small_config(folder))
    make_folder_dataset(folder / "street scenes", count=3, seed=1, split="train")
    train = {"images": "train/*.png", "labels": "train labels/*.png"}
    flow.config["dataset_catalogue"]["made"]["splits"]["train"] = train
    flow.config["calibration"] = {"images": 2, "judging_images": 1}
    names = {script: f"bad_{script}" for script in PLANTED if script != "picture"}
    flow.config["calibrator_catalogue"] = {
        names[script]: {"library": "onnxruntime", "options": {"method": "minmax"}} for script in CALIBRATED
    }
    flow.config["variant_catalogue"] = {
        name: {"engine": "onnxruntime", "precision": "int8", "calibrator": name}
        if script in CALIBRATED
        else {"engine": "onnxruntime", "precision": "fp32"}
        for script, name in names.items()
    }
    flow.config |= {"variants": ["onnxruntime-fp32", *names.values()], "rounds": 1}
    for script in PLANTED:
        plant(flow, script)
    return flow, flow.snakemake(fails=True)


def test_bug_costs_its_own_row_and_no_other(buggy):
    flow, _ = buggy
    rows = {row["variant"]: row for row in flow.rows()}
    assert (flow.folder / "results/report.html").exists()
    assert rows["onnxruntime-fp32"]["status"] == "ok" and float(rows["onnxruntime-fp32"]["miou"]) > 0.5
    for script in set(PLANTED) - {"score", "picture"}:
        row = rows[f"bad_{script}"]
        assert row["status"] == "bug" and "ZeroDivisionError: division by zero" in row["reason"], (script, row)
        assert row["time_s"] == row["miou"] == ""
    unscored = rows["bad_score"]
    assert unscored["status"] == "ok" and float(unscored["time_s"]) > 0 and unscored["miou"] == ""
    assert "not scored: a bug in SegBench: ZeroDivisionError" in unscored["warnings"]


def test_last_job_tells_each_bug(buggy):
    flow, printed = buggy
    assert len(told(printed)) >= 1 and all("ZeroDivisionError" in line for line in told(printed))
    assert not (flow.folder / "results/faults.json").exists()


def test_next_run_tries_again_and_nothing_else(buggy):
    flow, _ = buggy
    unbuilt = {"bad_calibrate", "bad_choose_layers", "bad_build_engine"}
    planned = flow.plan()
    assert planned.variants("infer") == {*unbuilt, "bad_infer"}
    assert planned.variants("time_round") == {*unbuilt, "bad_time_round"}
    assert "bad_score" in planned.variants("score") and "onnxruntime-fp32" not in planned.variants("score")


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """A run of models of which one is good, by the table's name alone."""
    folder = copy_workflow(tmp_path_factory.mktemp("refused") / "work flow")
    flow = Workflow(folder, small_config(folder))
    good = flow.config["model_catalogue"]["nearest"]
    make_onnx_model(folder / "small.onnx", height=16, width=32)
    flow.config["model_catalogue"] |= {
        "gone": {**good, "weights": {"path": "gone.onnx"}},
        "channels": {**good, "class_count": 7},
        "small": {**good, "weights": {"path": "small.onnx"}, "input": {"height": 16, "width": 32}},
        "bad_export": good,
        "folder": {"kind": "huggingface", "folder": "saved", "input": {"height": 32, "width": 64}},
    }
    labels = {str(number): f"class {number}" for number in range(4)}
    make_folder(folder / "saved", {"id2label": labels}, {"size": {"height": 32, "width": 64}})
    for script in OF_MODELS:
        plant(flow, script)
    (folder / "planted").touch()
    flow.config |= {"models": ["nearest", *REASONS], "variants": ["onnxruntime-fp32"], "rounds": 1}
    flow.snakemake("results/table.md")
    return flow


REASONS = {
    "gone": "weights.path: gone.onnx: no such file; a relative path starts from model_root",
    "channels": "model_catalogue.channels.class_count: 7, but output 'logits'",
    "folder": "model_catalogue.folder.kind: huggingface: torch is not installed here; run `make env-torch`",
    "small": "model_catalogue.small.input: data set 'made' has images of 32×64 (height×width) for a model of 16×32;",
    "bad_export": "a bug in SegBench: ZeroDivisionError: division by zero",
}


def test_refused_model_costs_its_own_rows(refused):
    rows = {row["model"]: row for row in refused.rows()}
    assert rows["nearest"]["status"] == "ok" and float(rows["nearest"]["miou"]) > 0.5
    for model, reason in REASONS.items():
        assert rows[model]["status"] == ("bug" if "bad" in model else "refused")
        assert rows[model]["reason"].startswith(reason)
        assert reason in (refused.folder / "results/table.md").read_text()


def test_whole_run_ends_with_a_line_for_each_refused_model(refused):
    printed = refused.snakemake(fails=True)
    assert {line.split(": ", 1)[1][:40] for line in told(printed)} == {reason[:40] for reason in REASONS.values()}
    assert (refused.folder / "results/report.html").exists()
    assert refused.rows()[0]["status"] == "ok"


def test_models_that_were_put_right_run(refused):
    (refused.folder / "planted").unlink()
    make_onnx_model(refused.folder / "gone.onnx")
    refused.config["model_catalogue"]["channels"]["class_count"] = 4
    refused.config["model_catalogue"]["small"]["preprocessing"] = {"resize": "stretch"}
    refused.config["models"].remove("folder")  # it needs another environment
    refused.snakemake("results/table.csv")
    assert {row["status"] for row in refused.rows()} == {"ok"}
    assert refused.plan("results/table.csv") == {}


def test_bad_label_costs_the_score_and_no_time_and_a_corrected_one_scores_again(done):
    before = done.rows()
    label = done.folder / "street scenes/labels/scene 01.png"
    cv2.imwrite(str(label), np.full((32, 64), 77, np.uint8))
    printed = done.snakemake(fails=True)
    reason = f"{label.relative_to(done.folder)}: label ids [77] are no classes"
    for row, old in zip(done.rows(), before, strict=True):
        assert (row["status"], row["time_s"], row["miou"]) == ("ok", old["time_s"], "") and reason in row["warnings"]
    assert [line for line in told(printed) if reason in line]
    cv2.imwrite(str(label), np.full((32, 64), 1, np.uint8))
    done.snakemake("results/table.csv")
    for row, old in zip(done.rows(), before, strict=True):
        assert row["time_s"] == old["time_s"] and 0 < float(row["miou"]) < float(old["miou"])
    assert done.plan("results/table.csv") == {}
