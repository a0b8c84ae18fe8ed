"""A stage is held up by the one before it, or runs; its record begins with how it ended."""

import errno

import pytest
from segbench.errors import InputError
from segbench.files import read_json, write_record
from segbench.process.limits import Limits
from segbench.process.status import attempt, read_status, run_stage, write_status
from segbench.process.supervise import Outcome

CHILD = """
from segbench.process.supervise import stage
stage(lambda: None, lambda request: {"twice": 2 * request["number"]})
"""


@pytest.fixture
def script(tmp_path):
    (tmp_path / "child.py").write_text(CHILD)
    return str(tmp_path / "child.py")


@pytest.fixture(autouse=True)
def _modules_for_the_child(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "workflow_scripts")


def test_stage_runs_where_all_before_it_ended_well(script):
    outcome = run_stage(script, {"number": 4}, Limits(), "doubling", [Outcome("ok"), read_status("")])
    assert (outcome.status, outcome.result) == ("ok", {"twice": 8})


def test_first_stage_that_did_not_end_well_gives_its_status_and_reason(tmp_path):
    for name, status in {"a": "ok", "b": "unsupported", "c": "failed"}.items():
        write_record(tmp_path / name, {"status": status, "reason": "" if status == "ok" else f"{name} cannot"})
    before = [read_status(tmp_path / "a"), read_status(tmp_path / "b", "no ONNX twin"), read_status(tmp_path / "c")]
    outcome = run_stage("no script is started", {}, Limits(), "", before)
    assert outcome == Outcome("unsupported", "no ONNX twin: b cannot")


def test_record_begins_with_status_and_reason_and_ends_with_what_the_work_returned(tmp_path, capsys):
    write_status(tmp_path / "status.json", "gcnet shapes", Outcome("failed", "no room", {"found": 1}), {"manifest": {}})
    assert list(read_json(tmp_path / "status.json").items()) == [
        ("status", "failed"), ("reason", "no room"), ("manifest", {}), ("found", 1),
    ]  # fmt: skip
    assert capsys.readouterr().out == "gcnet shapes: failed no room\n"


def test_damaged_record_is_refused(tmp_path):
    (tmp_path / "status.json").write_text("{")
    outcome = read_status(tmp_path / "status.json")
    assert outcome.status == "refused" and outcome.reason.startswith(f"{tmp_path}/status.json: not valid JSON")


def test_wrong_input_and_bugs_are_outcomes(tmp_path, capsys):
    def refuse():
        raise InputError("net.onnx: no such file\nof two lines")

    assert attempt(refuse) == Outcome("refused", "net.onnx: no such file of two lines")
    assert "error: net.onnx: no such file\nof two lines\n" in capsys.readouterr().err
    outcome = attempt(lambda: 1 / 0)
    assert outcome.status == "bug" and "ZeroDivisionError: division by zero" in outcome.reason
    assert "Traceback" in capsys.readouterr().err


def test_bug_in_the_child_is_an_outcome(tmp_path):
    (tmp_path / "child.py").write_text(CHILD.replace("2 *", "2 / 0 *"))
    outcome = run_stage(str(tmp_path / "child.py"), {"number": 4}, Limits(), "")
    assert outcome.status == "bug" and outcome.reason.startswith("a bug in SegBench: ZeroDivisionError")


def test_full_disk_is_no_outcome():
    def fill():
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError):
        attempt(fill)
