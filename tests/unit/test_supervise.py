"""However a child ends, the supervisor says so; our own exceptions stay exceptions."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from segbench.errors import InputError
from segbench.process.limits import Limits, usable_memory_mb
from segbench.process.supervise import supervise

SCRIPTS = Path(__file__).parents[2] / "workflow_scripts"


def script(tmp_path: Path, body: str) -> str:
    """A supervised script whose work is `body`."""
    path = tmp_path / "work.py"
    head = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r})\n"
    head += "import os, signal, time\nfrom segbench.errors import *\n"
    head += "from segbench.process.supervise import progress, stage\n"
    path.write_text(
        head + "def work(request):\n" + textwrap.indent(textwrap.dedent(body), "    ") + "\nstage(None, work)\n"
    )
    return str(path)


def test_result_comes_back(tmp_path):
    outcome = supervise(script(tmp_path, "return {'twice': request['n'] * 2}"), {"n": 4}, Limits())
    assert (outcome.status, outcome.reason, outcome.result) == ("ok", "", {"twice": 8})
    assert outcome.peak_rss_bytes is None or outcome.peak_rss_bytes > 1_000_000


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ("raise Unsupported('no NVIDIA driver')", "unsupported", "no NVIDIA driver"),
        ("raise Failed('NaN in\\n the output')", "failed", "NaN in the output"),
        ("raise MemoryError()", "failed", "out of memory: an allocation was refused"),
        ("os._exit(7)", "failed", "the engine ended its process with exit status 7 while starting"),
        ("os._exit(0)", "failed", "the engine ended its process with exit status 0 while starting"),
    ],
)
def test_refusals_become_the_rows_reason(tmp_path, body, status, reason):
    outcome = supervise(script(tmp_path, body), {}, Limits())
    assert (outcome.status, outcome.reason) == (status, reason)


def test_segfault_names_signal_phase_and_last_words(tmp_path):
    body = "progress('warming up'); print('loading kernels', flush=True); os.kill(os.getpid(), signal.SIGSEGV)"
    outcome = supervise(script(tmp_path, body), {}, Limits())
    assert outcome.status == "failed"
    assert outcome.reason == "crashed by SIGSEGV while warming up; last log lines: loading kernels"


def test_sigkill_is_told_as_out_of_memory(tmp_path):
    outcome = supervise(script(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)"), {}, Limits())
    assert outcome.reason.startswith("crashed by SIGKILL while starting, most likely out of memory (peak ")


def test_hang_ends_at_the_stall_limit(tmp_path):
    outcome = supervise(script(tmp_path, "progress('running'); time.sleep(60)"), {}, Limits(stall_s=1))
    assert (outcome.status, outcome.reason) == ("failed", "hung: no progress for 1 s while running (limits.stall_s)")


def test_progress_holds_the_stall_limit_off(tmp_path):
    body = "for i in range(5): progress(f'step {i}'); time.sleep(0.5)\nreturn {}"
    assert supervise(script(tmp_path, body), {}, Limits(stall_s=1.5)).status == "ok"


def test_stage_limit_ends_a_busy_child(tmp_path):
    body = "while True: progress('at work'); print('.', flush=True); time.sleep(0.1)"
    outcome = supervise(script(tmp_path, body), {}, Limits(stage_s=1))
    assert outcome.reason == "time limit: 1 s were over while at work (limits.stage_s)"


def test_memory_limit_ends_a_hungry_child(tmp_path):
    body = "progress('eating'); hold = bytearray(600_000_000); time.sleep(30)"
    outcome = supervise(script(tmp_path, body), {}, Limits(memory_mb=300))
    assert outcome.status == "failed"
    assert outcome.reason.startswith("out of memory while eating: used ")
    assert outcome.reason.endswith("MiB, limit 300 MiB (limits.memory_mb)")


def test_our_own_exception_is_a_bug_with_its_traceback(tmp_path):
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        supervise(script(tmp_path, "1 / 0"), {}, Limits())


def test_wrong_input_stays_wrong_input(tmp_path):
    with pytest.raises(InputError, match=r"engine/model\.xml: damaged"):
        supervise(script(tmp_path, "raise InputError('engine/model.xml: damaged')"), {}, Limits())


def test_grandchildren_end_with_the_child(tmp_path):
    pid_file = tmp_path / "pid"
    body = f"""
    import subprocess
    open({str(pid_file)!r}, 'w').write(str(subprocess.Popen(['sleep', '300']).pid))
    os._exit(3)
    """
    supervise(script(tmp_path, body), {}, Limits())
    _wait_for(lambda: not _alive(int(pid_file.read_text())))


def test_child_ends_with_a_killed_supervisor(tmp_path):
    pid_file = tmp_path / "pid"
    work = script(tmp_path, f"open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(300)")
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"from segbench.process.supervise import supervise, Limits; supervise({work!r}, {{}}, Limits())",
        ],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
    )
    _wait_for(lambda: pid_file.exists() and pid_file.read_text())
    parent.kill()
    parent.wait()
    _wait_for(lambda: not _alive(int(pid_file.read_text())))


def _alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def _wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_slurm_jobs_memory_is_the_limit(monkeypatch):
    machine = usable_memory_mb()
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "2048")
    assert usable_memory_mb() == min(machine, 2048 - 512)
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "0")  # the node's
    assert usable_memory_mb() == machine


BUSY = "until = time.monotonic() + 2.5\nwhile time.monotonic() < until: pass\n"


def test_a_library_that_works_in_silence_is_not_taken_for_a_hanging_one(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("segbench.process.supervise.SILENT_TOLD_S", 1.0)
    silent = script(tmp_path, "progress('building', silent=True)\n" + BUSY + "return {}")
    assert supervise(silent, {}, Limits(stall_s=1)).status == "ok"
    assert "building: still at work" in capfd.readouterr().out


def test_work_of_a_process_that_it_started_is_a_sign_of_life(tmp_path):
    started = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import time\\n' + BUSY])\nreturn {}"
    body = f"progress('converting', silent=True)\nBUSY = {BUSY!r}\n{started}"
    assert supervise(script(tmp_path, body), {}, Limits(stall_s=1.5)).status == "ok"


def test_the_shorter_limit_of_a_conversion_holds_and_is_named():
    assert Limits(conversion_s=5).of_conversion().stage_s == 5
    assert Limits(stage_s=3, conversion_s=5).of_conversion().stage_key == "limits.stage_s"
    assert Limits(stage_s=9, conversion_s=5).of_conversion().stage_key == "limits.conversion_s"
    assert Limits(conversion_s=None).of_conversion() == Limits(conversion_s=None)


@pytest.mark.parametrize(
    "body", ["progress('building', silent=True); time.sleep(60)", "progress('a', silent=True); progress('b')\n" + BUSY]
)
def test_one_that_does_nothing_is_and_so_is_one_that_should_report(tmp_path, body):
    outcome = supervise(script(tmp_path, body), {}, Limits(stall_s=1))
    assert outcome.status == "failed" and outcome.reason.startswith("hung: no progress for 1 s")


NO_MEMORY = "E0101 00:00:00.0 1 helper.h:131] 2: [resizingAllocator] Cuda Error in allocate: 2 (out of memory)"
THROWN = "InvalidArgumentError: unsupported datatype in TRT op converter, type: UINT8."


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([NO_MEMORY, THROWN], NO_MEMORY),
        (["terminate called after throwing an instance of 'EnforceNotMet'", "  what():  ", THROWN], THROWN),
    ],
)
def test_what_the_library_said_before_it_aborted_is_the_reason(tmp_path, said, reason):
    """Paddle calibrates in threads: an exception there ends the process. What follows may be a long list of frames."""
    lines = [*said, *(f"{n} frame {n}" for n in range(100))]
    body = f"progress('calibrating'); os.write(2, {chr(10).join(lines).encode()!r}); os.abort()"
    outcome = supervise(script(tmp_path, body), {}, Limits())
    assert (outcome.status, outcome.reason) == ("failed", f"crashed by SIGABRT while calibrating: {reason}")


def test_child_starts_with_the_variables_that_are_given(tmp_path, monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", "/before")
    body = "return {'seen': open('/proc/self/environ').read().split(chr(0))}"
    seen = supervise(script(tmp_path, body), {}, Limits(), variables={"LD_LIBRARY_PATH": "/given"}).result["seen"]
    assert "LD_LIBRARY_PATH=/given" in seen


def test_supervisor_that_is_asked_to_end_again_and_again_ends(tmp_path):
    body = f"""
import sys; sys.path.insert(0, {str(SCRIPTS)!r})
from segbench.process.limits import Limits
from segbench.process.supervise import supervise
supervise({script(tmp_path, "print('ready', flush=True); time.sleep(600)")!r}, {{}}, Limits())
"""
    with subprocess.Popen([sys.executable, "-c", body], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == "ready\n"
        for _ in range(200):
            parent.terminate()
            time.sleep(0.0002)
        assert parent.wait(30) in (128 + signal.SIGTERM, -signal.SIGTERM)
