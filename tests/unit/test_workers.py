"""Processes beside a script end with it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """\
import sys, time
sys.path.insert(0, "workflow_scripts")
from segbench.process import lifetime

if __name__ == "__main__":
    with lifetime.pool(2) as pool:
        print(*pool.map(abs, [1, -2]), flush=True)
        time.sleep(600)
"""


@pytest.mark.parametrize("deadly", [signal.SIGTERM, signal.SIGKILL])
def test_workers_of_a_killed_script_end_and_let_go_of_its_output(tmp_path: Path, deadly: signal.Signals) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "1 2\n"
        running.send_signal(deadly)
        assert running.stdout.read() == ""  # it ends when no process holds the pipe any more
