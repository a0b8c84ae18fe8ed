"""Time how long a row takes from nothing to its first class map: new processes, with its files in the page cache, with
them dropped from it, and, where the engine has a cache of its own, with that filled.

A first process, which counts for nothing, tells the framework's files: those that it used beyond what Python, numpy,
OpenCV and SegBench need. Before a cold start these and the engine's are dropped from the page cache. The record has, of
what is there after the start, the share that was there before. The conditions take turns, in an order that is reversed
in every other round.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segbench.engines.base import Engine, load
from segbench.files import check_manifest, read_json, scratch, size_of
from segbench.machine import page_cache
from segbench.machine.cpu import this_machine
from segbench.machine.environment import config_hash, environment_record
from segbench.process.lifetime import command
from segbench.process.limits import Limits, configured_limits
from segbench.process.status import attempt, read_status, run_stage, write_status
from segbench.process.supervise import Outcome, stage
from segbench.timing.conditions import COLD, OWN_CACHE, WARM
from segbench.timing.request import Request, engine_arguments, job_arguments, request_of

if TYPE_CHECKING:
    from segbench.timing.starts import StartFacts, StartRequest

MAX_CACHED = 0.1  # of what a start leaves in the page cache: where more was there before, it is no cold one
MAX_UNTOLD = 0.1  # of its files' bytes: where the system does not tell of more, it is not known what was there before


def time_start(request: StartRequest) -> StartFacts:
    """Time a start in the child. The parent does without what that imports, and above all without the framework."""
    from segbench.timing.starts import time_start

    return time_start(request)


class Starts:
    """The starts of one row. `options`: the engine's run options by condition."""

    def __init__(self, request: Request, options: Mapping[str, Any], limits: Limits, name: str) -> None:
        self._request, self._options, self._limits, self._name = request, options, limits, name
        self._variables = load(request["variant"]["engine"]).child_variables()
        self._engine = Path(request["engine"])
        self._files: list[Path] = []
        self.starts: list[dict[str, Any]] = []
        self.peak_rss_bytes = 0
        self.cold_reason = ""  # why there is no cold start
        self.unchecked_reason = ""  # why it is not known whether a cold start was one

    def run(self, rounds: int) -> Outcome:
        """Run all starts. Return the outcome of the first that did not end well, else of the last."""
        status = read_status(self._request["engine_status"])
        outcome = attempt(self._check, [status])
        for number in range(rounds + 1):  # in round 0, which does not count, the caches are filled
            turns = [name for name in self._options if number or name != COLD]
            for condition in turns[:: -1 if number % 2 else 1]:
                if outcome.status == "ok" and not (condition == COLD and self.cold_reason):
                    outcome = self._start(number, condition)
        return outcome

    def facts(self) -> dict[str, Any]:
        """Return what the record has of the starts so far."""
        sizes = sum(path.stat().st_size for path in self._files if path.exists())
        usable = [one for one in self.starts if not (one["condition"] == COLD and self.cold_reason)]
        return {
            "files": len(self._files),
            "file_bytes": sizes,
            "cold_reason": self.cold_reason,
            "unchecked_reason": self.unchecked_reason,
            "starts": usable,
        }

    def _check(self) -> dict[str, Any]:
        check_manifest(self._engine, read_json(self._request["engine_status"])["manifest"])
        return {}

    def _start(self, number: int, condition: str) -> Outcome:
        """Start the row once. It counts unless the number is 0, or its files were to be dropped and stayed."""
        if condition == COLD:
            page_cache.drop(self._files)
        before = page_cache.cached(self._files)
        asked = {**self._request, "options": self._options[condition], "tell_files": not self._files}
        name = f"{self._name}, start {number}, {condition}"
        outcome = run_stage(__file__, asked, self._limits, name, variables=self._variables)
        after = page_cache.cached(self._files)
        self.peak_rss_bytes = max(self.peak_rss_bytes, outcome.peak_rss_bytes or 0)
        used = outcome.result.pop("files", [])
        if not self._files:
            of_engine = [path.absolute() for path in self._engine.rglob("*") if path.is_file()]
            self._files = sorted({*map(Path, used), *of_engine})
        unchecked = _unchecked(after)
        told = before.size / after.size if after.size else 0.0  # of the files of which the system tells
        if condition == COLD and told > MAX_CACHED:
            self.cold_reason = (
                f"{told:.0%} of the {after.size / 1e6:.0f} MB that it reads stayed in the page cache, most of it of"
                f" {before.most and before.most.name}: another process uses these files (end it, and run"
                " again), or their file system gives no page back (tmpfs)"
            )
        elif number and outcome.status == "ok":
            if condition == COLD and unchecked:
                self.unchecked_reason = unchecked
            found = {"round": number, "condition": condition, "still_cached": None if unchecked else told}
            self.starts.append({**found, **outcome.result})
        return outcome


def _unchecked(after: page_cache.Cached) -> str:
    """Return why it cannot be known how much of a row's files was cached before a start, from what is cached after it;
    empty where it can.
    """
    if after.untold > MAX_UNTOLD * (after.size + after.untold):
        return (
            f"of {after.untold / 1e6:.0f} MB of its files the system does not tell whether they are in the page cache,"
            " since they are another user's (run as their owner), or it has no mincore"
        )
    if not after.size:
        return "its files are not in the page cache even after a start: their file system keeps them elsewhere"
    return ""


def options_by_condition(engine: Engine, options: dict[str, Any], folder: Path) -> dict[str, dict[str, Any]]:
    """Return the engine's run options in each condition. Its own cache, which lies in `folder`, is filled in one."""
    if not engine.has_cache:
        return {WARM: options, COLD: options}
    without, filled = engine.with_cache(options, None), engine.with_cache(options, folder)
    return {WARM: without, COLD: without, OWN_CACHE: filled}


def run(request: Request, limits: Limits, rounds: int, out: Path) -> None:
    """Time the starts, each in a supervised process, and write the record."""
    name = f"{Path(request['model']).parent.name} {request['variant']['name']}"
    engine = load(request["variant"]["engine"])
    with scratch(out) as folder:
        starts = Starts(request, options_by_condition(engine, request["options"], folder.absolute()), limits, name)
        outcome = starts.run(rounds)
        cache_bytes = size_of(folder)
    outcome.result = {}  # of the last start, which is in the record already
    facts = {
        "variant": request["variant"],
        "rounds": rounds,
        "peak_rss_bytes": starts.peak_rss_bytes or None,
        "config_hash": config_hash(request),
        "environment": environment_record(this_machine(), request["threads"]),
        "cache_bytes": cache_bytes,
        "warm_up": request["timing"]["warm_up"],
        **starts.facts(),
    }
    write_status(out, f"{name}, starts", outcome, facts)


@command
def main() -> None:
    """Parse the command line and time the starts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    engine_arguments(parser)
    job_arguments(parser)
    parser.add_argument("--rounds", type=int, default=3, help="starts in each condition")
    parser.add_argument("--out", type=Path, required=True, help="record to write: a status, and every start")
    args = parser.parse_args()
    run(request_of(args), configured_limits(), args.rounds, args.out)


if __name__ == "__main__":
    stage(main, time_start)
