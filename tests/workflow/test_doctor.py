"""`snakemake doctor` answers whatever is wrong, and imports no framework for it."""

import json
import subprocess
import sys

import doctor
import pytest
from segbench.engines import base

FRAMEWORKS = ("paddle", "openvino", "onnxruntime", "onnx", "tensorrt", "tensorrt_rtx_bindings", "nncf", "cv2")


def test_every_engine_and_precision_is_told(workflow):
    printed = workflow.snakemake("doctor")
    told = {line.split("  ")[0] for line in printed.splitlines()}
    assert set(base.names()) <= told
    assert "2 variants, data set made" in printed and "made: street scenes" in printed
    assert not (workflow.folder / "results" / "models").exists()


def test_a_broken_configuration_does_not_stop_it(workflow):
    with open(workflow.folder / "config" / "config.yaml", "a") as stream:
        stream.write("variants: [openvino-fp32\n")
    printed = workflow.snakemake("doctor")
    assert "configuration  config/config.yaml: while parsing" in printed and "openvino" in printed


@pytest.mark.parametrize("content", ["rounds: many", "- a\n- list", "dataset: [a]", ""])
def test_any_wrong_configuration_is_told_by_its_file(tmp_path, content):
    (tmp_path / "mine.yaml").write_text(content)
    _, fault = doctor.read_configuration([str(tmp_path / "mine.yaml")], {})
    assert "mine.yaml" in fault or "configuration: " in fault


def test_an_interpreter_that_does_not_answer_is_told():
    lines = [line for line in doctor.engine_lines({"openvino": "/nowhere/python"}) if line[0] == "openvino"]
    assert len(lines) == 1 and lines[0][2].startswith("no: its interpreter /nowhere/python does not answer: ")


def test_another_interpreter_is_asked_what_it_has(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    site = next((tmp_path / "env" / "lib").glob("python3*/site-packages"))
    import numpy

    (site / "numpy_only.pth").write_text(f"{tmp_path}\n")
    (tmp_path / "numpy").symlink_to(next(iter(numpy.__path__)))
    (tmp_path / "numpy.libs").symlink_to(next(iter(numpy.__path__)) + ".libs")
    lines = [
        line for line in doctor.engine_lines({"openvino": str(tmp_path / "env/bin/python")}) if line[0] == "openvino"
    ]
    assert lines == [("openvino", "fp32, fp16, bf16, int8", lines[0][2], "make env")] and lines[0][2].startswith(
        "no: package openvino is not installed"
    )


def test_no_framework_is_imported():
    code = (
        f"import sys, doctor; doctor.diagnose([], {{}}); print([name for name in {FRAMEWORKS} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd="workflow_scripts", capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1].replace("'", '"')) == []
