"""Run a stage under supervision, unless a stage before it failed, and write its status.json.

Every record of a stage (`status.json`; `onnx.json`, `shapes.json` and `layers.*.json` beside a model or a table) begins
with the keys of `Status`. The stage's own keys follow. The facts that its work returned come last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

from segbench.files import read_json, write_record
from segbench.process.limits import Limits
from segbench.process.supervise import Outcome, supervise


class Status(TypedDict):
    """How a stage ended. `status` is ok, unsupported (this machine, package or graph cannot do it) or failed. `reason`
    is one line that a person can act on; it is empty where the status is ok.
    """

    status: str
    reason: str


class StageStatus(Status, total=False):
    """Further keys of the stages that touch an engine. A stage has those that apply to it."""

    peak_rss_bytes: int | None  # of the child process
    wall_s: float  # of the child process
    manifest: dict[str, str]  # SHA-256 of each file that the stage wrote; readers check it
    environment: dict[str, Any]  # machine and software, as `environment_record` has them


def read_status(path: Path | str, lacking: str = "") -> Outcome:
    """Return how the stage that wrote `path` ended. An empty path means that there is no such stage, which is ok.

    `lacking` says what is missing where the stage did not end well. It stands before the stage's reason.
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
    """Supervise `script`, unless a stage before it did not end well. This stage then takes over that status and reason.

    `variables`: of the child's environment, beside this process's. It raises what `supervise` raises.
    """
    for before in upstream:
        if before.status != "ok":
            return Outcome(before.status, before.reason)
    return supervise(script, request, limits, name, variables=variables)


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
