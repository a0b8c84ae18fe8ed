"""Fuzz the parsers of `parsers.py` with atheris, each for a bounded time; exit status 1 where one raised anything else.

`make fuzz` installs atheris (requirements/fuzz.txt) and runs this.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import faults.fault  # noqa: F401  it puts the modules on the path


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one parser; libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["segbench", "faults.parsers"]):
        from faults.parsers import PARSERS
        from segbench.errors import InputError
    path, parse = Path(tempfile.mkdtemp()) / name, PARSERS[name]

    def once(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(InputError):
            parse(path)

    atheris.Setup(
        [sys.argv[0], f"-max_total_time={seconds}", "-rss_limit_mb=3000", "-timeout=20", "-verbosity=0"], once
    )
    atheris.Fuzz()


def main() -> None:
    """Parse the command line; fuzz each parser in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parsers", nargs="*", help="names of tests/faults/parsers.py (default: all)")
    parser.add_argument("--seconds", type=int, default=30, help="for each parser")
    parser.add_argument("--here", action="store_true", help="fuzz the one parser in this process")
    a = parser.parse_args()
    if a.here:
        fuzz(a.parsers[0], a.seconds)
    from faults.parsers import PARSERS
    from segbench.table.markdown import table

    rows, bad = [], False
    for name in a.parsers or PARSERS:
        with tempfile.TemporaryDirectory() as folder:  # libFuzzer leaves what it found in its working folder
            command = [sys.executable, str(Path(__file__).resolve()), name, f"--seconds={a.seconds}", "--here"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
        bad |= done.returncode != 0
        rows.append([name, "ok" if done.returncode == 0 else "FOUND"])
        if done.returncode:
            print(f"{name}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}", flush=True)
    print(table(["parser", f"{a.seconds} s"], rows))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
