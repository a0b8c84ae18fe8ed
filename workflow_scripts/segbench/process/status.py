"""Run a stage under supervision, unless a stage before it failed, and write its status.json.

Every record of a stage (`status.json`; `onnx.json`, `shapes.json` and `layers.*.json` beside a model or a table) begins
with the keys of `Status`. The stage's own keys follow. The facts that its work returned come last.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

from segbench.errors import InputError, disk_fault, one_line
from segbench.files import read_json, write_record
from segbench.process.limits import Limits
from segbench.process.supervise import Bug, Outcome, supervise


class Status(TypedDict):
    """How a stage ended. `status` is ok, unsupported (this machine, package or graph cannot do it), failed (so did the
    engine), refused (an input is wrong) or bug (SegBench's own code failed). `reason` is one line that a person can act
    on; it is empty where the status is ok.
    """

    status: str
    reason: str


FOR_A_PERSON = ("refused", "bug")  # statuses that end the run with an exit status other than 0


class StageStatus(Status, total=False):
    """Further keys of the stages that touch an engine. A stage has those that apply to it."""

    peak_rss_bytes: int | None  # of the child process
    wall_s: float  # of the child process
    manifest: dict[str, str]  # SHA-256 of each file that the stage wrote; readers check it
    environment: dict[str, Any]  # machine and software, as `environment_record` has them


def read_status(path: Path | str, lacking: str = "") -> Outcome:
    """Return how the stage that wrote `path` ended. An empty path means that there is no such stage, which is ok.

    A damaged record is refused. `lacking` says what is missing where the stage did not end well. It stands before the
    stage's reason.
    """
    if not path:
        return Outcome("ok")
    try:
        record: dict[str, Any] = read_json(path)
    except InputError as error:
        return _refused(error)
    status, reason = record.get("status", "ok"), record.get("reason", "")
    return Outcome(status, f"{lacking}: {reason}" if lacking and status != "ok" else reason)


def run_stage(
    script: str,
    request: Mapping[str, Any],
    limits: Limits,
    name: str,
    upstream: Iterable[Outcome] = (),
    variables: Mapping[str, str] | None = None,
) -> Outcome:
    """Supervise `script`, unless a stage before it did not end well. This stage then takes over that status and reason.

    `variables`: of the child's environment, beside this process's. What `attempt` says of errors holds here too.
    """
    outcome = Outcome("ok")

    def work() -> Mapping[str, Any]:
        nonlocal outcome
        outcome = supervise(script, request, limits, name, variables=variables)
        return {}

    ended = attempt(work, upstream)
    return outcome if ended.status == "ok" else ended


def attempt(work: Callable[[], Mapping[str, Any]], upstream: Iterable[Outcome] = ()) -> Outcome:
    """Do the work of a job that needs no child process, unless a stage before it did not end well.

    What the work raises becomes the status `refused` or `bug`, and is printed in full. Only a disk that refuses to be
    written to is raised again, since it would refuse the record too.
    """
    if before := next((one for one in upstream if one.status != "ok"), None):
        return Outcome(before.status, before.reason)
    try:
        return Outcome("ok", result=dict(work()))
    except InputError as error:
        return _refused(error)
    except Exception as error:
        if isinstance(error, OSError) and disk_fault(error):
            raise
        traceback.print_exc()
        return Outcome("bug", bug_in_words(error))


def _refused(error: InputError) -> Outcome:
    """Print an error in full, and return it as an outcome."""
    print(f"error: {error}", file=sys.stderr, flush=True)
    return Outcome("refused", one_line(printable(str(error))))


def bug_in_words(error: BaseException) -> str:
    """Return an exception of SegBench's own code in one line."""
    said = str(error).strip().splitlines()[-1:] if isinstance(error, Bug) else [f"{type(error).__name__}: {error}"]
    return one_line(printable(f"a bug in SegBench: {''.join(said)} (the log has its traceback)"))


def printable(text: str) -> str:
    """Return `text` with what is not UTF-8 in a file's name written as \\udcXX."""
    return text.encode(errors="backslashreplace").decode()


def write_status(path: Path, name: str, outcome: Outcome, facts: Mapping[str, Any]) -> None:
    """Write the record of a stage, and print how it ended. `facts` stand between its status and what its work returned.

    `name` is what the log calls the stage.
    """
    status: Status = {"status": outcome.status, "reason": outcome.reason}
    write_record(path, {**status, **facts, **outcome.result})
    print_end(name, outcome)


def print_end(name: str, outcome: Outcome) -> None:
    """Print how a stage ended, in the line that closes its log."""
    print(f"{name}: {outcome.status} {outcome.reason}".strip())
