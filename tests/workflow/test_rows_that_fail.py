"""One row never costs the others theirs: crashes, limits and missing packages become reasons, and the table stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLANTED = '''"""An engine that goes wrong as its option says."""

import ctypes
import time
from dataclasses import dataclass

from segbench.engines.base import Engine


@dataclass(frozen=True)
class RunOptions:
    how: str = "segfault"


class Planted(Engine):
    reads = ("onnx",)
    run_options = RunOptions

    def build(self, model, table, variant, options, out):
        out.mkdir(parents=True)
        (out / "engine.bin").write_text("x")
        return {}

    def open(self, engine, variant, options, threads):
        return PlantedSession(options.how)


class PlantedSession:
    def __init__(self, how):
        self.how = how

    def upload(self, image):
        pass

    def execute(self):
        print("calling the kernel", flush=True)
        if self.how == "segfault":
            ctypes.string_at(0)
        if self.how == "memory":
            hold = [bytearray(b"x" * 100_000_000) for _ in range(100)]
        time.sleep(600)

    def synchronize(self):
        pass

    def download(self):
        raise AssertionError


ENGINE = Planted()
'''
MISSING = '''"""An engine whose package nobody has."""

from segbench.engines.onnxruntime import ONNXRuntime


class Missing(ONNXRuntime):
    packages = ("no-such-package",)


ENGINE = Missing()
'''


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run with an engine that works and four that do not."""
    from conftest import Workflow, copy_workflow, small_config

    folder = copy_workflow(tmp_path_factory.mktemp("faulty") / "work flow")
    flow = Workflow(folder, small_config(folder))
    engines = folder / "workflow_scripts/segbench/engines"
    (engines / "planted.py").write_text(PLANTED)
    (engines / "missing.py").write_text(MISSING)
    hows = ("segfault", "memory", "hang")
    flow.config["variant_catalogue"] = {
        how: {"engine": "planted", "precision": "fp32", "run": {"how": how}} for how in hows
    }
    flow.config["variant_catalogue"]["missing"] = {"engine": "missing", "precision": "fp32"}
    flow.config["variants"] = ["onnxruntime-fp32", *hows, "missing", "paddle-fp32", "paddle_gpu-fp32"]
    flow.config["rounds"] = 1
    flow.config["limits"] = {"memory_mb": 900, "stall_s": 10}
    flow.snakemake("results/table.md")
    return flow


def row(flow, variant: str) -> dict[str, str]:
    return next(row for row in flow.rows() if row["variant"] == variant)


def test_the_others_stand(run):
    good = row(run, "onnxruntime-fp32")
    assert good["status"] == "ok" and good["reason"] == ""
    assert float(good["miou"]) > 0.5 and float(good["time_s"]) > 0


@pytest.mark.parametrize(
    ("variant", "status", "reason"),
    [
        ("segfault", "failed", "crashed by SIGSEGV while running; last log lines: calling the kernel"),
        ("hang", "failed", "hung: no progress for 10 s while running (limits.stall_s)"),
        ("missing", "unsupported", "package no-such-package is not installed (pinned in envs/cpu.yaml)"),
        ("paddle-fp32", "unsupported", "this model is an ONNX file; Paddle engines need a Paddle inference model"),
    ],
)
def test_reason_is_kept(run, variant, status, reason):
    found = row(run, variant)
    assert (found["status"], found["reason"]) == (status, reason)
    assert found["miou"] == found["time_s"] == found["pixel_agreement"] == ""
    assert reason.split(" (")[0] in (run.folder / "results/table.md").read_text()


def test_memory_limit_is_the_reason(run):
    found = row(run, "memory")
    assert found["status"] == "failed"
    assert found["reason"].startswith("out of memory while running: used ")
    assert found["reason"].endswith("limit 900 MiB (limits.memory_mb)")


def test_gpu_row_is_unsupported_without_a_gpu(run):
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has an NVIDIA GPU")
    assert row(run, "paddle_gpu-fp32")["status"] == "unsupported"


def test_killed_children_leave_no_files(run):
    assert not [path for path in (run.folder / "results").rglob("*") if ".tmp" in path.name]


def test_failed_rows_are_not_tried_again_by_themselves(run):
    assert run.plan("results/table.md") == {}


def test_installed_package_is_seen_by_its_metadata_alone(run, tmp_path):
    """The status of a missing package does not go stale: its installation reruns that engine's jobs."""
    metadata = tmp_path / "no_such_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: no-such-package\nVersion: 1.0\n")
    printed = run.snakemake("results/table.md", "--dry-run", env={"PYTHONPATH": f"{tmp_path}{os.pathsep}"})
    assert "variant=missing" in printed and "variant=onnxruntime-fp32" not in printed


def test_retry_forgets_what_is_not_ok_and_nothing_else(run):
    done = subprocess.run(
        [sys.executable, "workflow_scripts/retry.py"], cwd=run.folder, capture_output=True, text=True, check=True
    )
    assert "results/predictions/made/nearest/segfault/0" in done.stdout
    assert "results/runs/made/nearest/segfault/1/0" in done.stdout
    assert "onnxruntime-fp32" not in done.stdout
    others = set(run.config["variants"]) - {"onnxruntime-fp32"}
    planned = run.plan()
    assert planned.variants("infer") == planned.variants("time_round") == others
    assert "missing" in planned.variants("build_engine") and "segfault" not in planned.variants("build_engine")
