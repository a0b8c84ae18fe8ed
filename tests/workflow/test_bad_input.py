"""Wrong input is told in one line, before heavy work, and costs nothing that was computed."""

import cv2
import numpy as np
import pytest
from helpers.made import make_onnx_model


def error_line(printed: str) -> str:
    """The line of a job's output that names the fault."""
    return next(line for line in printed.splitlines() if line.startswith("error: "))


def missing_root(flow):
    flow.config["dataset_catalogue"]["made"]["root"] = "nowhere"
    return "error: dataset_catalogue.made.root: 'nowhere': no such folder; name it: --config dataset_root=PATH"


def empty_split(flow):
    flow.config["dataset_catalogue"]["made"]["splits"]["val"] = {"images": "val/*.jpg"}
    return "error: dataset_catalogue.made.splits.val.images: 'val/*.jpg': no such files below street scenes"


def label_outside_the_classes(flow):
    cv2.imwrite(str(flow.folder / "street scenes/labels/scene 01.png"), np.full((32, 64), 77, np.uint8))
    return "error: 1 fault(s) in split 'val' of data set 'made':"


def missing_weights(flow):
    (flow.folder / "nearest.onnx").unlink()
    return "error: weights.path: nearest.onnx: no such file; a relative path starts from model_root"


def wrong_hash(flow):
    flow.config["model_catalogue"]["nearest"]["weights"]["sha256"] = "0" * 64
    return "error: nearest.onnx: SHA-256 is "


def two_inputs(flow):
    make_onnx_model(flow.folder / "nearest.onnx", inputs=2)
    return "error: results/models/nearest/checkpoint.onnx: has 2 inputs (image, image1)"


def class_count(flow):
    flow.config["model_catalogue"]["nearest"]["class_count"] = 7
    return "error: model_catalogue.nearest.class_count: 7"


@pytest.mark.parametrize(
    "spoil",
    [missing_root, empty_split, label_outside_the_classes, missing_weights, wrong_hash, two_inputs, class_count],
    ids=lambda spoil: spoil.__name__,
)
def test_data_and_model_faults_are_told_before_any_engine_is_built(workflow, spoil):
    """Their rows have the reason. A label's fault costs no time, since its correction then times nothing again."""
    message = spoil(workflow)
    assert workflow.plan()["build_engine"] == 2  # planning needs no data
    workflow.config |= {"variants": ["onnxruntime-fp32"], "rounds": 1}
    printed = workflow.snakemake(fails=True)
    assert error_line(printed).startswith(message), printed[-3000:]
    assert printed.index(message) < printed.index("nearest onnxruntime-fp32 engine: ")
    (row,) = workflow.rows()
    said = message.removeprefix("error: ")
    assert row["miou"] == "" and said in row["reason"] + row["warnings"]
    assert row["status"] == ("ok" if spoil is label_outside_the_classes else "refused")
    assert (row["time_s"] != "") == (spoil is label_outside_the_classes)


def test_configuration_fault_is_one_line_and_no_traceback(workflow):
    workflow.config["timing"]["images_per_roud"] = 3
    printed = workflow.snakemake("--dry-run", fails=True)
    told = [line for line in printed.splitlines() if line.startswith("overlay.yaml: ")]
    assert told == ["overlay.yaml: timing.images_per_roud: unknown key; did you mean 'images_per_round'?"]
    assert "Traceback" not in printed


def test_results_survive_a_fault_in_a_later_run(done):
    done.config["dataset_catalogue"]["other"] = {**done.config["dataset_catalogue"]["made"], "root": "nowhere"}
    done.config["dataset"] = "other"
    done.snakemake(fails=True)
    assert {row["status"] for row in done.rows()} == {"refused"}
    done.config["dataset"] = "made"
    assert set(done.plan()) <= {"plan_rounds", "table", "report", "tell_faults"}


def test_shell_words_in_paths_and_names_are_only_text(workflow):
    """A folder, a picture, a weights file and classes that a shell would run, through every job."""
    words = "$(touch pwned) `touch pwned`; touch pwned & 'a\""
    (workflow.folder / "street scenes").rename(workflow.folder / words)
    for kind in ("val", "labels"):
        (workflow.folder / words / kind / "scene 01.png").rename(workflow.folder / words / kind / f"-rf {words}.png")
    (workflow.folder / "nearest.onnx").rename(workflow.folder / f"--help {words}.onnx")
    workflow.config["dataset_catalogue"]["made"] |= {
        "root": words,
        "classes": ["red", words, "green\ntouch pwned", "grey"],
    }
    workflow.config["model_catalogue"]["nearest"]["weights"]["path"] = f"--help {words}.onnx"
    workflow.config |= {"variants": ["onnxruntime-fp32"], "rounds": 1}
    workflow.snakemake()
    assert [row["status"] for row in workflow.rows()] == ["ok"]
    assert list(workflow.folder.parent.rglob("pwned")) == []
