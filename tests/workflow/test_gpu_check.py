"""`make gpu` and `make gpu-check` as far as they go without a GPU: the check's every step on engines of the CPU."""

import json
import subprocess
import sys

import pytest
from doctor import BASE_FILES, read_configuration
from segbench.errors import InputError
from segbench.machine.cpu import nvidia_driver

from tools import gpu, gpu_check


def run(tool, folder, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, tool.__file__, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("tool", [gpu, gpu_check])
def test_without_a_gpu_it_ends_with_one_clear_line(tool, tmp_path):
    if nvidia_driver():
        pytest.skip("this machine has a driver")
    done = run(tool, tmp_path)
    assert done.returncode and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "no NVIDIA driver on this machine" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_check_runs_rows_and_tests_them_and_leaves_one_file(done):
    """On two engines of the CPU, which wait by themselves: what they take is the machine's affair, not this test's."""
    rehearsal = ("--configfile", "overlay.yaml", "--rehearse", "onnxruntime-fp32", "openvino-fp32", "openvino-fp64")
    told = run(gpu_check, done.folder, *rehearsal)
    record = json.loads((done.folder / "gpu-check.json").read_text())
    assert [(row["variant"], row["status"]) for row in record["rows"]] == [
        ("onnxruntime-fp32", "ok"),
        ("openvino-fp32", "ok"),
    ]
    assert record["left_out"] == {"openvino-fp64": "no: it has no such precision"}
    assert record["environment"]["hardware_id"] and "host" not in record["environment"]
    for test in record["synchronization"].values():
        assert test["status"] == "ok" and test["synchronized"]["run_s"] > 0 and test["unsynchronized"]["doubling"] > 0
    assert list(record["synchronization"]) == ["onnxruntime-fp32", "openvino-fp32"]
    assert record["ok"] == (told.returncode == 0) == (record["faults"] == [])
    assert "gpu-check.json: attach it to a report" in told.stdout


@pytest.mark.slow
def test_a_row_that_fails_is_in_the_file_and_in_the_exit_status(done):
    (done.folder / "workflow_scripts/segbench/engines/openvino.py").write_text("ENGINE = None\n# broken\n")
    told = run(gpu_check, done.folder, "--configfile", "overlay.yaml", "--rehearse", "onnxruntime-fp32")
    record = json.loads((done.folder / "gpu-check.json").read_text())
    assert told.returncode == 1 and not record["ok"] and record["faults"] == ["no row ran"]
    assert "openvino" in record["log"]


def test_faults_are_told_a_line_each():
    record = {
        "rows": [
            {"variant": "a", "status": "ok", "reason": ""},
            {"variant": "b", "status": "failed", "reason": "out of GPU memory"},
        ],
        "synchronization": {
            "a": {"status": "ok", "ok": False, "say": "twice the work took 1.00 times as long"},
            "c": {"status": "failed", "reason": "not done within 5 s"},
        },
    }
    assert gpu_check.verdict(record) == [
        "b: failed: out of GPU memory",
        "a: its times are not the device's: twice the work took 1.00 times as long",
        "c: the test of synchronisation did not run: not done within 5 s",
    ]


# make gpu


@pytest.mark.parametrize(
    ("capability", "cuda", "expected"),
    [
        ((7, 0), (12, 2), ["env-gpu"]),
        ((8, 9), (12, 2), ["env-gpu"]),
        ((9, 0), (12, 2), ["env-tensorrt8"]),
        ((9, 0), (13, 0), ["env-tensorrt8", "env-onnxruntime-gpu"]),
        ((12, 0), (13, 0), ["env-onnxruntime-gpu"]),
        (None, None, ["env-gpu"]),
    ],
)
def test_the_environment_is_one_with_code_for_the_card_and_the_driver(capability, cuda, expected):
    assert gpu.environments(capability, cuda) == expected


def test_a_card_that_nothing_has_code_for_is_told():
    with pytest.raises(InputError, match=r"has code for compute capability \(10, 0\) under CUDA \(12, 8\)"):
        gpu.environments((10, 0), (12, 8))


def test_the_hours_are_the_pages_own_times_over_the_images_that_are_timed():
    config, fault = read_configuration([*BASE_FILES, gpu.CITYSCAPES], {})
    assert not fault
    assert gpu.hours(config, gpu_check.PAGE) == pytest.approx(2.04, abs=0.01)
    one_round = {**config, "rounds": 1, "models": ["unet"]}
    assert gpu.hours(one_round, ("paddle_gpu-fp32",)) == pytest.approx((500 + 100) * 0.071 / 3600)
