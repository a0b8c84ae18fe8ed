"""Snakemake in a fork of a process that has imported it, so that a call costs no second of imports.

Each call is a process of its own, with Snakemake's own command line, as `python -m snakemake` makes it.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

# What a call imports but for our modules, which are those of its folder. None of them starts a thread.
IMPORTED = ("pulp", "pydantic", "snakemake.cli", "snakemake.workflow", "snakemake.executors.local", "yaml")


@functools.cache
def _parent() -> subprocess.Popen[str]:
    """Start the process that forks. It ends with this one, which holds its standard input open."""
    parent = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(parent.communicate)  # closes its input and waits
    return parent


def run_snakemake(folder: Path, arguments: list[str], env: dict[str, str], limit_s: int) -> tuple[int, str]:
    """Return the exit status, negative for a signal, and all that was printed: standard output, then errors."""
    parent = _parent()
    assert parent.stdin and parent.stdout
    with tempfile.TemporaryDirectory() as name:
        printed = [f"{name}/stdout", f"{name}/stderr"]
        asked = {"folder": str(folder), "arguments": arguments, "env": env, "limit_s": limit_s, "printed": printed}
        parent.stdin.write(json.dumps(asked) + "\n")
        parent.stdin.flush()
        status = int(parent.stdout.readline())
        return status, "".join(Path(path).read_text(errors="replace") for path in printed)


def _become(folder: str, arguments: list[str], env: dict[str, str], limit_s: int, printed: list[str]) -> None:
    """Give this fork the folder, files, variables and module path that a new process would have."""
    os.chdir(folder)
    for number, path in enumerate((os.devnull, *printed)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:1] = [folder, *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv[1:] = arguments
    signal.alarm(limit_s)  # which ends it


def main() -> None:
    """Fork for each line of standard input, and answer with the exit status."""
    for name in IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _become(**json.loads(line))
            importlib.import_module("snakemake.cli").main()  # which ends this process
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
