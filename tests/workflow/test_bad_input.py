"""Wrong input is told in one line, before heavy work, and costs nothing that was computed.

What each job refuses is tested job by job; `test_one_fault_costs_one_row.py` has what becomes of refused models.
"""


def test_configuration_fault_is_one_line_and_no_traceback(workflow):
    workflow.config["timing"]["images_per_roud"] = 3
    printed = workflow.snakemake("--dry-run", fails=True)
    told = [line for line in printed.splitlines() if line.startswith("overlay.yaml: ")]
    assert told == ["overlay.yaml: timing.images_per_roud: unknown key; did you mean 'images_per_round'?"]
    assert "Traceback" not in printed


def test_data_that_are_not_there_are_told_before_an_engine_is_built_and_cost_no_older_result(done):
    done.config["dataset_catalogue"]["other"] = {**done.config["dataset_catalogue"]["made"], "root": "nowhere"}
    done.config["dataset"] = "other"
    printed = done.snakemake(fails=True)
    reason = "dataset_catalogue.other.root: 'nowhere': no such folder; name it: --config dataset_root=PATH"
    assert next(line for line in printed.splitlines() if line.startswith("error: ")).startswith(f"error: {reason}")
    assert printed.index(reason) < printed.index("nearest onnxruntime-fp32 engine: ")
    for row in done.rows():
        assert row["status"] == "refused" and row["reason"].startswith(reason)
        assert row["miou"] == row["time_s"] == ""
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
