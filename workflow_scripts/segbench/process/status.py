"""A stage as its rule's script runs it: held up by a stage before it, or supervised; and what its status.json says.

Every record of a stage (`status.json`; `onnx.json`, `shapes.json` and `layers.json` beside a model or a table) begins
with the keys of `Status`. What else the stage writes follows, and last the facts that its work returned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

from segbench.files import read_json, write_record
from segbench.process.limits import Limits
from segbench.process.supervise import Outcome, supervise


class Status(TypedDict):
    """How a stage ended: `status` is ok, unsupported (this machine, package or graph cannot do it) or failed; `reason`
    is one line that a person can act on, and empty where the status is ok."""

    status: str
    reason: str


class StageStatus(Status, total=False):
    """What the stages that touch an engine say besides, each as far as it applies."""

    peak_rss_bytes: int | None  # of the child process
    wall_s: float  # of the child process
    manifest: dict[str, str]  # SHA-256 of each file that the stage left; readers check it
    environment: dict[str, Any]  # machine and software, as `environment_record` has them


def read_status(path: Path | str, lacking: str = "") -> Outcome:
    """How the stage that wrote `path` ended; ok for an empty path, where there is no such stage.

    `lacking` says what is missing where it did not end well, and stands before its reason.
    """
    if not path:
        return Outcome("ok")
    record: Status = read_json(path)
    reason = f"{lacking}: {record['reason']}" if lacking and record["status"] != "ok" else record["reason"]
    return Outcome(record["status"], reason)


def run_stage(
    script: str,
    request: Mapping[str, Any],
    limits: Limits,
    name: str,
    upstream: Iterable[Outcome] = (),
    variables: Mapping[str, str] | None = None,
) -> Outcome:
    """Supervise `script`, unless a stage before it did not end well: then its status and reason are this stage's too.

    `variables`: of the child's environment, beside this process's. Raises what `supervise` raises.
    """
    for before in upstream:
        if before.status != "ok":
            return Outcome(before.status, before.reason)
    return supervise(script, request, limits, name, variables=variables)


def write_status(path: Path, name: str, outcome: Outcome, facts: Mapping[str, Any]) -> None:
    """Write the record of a stage, with `facts` between its status and what its work returned, and print how it ended.

    `name` is what the log calls the stage.
    """
    status: Status = {"status": outcome.status, "reason": outcome.reason}
    write_record(path, {**status, **facts, **outcome.result})
    print_end(name, outcome)


def print_end(name: str, outcome: Outcome) -> None:
    """Print how a stage ended, in the one line that closes its log."""
    print(f"{name}: {outcome.status} {outcome.reason}".strip())
