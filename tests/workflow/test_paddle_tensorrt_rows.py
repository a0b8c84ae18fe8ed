"""Rows of Paddle-TensorRT without a GPU: they say so through all stages, and a change replans what it touches only."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from conftest import Workflow, copy_workflow, small_config
from helpers.made import make_folder_dataset
from test_paddle_model import SMALL

VARIANTS = ["paddle_tensorrt-fp16", "paddle_tensorrt-int8"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of the native CPU reference and two TensorRT rows; nothing else of the machine is asked."""
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has an NVIDIA GPU")
    folder = copy_workflow(tmp_path_factory.mktemp("tensorrt") / "work flow")
    flow = Workflow(folder, small_config(folder))
    flow.config |= {"models": ["small"], "variants": ["paddle-fp32", *VARIANTS], "rounds": 1}
    flow.config["model_catalogue"] = {"small": SMALL}
    flow.config["dataset_catalogue"]["made"]["splits"]["train"] = {"images": "train/*.png"}
    flow.config["calibration"] = {"images": 2, "judging_images": 1}
    make_folder_dataset(folder / "street scenes", seed=7, split="train")
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


def planned(run, fails: bool = False, **changes) -> str:
    """What a dry run says after a change of configuration, which is undone afterwards."""
    before = dict(run.config)
    run.config |= changes
    try:
        return run.snakemake("--dry-run", fails=fails)
    finally:
        run.config = before


def jobs(said: str) -> Counter[str]:
    """Jobs in a dry run's output, by rule and what they are for."""
    found = re.findall(r"^(?:local)?rule (\w+):(?:\n.*)*?\n    (?:wildcards: (.*)|\n|resources)", said, re.M)
    names = [(rule, re.search(r"variant=([\w.-]+)", wildcards)) for rule, wildcards in found]
    return Counter(f"{rule} {variant.group(1)}" if variant else rule for rule, variant in names)


def test_another_workspace_rebuilds_int8_and_calibrates_nothing(run):
    build = {"paddle_tensorrt-int8": {"build": {"workspace_mb": 512}}}
    found = jobs(planned(run, variant_catalogue=build))
    assert {
        "build_engine paddle_tensorrt-int8",
        "infer paddle_tensorrt-int8",
        "time_round paddle_tensorrt-int8",
        "score paddle_tensorrt-int8",
    } <= found.keys()
    assert not found.keys() & {"calibrate_tensorrt", "collect_shapes", "index_images", "export_paddle"}
    assert not [job for job in found if job.endswith(("-fp16", "-fp32"))]


def test_another_calibration_list_reruns_int8_only(run):
    found = jobs(planned(run, calibration={"images": 2, "judging_images": 1, "seed": 7}))
    assert {"index_images", "calibrate_tensorrt", "build_engine paddle_tensorrt-int8"} <= found.keys()
    assert "infer paddle_tensorrt-int8" in found and "collect_shapes" not in found
    assert not [job for job in found if job.endswith(("-fp16", "-fp32"))]


def test_another_subgraph_size_must_be_the_calibrations_too(run):
    said = planned(run, fails=True, variant_catalogue={"paddle_tensorrt-int8": {"build": {"min_subgraph_size": 50}}})
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
        printed = run.snakemake("--dry-run", "--printshellcmds", "--forcerun", "build_engine", "collect_shapes")
    finally:
        fake.unlink()
    called = re.findall(r'(\S+) workflow_scripts/build_engine.py .*?--variant .*?"name": "([\w-]+)"', printed)
    assert {name: python for python, name in called} == {
        "paddle-fp32": "python",
        "paddle_tensorrt-fp16": ".venv-gpu/bin/python",
        "paddle_tensorrt-int8": ".venv-gpu/bin/python",
    }
    assert ".venv-gpu/bin/python workflow_scripts/collect_shapes.py" in printed
