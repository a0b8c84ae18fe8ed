"""Choose the rows that get more rounds, since the intervals of their times are wide, and how many each gets."""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from pathlib import Path
from typing import Any

from segbench.files import checked, read_json, write_record
from segbench.process.lifetime import command
from segbench.timing.intervals import figure_of_round
from segbench.timing.latencies import read_compute_s
from segbench.timing.more_rounds import Row, further_rounds


def read_rows(results: Path, settings: dict[str, Any]) -> dict[str, Row]:
    """Return by `model/variant` the planned rounds of every chosen row that ran."""
    found = {}
    for model, variant in itertools.product(settings["models"], settings["variants"]):
        row = f"{model}/{variant}"
        folders = [results / "runs" / settings["dataset"] / row / f"{n}/0" for n in range(1, settings["rounds"] + 1)]
        statuses = [read_json(folder / "status.json") for folder in folders]
        if all(one["status"] == "ok" for one in statuses):
            files = [checked(folder / "latencies.csv", one) for folder, one in zip(folders, statuses, strict=True)]
            times = [read_compute_s(path) for path in files]
            figures = [figure_of_round(one, settings["average"]) for one in times]
            found[row] = Row(figures, statistics.fmean(one["wall_s"] for one in statuses), model)
    return found


@command
def main() -> None:
    """Parse the command line, choose, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="the results folder")
    parser.add_argument(
        "--settings",
        type=json.loads,
        required=True,
        help="JSON: dataset, models, variants, control, rounds; average, target, max_rounds, extra_s of timing",
    )
    parser.add_argument("--out", type=Path, required=True, help="rounds.json to write")
    args = parser.parse_args()
    asked, extra = args.settings, {}
    if asked["target"] is not None:
        rows = read_rows(args.results, asked)
        control_s = rows[asked["control"]].round_s if asked["control"] in rows else 0.0
        extra = further_rounds(rows, asked["target"], asked["max_rounds"], asked["extra_s"], control_s)
    write_record(args.out, {"rounds": asked["rounds"], "extra": extra})
    more = f"{sum(extra.values())} more rounds for {len(extra)} rows, whose intervals are wider than"
    print(f"{more} ±{asked['target']:.0%}" if extra else "no row needs more rounds")


if __name__ == "__main__":
    main()
