"""Run what touches an engine in a child process, and turn every kind of end into a status.

A script that touches an engine has two faces. Called by its rule it is the parent: it starts itself again as the child
(`--worker`: the request comes on standard input, progress and the answer go back through a pipe), watches it, and
writes the files. The child imports the framework, does the work, and may crash, hang or eat the memory without taking
the status file along. This module imports no framework.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segbench.errors import Failed, InputError, Unsupported, disk_fault, one_line
from segbench.process.lifetime import die_with_parent
from segbench.process.limits import Limits, usable_memory_mb

POLL_S = 0.5  # a poll reads /proc once, which takes some 20 µs of CPU beside the clock
KEPT_LOG_LINES = 40
MAX_LINE = 4096  # of a log line, longer ones are cut to these characters
MAX_LOG_BYTES = 8 << 20  # of a stage's log; some libraries print a warning for every image
MEBIBYTE = 1 << 20
DISK_FULL_TEXT = os.strerror(errno.ENOSPC)
SCARCE_BYTES = 1 << 20  # a disk with less free space than this counts as full
SILENT_TOLD_S = 60.0  # a phase without reports says so this often
# What a library writes before it ends the process: that memory was missing, or the message of its own exception.
NO_MEMORY = re.compile(r"out of memory|OutOfMemory|annot allocate|bad_alloc", re.IGNORECASE)
GIVEN = re.compile(r"\s*(\w+Error: |what\(\):\s+\S|\(\w+\) )")
PIPE = "SEGBENCH_SUPERVISOR_PIPE"  # environment variable: the descriptor that the child writes its messages to

_last_report: dict[str, Any] = {"phase": "", "time": 0.0, "started": 0.0, "done": 0}


class Bug(RuntimeError):
    """SegBench's own code failed in the child. The text is the child's traceback."""


@dataclass
class Outcome:
    """How a stage ended. `status` is ok, unsupported or failed. `result` is what the work returned, where it is ok."""

    status: str
    reason: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    peak_rss_bytes: int | None = None
    wall_s: float = 0.0


def progress(phase: str, done: int = 0, total: int = 0, silent: bool = False) -> None:
    """Report progress to the supervisor, as a sign of life. Outside a supervised child this does nothing.

    `total` is 0 where it is not known how much there is to do.
    `silent`: a call of a library follows that reports nothing for long and lets no thread of ours run. Until the next
    report, the CPU time that the process uses is its sign of life.
    """
    now = time.monotonic()
    same_phase = phase == _last_report["phase"] and done >= _last_report["done"]  # a phase may begin again
    if PIPE not in os.environ or (same_phase and done != total and now - _last_report["time"] < POLL_S):
        return
    if not same_phase:
        _last_report.update(started=now, first=done)
    _last_report.update(phase=phase, time=now, done=done)
    counted = done - _last_report["first"]
    left = (now - _last_report["started"]) / counted * (total - done) if counted > 0 and total else None
    _send({"phase": f"{phase} ({done}/{total})" if total else phase, "left_s": left, "silent": silent})


def stage(main: Callable[[], None], work: Callable[[Any], Mapping[str, Any]]) -> None:
    """Enter a supervised script: run `main` in the parent, `work(request)` in the child."""
    if sys.argv[1:] == ["--worker"]:
        _run_worker(work)
    else:
        main()


def _send(message: dict[str, Any]) -> None:
    data = (json.dumps(message) + "\n").encode()
    while data:
        data = data[os.write(int(os.environ[PIPE]), data) :]


def _run_worker(work: Callable[[Any], Mapping[str, Any]]) -> None:
    try:
        reply: dict[str, Any] = {"status": "ok", "reason": "", "result": work(json.load(sys.stdin))}
    except Unsupported as error:
        reply = {"status": "unsupported", "reason": one_line(str(error))}
    except Failed as error:
        reply = {"status": "failed", "reason": one_line(str(error))}
    except MemoryError as error:
        reply = {"status": "failed", "reason": f"out of memory: {one_line(str(error)) or 'an allocation was refused'}"}
    except InputError as error:
        reply = {"status": "input error", "reason": str(error)}
    except Exception as error:
        reply = {"status": "bug", "reason": traceback.format_exc()}
        if DISK_FULL_TEXT in str(error):  # the parent names the final file; a full disk is no row's reason
            reply = {"status": "failed", "reason": str(error)}
        elif isinstance(error, OSError) and (message := disk_fault(error)):
            reply = {"status": "input error", "reason": message}
    _send({"answer": reply})
    # Frameworks are known to crash in their own clean-up at exit; the work is done and written by now.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def supervise(
    script: str,
    request: Mapping[str, Any],
    limits: Limits,
    name: str = "",
    python: str = sys.executable,
    variables: Mapping[str, str] | None = None,
) -> Outcome:
    """Run `script` as a child with `request` and wait for its end, a signal, a limit or a stall.

    Progress is printed with `name` before it. `python`: the child's interpreter; `variables`: of its environment,
    beside this process's.

    Raises InputError when the child found wrong input, OSError when the disk was full, and RuntimeError with its
    traceback when SegBench's own code failed. The latter is a bug and no row's reason.
    """
    child = _Child([python, script, "--worker"], json.dumps(request), f"{name}: " if name else "", variables or {})
    killed_because = child.watch(limits)
    reply = child.answer
    if reply and reply["status"] == "input error":
        raise InputError(reply["reason"])
    if reply and reply["status"] == "bug":
        raise Bug(f"{script} failed:\n{reply['reason']}")
    good = reply is not None and reply["status"] == "ok"
    if not good and _is_disk_full(request, [*child.lines, reply["reason"] if reply else ""]):
        raise OSError(errno.ENOSPC, DISK_FULL_TEXT)  # no row's reason: that would outlast the full disk
    facts: dict[str, Any] = {"peak_rss_bytes": child.peak_rss_bytes, "wall_s": child.wall_s}
    if killed_because:
        return Outcome("failed", killed_because, **facts)
    if reply is None:
        return Outcome("failed", child.how_it_died(), **facts)
    return Outcome(reply["status"], reply["reason"], reply.get("result", {}), **facts)


def _is_disk_full(request: Mapping[str, Any], said: list[str]) -> bool:
    """Return whether the child reported a full disk, or wrote to a disk that has next to nothing free.

    The second test is needed for ONNX Runtime, whose only message is "Protobuf serialization failed".
    """
    folders = [Path(request[key]).parent for key in ("out", "latencies") if key in request]
    scarce = any(folder.exists() and shutil.disk_usage(folder).free < SCARCE_BYTES for folder in folders)
    return scarce or any(DISK_FULL_TEXT in line for line in said)


class _Child:
    """One supervised process. Its log lines are passed on, and its memory and progress are watched."""

    def __init__(self, command: list[str], request: str, heading: str, variables: Mapping[str, str]) -> None:
        self._heading = heading
        self.answer: dict[str, Any] | None = None
        self.peak_rss_bytes: int | None = None
        self.wall_s = 0.0
        self.phase = "starting"
        self._silent, self._cpu_s, self._told = False, 0.0, 0.0
        self._said = ""  # what the library itself gave as the reason before it ended the process
        self.lines: deque[str] = deque(maxlen=KEPT_LOG_LINES)
        self._messages, far_end = os.pipe()
        self._unread = b""
        self._logged = 0
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[far_end],
            env={**os.environ, **variables, PIPE: str(far_end)},
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509  the only other thread sleeps
        )
        os.close(far_end)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as stream:
            stream.write(request.encode())

    def watch(self, limits: Limits) -> str:
        """Wait for the end. Return why the child was killed, or an empty string when it ended by itself."""
        memory_limit = (limits.memory_mb or usable_memory_mb()) * MEBIBYTE
        previous = signal.signal(signal.SIGTERM, self._pass_on)
        alive = self._started
        try:
            with selectors.DefaultSelector() as ready:
                assert self._process.stdout is not None
                ready.register(self._process.stdout, selectors.EVENT_READ, self._log)
                ready.register(self._messages, selectors.EVENT_READ, self._note)
                while True:
                    for key, _ in ready.select(POLL_S):
                        data = os.read(key.fd, 65536)
                        if data:
                            alive = time.monotonic()
                            key.data(data)
                        else:
                            ready.unregister(key.fileobj)
                    self._sample_memory()
                    if not ready.get_map():  # all pipes are closed, so the child is about to end
                        with contextlib.suppress(subprocess.TimeoutExpired):
                            self._process.wait(POLL_S)
                    if self._process.poll() is not None:
                        return ""
                    now = time.monotonic()
                    if self._silent and self._works(now):
                        alive = now
                    reason = self._beyond(limits, memory_limit, now - self._started, now - alive)
                    if reason:
                        return reason
        finally:
            self._kill()
            signal.signal(signal.SIGTERM, previous)
            self._log(_read_rest(self._process.stdout))
            self._note(_read_rest(os.fdopen(self._messages, "rb")))
            self.wall_s = time.monotonic() - self._started

    def how_it_died(self) -> str:
        """Return the reason for a child that sent no answer: signal or exit status, phase, and last log lines."""
        code = self._process.returncode
        last_words = one_line(" | ".join(line for line in list(self.lines)[-3:] if line.strip()), 240)
        said = f"; last log lines: {last_words}" if last_words else ""
        if code < 0:
            name = signal.Signals(-code).name
            peak = f"peak {(self.peak_rss_bytes or 0) // MEBIBYTE} MiB"
            guess = f", most likely out of memory ({peak})" if -code == signal.SIGKILL else ""
            if self._said:
                return f"crashed by {name} while {self.phase}: {one_line(self._said, 240)}"
            return f"crashed by {name} while {self.phase}{guess}{said}"
        return f"the engine ended its process with exit status {code} while {self.phase}{said}"

    def _beyond(self, limits: Limits, memory_limit: int, age_s: float, silence_s: float) -> str:
        if (self.peak_rss_bytes or 0) > memory_limit:
            return (
                f"out of memory while {self.phase}: used {(self.peak_rss_bytes or 0) // MEBIBYTE} MiB,"
                f" limit {memory_limit // MEBIBYTE} MiB (limits.memory_mb)"
            )
        if limits.stage_s is not None and age_s > limits.stage_s:
            return f"time limit: {limits.stage_s:g} s were over while {self.phase} ({limits.stage_key})"
        if silence_s > limits.stall_s:
            return f"hung: no progress for {limits.stall_s:g} s while {self.phase} (limits.stall_s)"
        return ""

    def _log(self, data: bytes) -> None:
        text = data.decode(errors="replace")
        lines = [line[:MAX_LINE] for line in text.splitlines()]
        self.lines.extend(lines)
        for line in lines:  # memory before all else: what follows from its lack is no reason
            if NO_MEMORY.search(line) or (GIVEN.match(line) and not NO_MEMORY.search(self._said)):
                self._said = line.strip()
        if self._logged <= MAX_LOG_BYTES:
            self._logged += len(data)
            full = self._logged > MAX_LOG_BYTES
            sys.stdout.write(
                f"{text}\n… it says more than {MAX_LOG_BYTES} bytes: the rest is left out\n" if full else text
            )
            sys.stdout.flush()

    def _note(self, data: bytes) -> None:
        *lines, self._unread = (self._unread + data).split(b"\n")
        for message in map(json.loads, lines):
            if "answer" in message:
                self.answer = message["answer"]
            else:
                self.phase, self._silent = message["phase"], message["silent"]
                self._told = time.monotonic()
                left = message.get("left_s")
                print(f"{self._heading}{self.phase}" + (f", {left:.0f} s left" if left else ""), flush=True)

    def _works(self, now: float) -> bool:
        """Whether the process, or one that it started, has used the CPU since the last time that this was asked; says
        so once a minute.
        """
        before, self._cpu_s = self._cpu_s, _cpu_s(self._process.pid)
        if now - self._told > SILENT_TOLD_S:
            self._told = now
            print(f"{self._heading}{self.phase}: still at work, {self._cpu_s:.0f} s of CPU time", flush=True)
        return self._cpu_s > before

    def _sample_memory(self) -> None:
        """Record the child's own memory: anonymous and shared pages. The system can take back a mapped file's pages."""
        try:
            lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        except OSError:
            return  # the child has just ended, or this system has no /proc
        facts = dict(line.split(":", 1) for line in lines if line.startswith(("RssAnon:", "RssShmem:")))
        own = sum(int(text.split()[0]) * 1024 for text in facts.values())
        self.peak_rss_bytes = max(self.peak_rss_bytes or 0, own) or None

    def _pass_on(self, *_: object) -> None:
        # A second signal, or a wait without bound, would wait for ever for a lock that the interrupted wait holds.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._kill(POLL_S)
        sys.exit(128 + signal.SIGTERM)

    def _kill(self, bound_s: float | None = None) -> None:
        # The child leads a session, so that its own children end with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(bound_s)


def _cpu_s(pid: int) -> float:
    """CPU time of a process, its threads and the processes that it started, in seconds; 0 where it has ended."""
    try:
        with open(f"/proc/{pid}/stat") as stream:
            fields = stream.read().rpartition(")")[2].split()
        started = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(_cpu_s(int(child)) for child in started)


def _read_rest(stream: Any) -> bytes:
    """Return what is still in a pipe whose writer has ended, and close the pipe."""
    os.set_blocking(stream.fileno(), False)
    with stream:
        return stream.read() or b""
