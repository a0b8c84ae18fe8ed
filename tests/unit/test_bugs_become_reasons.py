"""A bug in a job that prepares models or data ends it well: its record says so, for the rows that depend on it.

`tests/workflow/test_one_fault_costs_one_row.py` breaks the jobs of rows, and looks at the table.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.onnx_made import entry
from segbench.files import read_json, sha256_of, write_json, write_record

SCRIPTS = Path(__file__).parents[2] / "workflow_scripts"
DATASET = {"kind": "folder", "root": ".", "splits": {"val": {"images": "*", "labels": None}}, "classes": ["a", "b"]}
COMMON = {"dataset": "d", "split": "val", "entry": json.dumps({**DATASET, "ignore_index": 255, "id_map": None})}
MODEL = {"model": "m", "entry": json.dumps(entry())}
EXPORT = {"pdmodel": "out.pdmodel", "pdiparams": "out.pdiparams"}
# By script: the function that goes wrong, the arguments that are asked for, the record, and files that it leaves.
JOBS = {
    "fetch_checkpoint": ("fetch", {"weights": "{}", "out": "c.onnx", "cache": "."}, "c.onnx.json", ["c.onnx"]),
    "read_settings": ("complete", {**MODEL, "settings": "deploy.yaml", "out": "entry.json"}, "entry.json", []),
    "export_onnx_model": (
        "export", {**MODEL, "onnx-in": "net.onnx", "out": "m.onnx", "json": "m.json"}, "m.json", ["m.onnx"],
    ),
    "export_paddle": (
        "export", {**MODEL, **EXPORT, "checkpoint": "net.onnx", "json": "m.json"}, "m.json", [*EXPORT.values()],
    ),
    "export_paddle3": (
        "export", {**MODEL, "program": "p.json", "pdiparams": "p.bin", "checkpoint": "net.onnx", "json": "m.json"},
        "m.json", ["p.json", "p.bin"],
    ),
    "export_onnx": (
        "work", {"model": "ok.json", "pdmodel": "x", "pdiparams": "x", "out": "t.onnx", "status": "t.json"},
        "t.json", ["t.onnx"],
    ),
    "collect_shapes": ("work", {"model": "ok.json", "shapes": "s.pbtxt", "status": "s.json"}, "s.json", ["s.pbtxt"]),
    "find_wrong_passes": ("run_images", {"model": "ok.json", "index": "images.csv", "out": "w.json"}, "w.json", []),
    "index_images": ("index_images", {**COMMON, "index": "i.csv", "summary": "i.json"}, "i.json", ["i.csv"]),
    "index_dataset": (
        "index_dataset", {**COMMON, "images": "images.csv", "index": "l.csv", "summary": "l.json"}, "l.json", ["l.csv"],
    ),
    "decode_images": ("decode", {"index": "images.csv", "decoded": "decoded.json"}, "decoded.json", ["decoded.bin"]),
    "measure_brightness": ("measure", {"index": "images.csv", "decoded": "ok.json", "out": "b.json"}, "b.json", []),
    "check_inputs": ("check_inputs", {**MODEL, "dataset": "ok.json", "out": "check.json"}, "check.json", []),
    "merge_scores": (
        "merge", {"shards": "ok.json", "dataset": "ok.json", "reference-name": "r", "agreement-bound": 1,
                  "class-agreement-bound": 1, "out": "score.json"}, "score.json", [],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def broken(tmp_path_factory) -> Path:
    """A copy of the scripts in which each function of JOBS divides by zero."""
    scripts = tmp_path_factory.mktemp("broken") / "scripts"
    shutil.copytree(SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    for name, (function, *_) in JOBS.items():
        path = scripts / f"{name}.py"
        head, guard, tail = path.read_text().rpartition('if __name__ == "__main__":')
        path.write_text(f"{head}def {function}(*args, **kwargs):\n    1 / 0\n\n\n{guard}{tail}")
    return scripts


@pytest.mark.parametrize("name", JOBS)
def test_bug_is_the_reason_in_the_jobs_record(broken, tmp_path, name):
    _, asked, record, files = JOBS[name]
    for file in ("net.onnx", "net.pdiparams", "deploy.yaml"):
        (tmp_path / file).write_text("x")
    write_json(tmp_path / "ok.json", {"status": "ok", "reason": "", "classes": ["a", "b"], "sizes": []})
    (tmp_path / "images.csv").write_text("image_id,image,height,width,image_sha256,image_bytes,image_ctime_ns\n")
    digest = sha256_of(tmp_path / "images.csv")
    write_record(tmp_path / "images.json", {"status": "ok", "reason": "", "notes": [], "index_sha256": digest})
    command = [sys.executable, str(broken / f"{name}.py"), *(f"--{key}={value}" for key, value in asked.items())]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(broken), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = read_json(tmp_path / record)
    assert found["status"] == "bug" and "ZeroDivisionError: division by zero" in found["reason"]
    assert "Traceback" in done.stdout + done.stderr
    assert all((tmp_path / file).exists() for file in files)
