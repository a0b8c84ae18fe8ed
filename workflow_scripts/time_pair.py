"""Time two built variants of a model alternating, A B B A, in several processes, and write the ratio of their times.

Variants of one engine are open in the same process and alternate stretch by stretch. Those of two engines alternate
process by process: the threads of one engine may still be waiting actively while the other runs (Paddle's do so for 0.2
s).
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from segbench.engines.base import load
from segbench.files import read_json, write_record
from segbench.images.index import IndexEntry, read_index
from segbench.machine.cpu import this_machine
from segbench.machine.environment import config_hash, environment_record
from segbench.process.lifetime import command
from segbench.process.limits import Limits, configured_limits
from segbench.process.status import read_status
from segbench.process.supervise import Outcome, progress, stage, supervise
from segbench.scoring.predictions import Predictions, digest_of
from segbench.table.verdict import paired_ratio
from segbench.timing import clock
from segbench.timing.disturbance import Disturbance
from segbench.timing.flags import any_known
from segbench.timing.job import Entries, TimedSession, choose_images, disturbed, open_engine
from segbench.timing.latencies import read_compute_s
from segbench.timing.request import EngineRequest, JobRequest, Request, job_arguments, job_request
from segbench.timing.rounds import shuffled


class Side(EngineRequest):
    """One of the two variants."""

    python: str  # its interpreter


class PairRequest(JobRequest):
    """The request for a pair: two variants on the same images."""

    sides: list[Side]
    round: int  # from 1


# A stretch of timed runs of one session. After a change the system first moves threads until all cores are used again:
# with single runs in the place of stretches a block's ratio was seen to vary four times as much.
STRETCH_RUNS = 8
STRETCH_S = 0.2


def time_round(request: PairRequest) -> dict[str, Any]:
    """Open both variants in the child, warm both up, and time them in A B B A blocks, one image a block (in turn).

    Odd rounds begin with the first variant, even ones with the second. Return the round's medians in seconds and its
    `ratio` (second over first): the median over blocks of the ratio in each, of geometric means of stretches' medians.
    """
    timing = request["timing"]
    order = (0, 1) if request["round"] % 2 else (1, 0)
    opened = {side: open_engine(cast(Request, {**request, **request["sides"][side]})) for side in order}
    chosen = choose_images(read_index(request["index"]), {**timing, "images_per_round": timing["blocks"]})
    rows = list(itertools.islice(itertools.cycle(shuffled(chosen, timing, request["round"])), timing["blocks"]))
    progress("warming up")
    rule, image = clock.WarmUp(**timing["warm_up"]), opened[0].image(rows[0])
    for side in order:
        clock.warm_up_on(opened[side].session, image, rule)
    pair = Pair(opened, (*order, *order[::-1]), runs_in_stretch(opened, image))
    tries: list[Disturbance] = []
    while not tries or (disturbed(tries[-1], timing) and len(tries) <= timing["max_repeats"]):
        tries.append(pair.run(rows, timing["round_s"]))
    drift = pair.drift()
    return {
        **pair.result(),
        "drift": drift,
        "drift_tolerance": timing["drift_tolerance"],
        "steady": None if drift is None else abs(drift) <= timing["drift_tolerance"],
        "contended": tries[-1].contended(timing["contention_share"]),
        "throttled": tries[-1].throttled,
        "contention_share": timing["contention_share"],
        "disturbances": [one.record() for one in tries],
    }


def runs_in_stretch(opened: dict[int, TimedSession], image: Any) -> int:
    """Return how many runs of the slower session fit in STRETCH_S, 1 to STRETCH_RUNS."""
    slower = max(clock.time_once(one.session, image).compute_s for one in opened.values())
    return max(1, min(STRETCH_RUNS, int(STRETCH_S / slower)))


class Pair:
    """Two sessions (0 and 1) that are timed in blocks. `order` is the order of sessions in a block. Each has a
    stretch of `runs` timed runs.
    """

    def __init__(self, opened: dict[int, TimedSession], order: tuple[int, ...], runs: int = 1) -> None:
        self._opened, self._order, self._runs = opened, order, runs
        self._blocks: list[dict[int, list[float]]] = []
        self._digests: dict[tuple[int, str], set[str]] = {}

    def run(self, rows: Entries, budget_s: float) -> Disturbance:
        """Time one block per row, until both have run for `budget_s`. A repeat replaces what was timed before."""
        self._blocks.clear()
        spent = 0.0
        with clock.quiet():
            watch = self._opened[0].watch()
            for done, row in enumerate(rows, 1):
                block = self._block(row)
                spent += sum(time for stretches in block.values() for times in stretches for time in times)
                self._blocks.append({side: list(map(statistics.median, block[side])) for side in block})
                progress("timing", done, len(rows))
                if spent >= budget_s:
                    break
            return watch.stop()

    def _block(self, row: IndexEntry) -> dict[int, list[list[float]]]:
        """Return the seconds of every timed run, by session and stretch."""
        stretches: dict[int, list[list[float]]] = {0: [], 1: []}
        image, last = self._opened[0].image(row), None
        for side in self._order:
            session = self._opened[side].session
            if side != last:
                # Untimed: every timed run then follows a run of its own session, with its weights in the caches and
                # the other's threads asleep.
                clock.time_once(session, image)
            last = side
            timed = [clock.time_once(session, image) for _ in range(self._runs)]
            stretches[side].append([one.compute_s for one in timed])
            self._digests.setdefault((side, row["image_id"]), set()).update(digest_of(one.class_map) for one in timed)
        return stretches

    def drift(self) -> float | None:
        """Return the drift, over blocks, of the session that drifted most."""
        found = [clock.drift([statistics.geometric_mean(block[side]) for block in self._blocks]) for side in (0, 1)]
        return max((one for one in found if one is not None), key=abs, default=None)

    def result(self) -> dict[str, Any]:
        """Return what was timed last: medians of stretches in seconds, ratio, blocks, and digests of each variant's
        class maps by image.
        """
        medians = [statistics.median(time for block in self._blocks for time in block[side]) for side in (0, 1)]
        mean = statistics.geometric_mean
        ratios = [mean(block[1]) / mean(block[0]) for block in self._blocks]
        return {
            "medians_s": medians,
            "ratio": statistics.median(ratios),
            "block_ratios": ratios,
            "digests": [
                {image: sorted(found) for (of, image), found in self._digests.items() if of == side} for side in (0, 1)
            ],
        }


def time_pair(request: PairRequest, limits: Limits, name: str) -> dict[str, Any]:
    """Time all rounds of the pair in supervised processes. Return the record of results/pairs/."""
    sides, rounds = request["sides"], request["timing"]["rounds"]
    for side in sides:
        built = read_status(side["engine_status"], side["variant"]["name"])
        if built.status != "ok":
            return {"status": built.status, "reason": built.reason}
    together = len({(side["variant"]["engine"], side["python"]) for side in sides}) == 1
    found = []
    for number in range(1, rounds + 1):
        run = _round_together if together else _round_apart
        outcome = run({**request, "round": number}, limits, f"{name} round {number}/{rounds}")
        if outcome.status != "ok":
            return {"status": outcome.status, "reason": outcome.reason}
        found.append(outcome.result)
    return {"status": "ok", "reason": "", "together": together, **summary(found, sides), "rounds": found}


def summary(rounds: list[dict[str, Any]], sides: Sequence[EngineRequest]) -> dict[str, Any]:
    """Return the ratio with its interval over rounds, the flags of all rounds, and warnings."""
    ratio = paired_ratio([one["ratio"] for one in rounds], [1.0] * len(rounds))
    steady = [one["steady"] for one in rounds]
    changed = [_changed(rounds, side) for side in (0, 1)]
    return {
        "ratio": ratio.value,
        "ratio_low": ratio.low,
        "ratio_high": ratio.high,
        "method": ratio.method,
        "steady": None if None in steady else all(steady),
        "contended": any_known(one["contended"] for one in rounds),
        "throttled": any_known(one["throttled"] for one in rounds),
        "warnings": [
            f"{side['variant']['name']}: {count} class map(s) differ between its own runs"
            for side, count in zip(sides, changed, strict=True)
            if count
        ],
    }


def _changed(rounds: list[dict[str, Any]], side: int) -> int:
    """Count images for which one variant computed more than one class map, within a round or between rounds."""
    seen: dict[str, set[str]] = {}
    for one in rounds:
        for image, digests in one["digests"][side].items():
            seen.setdefault(image, set()).update(digests)
    return sum(len(digests) > 1 for digests in seen.values())


def _round_together(request: PairRequest, limits: Limits, name: str) -> Outcome:
    variables: dict[str, str] = {}
    for side in request["sides"]:
        variables |= load(side["variant"]["engine"]).child_variables()
    return supervise(__file__, request, limits, name, request["sides"][0]["python"], variables)


def _round_apart(request: PairRequest, limits: Limits, name: str) -> Outcome:
    """Time each variant in its own process, in an order that alternates from round to round: A B, B A, A B …

    Both see the same images, twice as many as there are blocks. That gives as many timed runs as in a shared process.
    """
    timing = request["timing"]
    timing = {**timing, "images_per_round": 2 * timing["blocks"]}
    script = str(Path(__file__).with_name("time_round.py"))
    results: dict[int, dict[str, Any]] = {}
    digests: dict[int, dict[str, list[str]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for side in (0, 1) if request["round"] % 2 else (1, 0):
            variant = request["sides"][side]
            files = {key: f"{folder}/{side}.{key}" for key in ("latencies", "replaced", "predictions")}
            asked = {**request, **variant, **files, "timing": timing}
            named = f"{name} {variant['variant']['name']}"
            variables = load(variant["variant"]["engine"]).child_variables()
            outcome = supervise(script, asked, limits, named, variant["python"], variables)
            if outcome.status != "ok":
                outcome.reason = f"{variant['variant']['name']}: {outcome.reason}"
                return outcome
            times = read_compute_s(files["latencies"])
            predictions = Predictions.open(files["predictions"])
            digests[side] = {image_id: [predictions.digest(image_id)] for image_id in predictions.ids}
            results[side] = {**outcome.result, "median_s": statistics.median(times)}
    medians = [results[side]["median_s"] for side in (0, 1)]
    both = [results[0], results[1]]
    return Outcome(
        "ok",
        result={
            "medians_s": medians,
            "ratio": medians[1] / medians[0],
            "digests": [digests[0], digests[1]],
            "drift": max((one["drift"] for one in both if one["drift"] is not None), key=abs, default=None),
            "drift_tolerance": timing["drift_tolerance"],
            "steady": None if None in [one["steady"] for one in both] else all(one["steady"] for one in both),
            **{flag: any_known(one[flag] for one in both) for flag in ("contended", "throttled")},
            "contention_share": timing["contention_share"],
            "disturbances": [one for result in both for one in result["disturbances"]],
        },
    )


def other_input(first: Path, model: Path) -> str:
    """Say how the input or the head of a model differs between two model.json. Empty: it does not. Both engines of a
    pair are run alike.
    """
    mine, others = read_json(model), read_json(first)
    facts = [{"head": "argmax", **found} for found in (others, mine)]
    changed = [key for key in ("input", "preprocessing", "head") if facts[0][key] != facts[1][key]]
    return "; ".join(f"{key} of the model: {facts[0][key]} → {facts[1][key]}" for key in changed)


@command
def main() -> None:
    """Parse the command line and time the pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--pair", type=json.loads, required=True, help="JSON list of two: variant (name, engine, precision), options"
    )
    parser.add_argument("--engines", type=Path, nargs=2, required=True, help="folders of the built engines")
    parser.add_argument("--statuses", type=Path, nargs=2, required=True, help="their status.json")
    job_arguments(parser)
    parser.add_argument("--first-model", type=Path, help="model.json of the first variant, where it is of another run")
    parser.add_argument("--out", type=Path, required=True, help="record to write")
    args = parser.parse_args()
    sides: list[Side] = [
        {
            "engine": str(engine),
            "engine_status": str(status),
            "variant": side["variant"],
            "options": side["options"],
            "python": side.get("python", sys.executable),
        }
        for side, engine, status in zip(args.pair, args.engines, args.statuses, strict=True)
    ]
    names, model = [side["variant"]["name"] for side in sides], args.model.parent.name
    request: PairRequest = {**job_request(args), "sides": sides, "round": 1}
    fault = other_input(args.first_model, args.model) if args.first_model else ""
    record = (
        {"status": "unsupported", "reason": fault}
        if fault
        else time_pair(request, configured_limits(), f"{model} {' and '.join(names)}")
    )
    environment = environment_record(this_machine(), args.threads)
    hashes = [config_hash({**request, **side}) for side in sides]
    facts = {"model": model, "variant": names[0], "other": names[1]}
    write_record(args.out, {**facts, **record, "environment": environment, "config_hashes": hashes})
    end = f"ratio {record['ratio']:.3f}" if record["status"] == "ok" else record["reason"]
    print(f"{model} {names[1]} against {names[0]}: {record['status']}: {end}")


if __name__ == "__main__":
    stage(main, time_round)
