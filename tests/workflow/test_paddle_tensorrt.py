"""Rows of Paddle-TensorRT without a GPU: they say so through all stages, and a change replans what it touches only."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_paddle_model import SMALL

VARIANTS = ["paddle_tensorrt-fp16", "paddle_tensorrt-int8"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of the native CPU reference and two TensorRT rows; nothing else of the machine is asked."""
    from conftest import Workflow, copy_workflow, small_config

    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has an NVIDIA GPU")
    folder = copy_workflow(tmp_path_factory.mktemp("tensorrt") / "work flow")
    flow = Workflow(folder, small_config(folder))
    flow.config |= {"models": ["small"], "variants": ["paddle-fp32", *VARIANTS], "rounds": 1}
    flow.config["model_catalogue"] = {"small": SMALL}
    flow.config["dataset_catalogue"]["made"]["splits"]["train"] = {"images": "train/*.png", "labels": "labels/*.png"}
    flow.config["calibration"] = {"images": 2, "judging_images": 1}
    flow.snakemake()
    return flow


def test_rows_say_what_is_missing_and_the_others_stand(run):
    native, *tensorrt = run.rows()
    assert native["status"] == "ok"
    for row in tensorrt:
        assert row["status"] == "unsupported"
        assert row["reason"] == "package paddlepaddle-gpu is not installed (pinned in envs/gpu.yaml)"
        assert row["trt_subgraphs"] == row["trt_fallback"] == row["time_s"] == row["peak_gpu_bytes"] == ""
    results = run.folder / "results"
    assert (results / "models/small/shape_range_info.pbtxt").read_bytes() == b""
    assert not [path for path in (results / "calibration/made/small/paddle_tensorrt/tables").iterdir()
                if not path.name.startswith(".snakemake")]  # fmt: skip
    assert run.plan() == {}


def planned(run, **changes) -> tuple[dict[str, int], set[str]]:
    """Jobs by rule after a change of configuration, and the variants whose engines would be built; then it is undone."""
    before = dict(run.config)
    run.config |= changes
    try:
        return run.plan(), run.planned_variants("engine")
    finally:
        run.config = before


def test_another_workspace_rebuilds_int8_and_calibrates_nothing(run):
    jobs, engines = planned(run, variant_catalogue={"paddle_tensorrt-int8": {"build": {"workspace_mb": 512}}})
    assert engines == {"paddle_tensorrt-int8"}
    assert {"engine", "infer", "score"} <= jobs.keys()
    assert not jobs.keys() & {"tensorrt_tables", "shape_ranges", "calibration_images", "export_paddle"}


def test_another_calibration_list_reruns_int8_only(run):
    jobs, engines = planned(run, calibration={"images": 2, "judging_images": 1, "seed": 7})
    assert engines == {"paddle_tensorrt-int8"}
    assert jobs["calibration_images"] == jobs["tensorrt_tables"] == jobs["engine"] == jobs["infer"] == 1
    assert "shape_ranges" not in jobs


def test_another_subgraph_size_must_be_the_calibrations_too(run):
    build = {"paddle_tensorrt-int8": {"build": {"min_subgraph_size": 50}}}
    before = dict(run.config)
    run.config |= {"variant_catalogue": build}
    try:
        said = run.snakemake("--dry-run", fails=True)
    finally:
        run.config = before
    assert (
        "overlay.yaml: variant_catalogue.paddle_tensorrt-int8.build: calibrator 'paddle_tensorrt':"
        " its min_subgraph_size is 3, the variant's build has 50; they have to be equal" in said
    )


def test_environment_made_by_make_is_the_engines_interpreter(run):
    """Nobody has to name it; another engine keeps Snakemake's own."""
    fake = run.folder / ".venv-gpu" / "bin" / "python"
    fake.parent.mkdir(parents=True)
    fake.write_text("#!/bin/sh\n")
    try:
        printed = run.snakemake("--dry-run", "--printshellcmds", "--forcerun", "engine", "shape_ranges")
    finally:
        fake.unlink()
    commands = [line.strip() for line in printed.splitlines() if "workflow_scripts/build_engine.py" in line]
    assert sorted(line.split()[0] for line in commands) == [".venv-gpu/bin/python"] * 2 + ["python"]
    assert ".venv-gpu/bin/python workflow_scripts/collect_shapes.py" in printed
