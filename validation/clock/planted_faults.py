"""Plant a slowdown and wrong class maps in a wrapper around the engine. Are they called SLOWER and caught?

The wrapper is another engine in a temporary copy of the workflow's scripts, which run unchanged.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from segbench.errors import InputError
from segbench.files import read_json
from segbench.process.lifetime import command
from segbench.process.limits import Limits
from segbench.process.supervise import supervise
from segbench.scoring.predictions import Predictions
from segbench.table.verdict import Ratio, time_verdict

from validation.common import MARGIN, ROOT, Place, leave, parser, place_of

WRAPPER = '''"""Engine `{engine}` with faults at will."""

import time
from dataclasses import make_dataclass

from segbench.engines.{engine} import ENGINE as INNER
from segbench.config.options import parse_options

Options = make_dataclass("Options", [("slowdown", float, 0.0), ("wrong", bool, False)])


class Faulty(type(INNER)):
    run_options = Options

    def open(self, engine, variant, options, threads):
        inner = super().open(engine, variant, parse_options(INNER.run_options, {{}}, ""), threads)
        return FaultySession(inner, options)


class FaultySession:
    def __init__(self, inner, options):
        self._inner, self._options = inner, options
        self.upload, self.synchronize = inner.upload, inner.synchronize

    def execute(self):
        start = time.perf_counter()
        self._inner.execute()
        self._inner.synchronize()
        end = start + (1 + self._options.slowdown) * (time.perf_counter() - start)
        while time.perf_counter() < end:
            pass

    def download(self):
        class_map = self._inner.download()
        if self._options.wrong:
            class_map[:8, :8] = (class_map[:8, :8] + 1) % 19
        return class_map


ENGINE = Faulty()
'''


def plant(folder: Path, engine: str) -> Path:
    """Copy the scripts into `folder`, with the wrapper around `engine` among its engines. Return the scripts'
    folder.
    """
    scripts = folder / "workflow_scripts"
    shutil.copytree(ROOT / "workflow_scripts", scripts, ignore=shutil.ignore_patterns("__pycache__"))
    (scripts / "segbench/engines/planted.py").write_text(WRAPPER.format(engine=engine), encoding="utf-8")
    return scripts


def sides(place: Place, variant: str, **faults: Any) -> list[dict[str, Any]]:
    """Return the wrapped variant without and with faults."""
    side = place.side(variant)
    wrapped = {**side, "variant": {**side["variant"], "engine": "planted"}}
    return [wrapped, {**wrapped, "options": faults}]


def verdict(scripts: Path, request: dict[str, Any], pair: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the record of one pair, timed by the command that the workflow runs, with its verdict."""
    out = scripts / "pair.json"
    described = [json.dumps([{key: side[key] for key in ("variant", "options")} for side in pair])]
    engines, statuses = ([side[key] for side in pair] for key in ("engine", "engine_status"))
    files = ["--model", request["model"], "--index", request["index"], "--timing", json.dumps(request["timing"])]
    command_line = [sys.executable, str(scripts / "time_pair.py"), "--pair", *described, *files, "--out", str(out)]
    subprocess.run([*command_line, "--engines", *engines, "--statuses", *statuses], check=True)
    record = read_json(out)
    if record["status"] != "ok":
        raise InputError(record["reason"])
    ratio = Ratio(record["ratio"], record["ratio_low"], record["ratio_high"], record["method"])
    return {**record, "verdict": time_verdict(ratio, MARGIN)}


def changed_images(scripts: Path, request: dict[str, Any], pair: list[dict[str, Any]]) -> tuple[int, int]:
    """Run one round right and one wrong. Return how many images differ by digest, and how many there are."""
    found = []
    for number, side in enumerate(pair, 1):
        files = {key: str(scripts / f"{number}.{key}") for key in ("latencies", "replaced", "predictions")}
        asked = {**request, **side, **files, "round": number}
        outcome = supervise(str(scripts / "time_round.py"), asked, Limits(), f"round {number}")
        if outcome.status != "ok":
            raise InputError(f"round {number}: {outcome.status}: {outcome.reason}")
        found.append(Predictions.open(files["predictions"]))
    first, second = found
    return sum(first.digest(name) != second.digest(name) for name in second.ids), len(second)


@command
def main() -> None:
    """Plant both faults."""
    options = parser(
        __doc__,
        trials=(3, "trials of the slowdown"),
        slowdown=(0.10, "planted fraction"),
        rounds=(6, "processes in each trial"),
        blocks=(16, "A B B A in each"),
    )
    a = options.parse_args()
    place = place_of(a)
    engine = place.side(a.variant)["variant"]["engine"]
    request = place.request()
    request["timing"] |= {
        "rounds": a.rounds,
        "blocks": a.blocks,
        "round_s": 20,
        "max_repeats": 0,
        "images_per_round": a.blocks,
    }
    with tempfile.TemporaryDirectory() as folder:
        scripts = plant(Path(folder), engine)
        slow = sides(place, a.variant, slowdown=a.slowdown)
        trials = [verdict(scripts, request, slow) for _ in range(a.trials)]
        wrong, of = changed_images(scripts, request, sides(place, a.variant, wrong=True))
    verdicts = ", ".join(f"{one['verdict']} ({one['ratio']:.3f})" for one in trials)
    cells = [
        [f"{a.slowdown:.0%} slower", verdicts],
        ["wrong class maps in a round", f"{wrong} of {of} images differ from those of a right one"],
    ]
    record = {"margin": MARGIN, "trials": trials, "wrong_images": wrong, "images": of}
    leave(a.out, "planted_faults", ["planted", "found"], cells, record)


if __name__ == "__main__":
    main()
