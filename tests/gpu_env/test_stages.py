"""Each stage's script in the environment of `make env-gpu`: shapes are real, the rest ends at the missing driver."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import collect_shapes
import pytest
from exported import ARCHITECTURES, ROOT, export
from segbench.files import read_json, write_json
from segbench.machine.cpu import this_machine
from segbench.models.exported import ExportedModel


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_shapes_are_collected(models, architecture):
    """By Paddle, on the CPU: every tensor is named, with one shape, the input's and the class map's among them; and it
    is, byte by byte, what the exported graph tells without being run."""
    out, model = models / f"{architecture}.pbtxt", ExportedModel.open(export(models, architecture))
    collect_shapes.collect(model, out, gpu=False)
    assert collect_shapes.read_shapes((model.folder / "model.pdmodel").read_bytes()) == out.read_text()
    blocks = re.findall(r"shape_range_info \{(.*?)\}", out.read_text(), re.S)
    shapes = []
    for block in blocks:
        low, high, best = (re.findall(rf"{kind}_shape: (\d+)", block) for kind in ("min", "max", "opt"))
        assert low == high == best
        shapes.append(tuple(map(int, low)))
    assert (1, 3, 256, 512) in shapes and (1, 256, 512) in shapes and len(blocks) > 100


def run(script: str, *arguments: object) -> str:
    """Run a script of ours in this interpreter; returns what it printed."""
    command = [sys.executable, ROOT / "workflow_scripts" / script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": ""})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def without_driver() -> None:
    if this_machine().nvidia_driver:
        pytest.skip("this machine has an NVIDIA driver")


def test_without_a_driver_shapes_and_engine_are_unsupported(models, tmp_path):
    without_driver()
    model = export(models, "gcnet")
    run("collect_shapes.py", "--model", model, "--shapes", tmp_path / "s.pbtxt", "--status", tmp_path / "shapes.json")
    assert read_json(tmp_path / "shapes.json") == {"status": "unsupported", "reason": "no NVIDIA driver"}
    assert (tmp_path / "s.pbtxt").read_bytes() == b""
    variant = json.dumps({"name": "v", "engine": "paddle_tensorrt", "precision": "fp16"})
    arguments = ("--model", model, "--variant", variant, "--engine", tmp_path / "engine", "--status")
    for given in ([], [f"--shapes={tmp_path / 'shapes.json'}"]):
        run("build_engine.py", *arguments, tmp_path / "status.json", *given)
        record = read_json(tmp_path / "status.json")
        assert (record["status"], record["reason"]) == ("unsupported", "no NVIDIA driver")


def test_without_a_driver_calibration_is_unsupported(models, tmp_path):
    without_driver()
    model = export(models, "gcnet")
    (tmp_path / "index.csv").write_text("image_id,image,label\na,a.png,\n")
    write_json(tmp_path / "dataset.json", {})
    calibrator = {"name": "paddle_tensorrt", "library": "paddle_tensorrt", "options": {}}
    run(
        "calibrate.py", "--model", model, "--index", tmp_path / "index.csv", "--dataset", tmp_path / "dataset.json",
        "--calibrator", json.dumps(calibrator), "--settings", '{"images": 1, "seed": 0, "max_drop": null}',
        "--cache", tmp_path / "cache", "--result", tmp_path / "tables", "--status", tmp_path / "status.json",
    )  # fmt: skip
    record = read_json(tmp_path / "status.json")
    assert (record["status"], record["reason"]) == ("unsupported", "no NVIDIA driver")
    assert list((tmp_path / "tables").iterdir()) == []


def test_timed_run_starts_in_this_interpreter():
    assert "usage:" in run("infer.py", "--help")
