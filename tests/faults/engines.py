"""Engines that crash, hang, eat memory, flood the log or leave children behind: the row's reason, within a bound."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from faults.fault import ROOT, Case
from segbench.process.limits import Limits
from segbench.process.supervise import supervise

SLOWEST_S = 20.0  # from the limit or the crash to the reason
SCRIPT = """
import ctypes, os, signal, subprocess, sys, threading, time
sys.path.insert(0, {scripts!r})
from segbench.process.supervise import progress, stage


def work(request):
    progress("warming up")
    print("calling the kernel", flush=True)
    {body}
    return {{}}


stage(lambda: None, work)
"""


class Fault(NamedTuple):
    """What the engine does, and what its row's reason must have."""

    body: str
    said: str


SIGNALS = (
    "SIGSEGV",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGILL",
    "SIGTRAP",
    "SIGPIPE",
    "SIGTERM",
    "SIGINT",
    "SIGKILL",
    "SIGSYS",
)
FAULTS = {
    **{
        f"a library raises {name}": Fault(
            f"signal.signal({number}, 0) if {number} != 9 else None; os.kill(os.getpid(), {number})",
            f"crashed by {name} while warming up",
        )
        for name in SIGNALS
        for number in (int(getattr(__import__("signal"), name)),)
    },
    "null pointer": Fault("ctypes.string_at(0)", "crashed by SIGSEGV"),
    "abort()": Fault("ctypes.CDLL(None).abort()", "crashed by SIGABRT"),
    "exit(0)": Fault("ctypes.CDLL(None).exit(0)", "ended its process with exit status 0"),
    "exit(7)": Fault("os._exit(7)", "exit status 7"),
    "memory": Fault("hold = [bytearray(b'x' * 50_000_000) for _ in range(1000)]", "out of memory while warming up"),
    "refused allocation": Fault("bytearray(1 << 60)", "out of memory"),
    "hangs": Fault("time.sleep(600)", "hung: no progress for 3 s"),
    "hangs and ignores SIGTERM": Fault("signal.signal(15, 1); time.sleep(600)", "hung: no progress for 3 s"),
    "hangs in C, with the interpreter locked": Fault("ctypes.PyDLL(None).sleep(600)", "hung: no progress for 3 s"),
    "busy without an end": Fault("[(progress('timing', n), time.sleep(.2)) for n in range(10**6)]", "time limit: 8 s"),
    "closes its pipes and hangs": Fault("os.closerange(0, 100); time.sleep(600)", "hung: no progress for 3 s"),
    "leaves children, then crashes": Fault(
        "subprocess.Popen(['sleep', '611']); ctypes.string_at(0)", "crashed by SIGSEGV"
    ),
    "floods the log": Fault("[print('x' * 10_000) for _ in range(10**4)]; os._exit(3)", "exit status 3"),
    "a line of 50 MB": Fault("print('y' * 50_000_000, flush=True); os._exit(3)", "exit status 3"),
    "bytes that are no text": Fault("os.write(1, bytes(range(256)) * 100); os._exit(3)", "exit status 3"),
    "crashes at the end": Fault("__import__('atexit').register(ctypes.string_at, 0)", ""),
}


def cases(count: int, seed: int, folder: Path) -> Iterator[Case]:
    """Each fault once."""
    for number, (name, fault) in enumerate(list(FAULTS.items())[:count]):
        script = folder / f"engine{number}.py"
        script.write_text(SCRIPT.format(scripts=str(ROOT / "workflow_scripts"), body=fault.body))
        began = time.monotonic()
        outcome = supervise(str(script), {}, Limits(memory_mb=700, stall_s=3, stage_s=8), name)
        took = time.monotonic() - began
        wanted = "failed" if fault.said else "ok"
        lost = "" if outcome.status == wanted and fault.said in outcome.reason else f"wanted: {fault.said!r}"
        lost = lost or ("too late" if took > SLOWEST_S else "")
        yield Case("engines", name, lost or _left(), f"{took:.1f} s: {outcome.status} {outcome.reason}"[:300])


def _left() -> str:
    """Children that outlived their engine."""
    time.sleep(0.1)
    commands = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.append(entry.read_bytes())
        except OSError:
            continue
    return "a child of it still runs" if b"sleep\x00611\x00" in commands else ""
