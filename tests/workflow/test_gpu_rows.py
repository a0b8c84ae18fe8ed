"""The rows of a GPU machine without Snakemake: the same commands, the same rows, here on an engine of the CPU."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from segbench.files import write_json
from segbench.planning.rules import Planning

from tools import gpu_bundle

ROWS = Path(gpu_bundle.__file__).with_name("gpu_rows.py")


@pytest.mark.slow
def test_rows_are_those_of_the_workflow_and_are_not_run_twice(done, monkeypatch):
    monkeypatch.chdir(done.folder)
    config, fault = gpu_bundle.read_configuration([*gpu_bundle.BASE_FILES, "overlay.yaml"], {"rounds": 1})
    assert not fault
    planning = Planning(config)
    rows = gpu_bundle.rows_of(planning)
    assert all(os.path.exists(path) for path in gpu_bundle.wanted_files(planning, rows))
    expected = done.rows()
    for name in ("engines", "runs", "scores"):
        shutil.rmtree(done.folder / "results" / name)
    for engine in ("onnxruntime", "openvino"):
        folder = done.folder / "interpreters" / engine / "bin"
        folder.mkdir(parents=True)
        (folder / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (folder / "python3").chmod(0o755)
    selection = json.loads(planning.report.selection(None))
    write_json("plan.json", {"selection": selection, "limits": config["limits"], "rows": rows})
    for _ in range(2):
        subprocess.run([sys.executable, ROWS], check=True)
    with open("table.csv", newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [row["variant"] for row in found] == ["onnxruntime-fp32", "openvino-fp32"]
    for row, wanted in zip(found, expected, strict=True):
        assert row["status"] == "ok" and float(row["time_s"]) > 0
        for column in ("miou", "pixel_agreement", "engine_bytes", "reference"):
            assert row[column] == wanted[column], column
