"""Compare this run's table with baselines, or its variants with each other, in comparison.md and comparison.json."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from segbench.files import read_json, write_json, write_text
from segbench.planning.baselines import kept_rows, table_of
from segbench.process.lifetime import command
from segbench.table.comparison import Comparison, against_baselines, judged, of_pairs, to_time_again
from segbench.table.csv import read_table
from segbench.table.markdown import table


def compare(csv: Path, pairs: list[Path], settings: dict[str, Any]) -> list[Comparison]:
    """Return all comparisons that `settings` ask for. `pairs` are records of jobs that timed two variants
    alternating.
    """
    rows, baselines = read_table(csv), settings["baselines"]
    runs = [read_table(table_of(path)) for path in baselines]
    found = against_baselines(rows, runs, settings) if runs else []
    found = to_time_again(found, rows, runs, kept_rows(baselines), settings)
    timed = {(record["model"], record["variant"], record["other"]): record for record in map(read_json, pairs)}
    return judged(found + of_pairs(rows, timed, settings), settings["margin"])


def report(found: list[Comparison], settings: dict[str, Any]) -> str:
    """Write the comparisons as Markdown, with the meaning of the verdicts."""
    if not found:
        return "# Comparison\n\nNothing to compare: set `baseline` to an earlier run, or `comparison.pairs`.\n"
    header = ["model", "variant", "against", "verdict", "ratio", "95% interval", "notes"]
    cells = [
        [
            row["model"],
            row["variant"],
            row["against"],
            row["verdict"] or "",
            "" if row["ratio"] is None else f"{row['ratio']:.3f}",
            "" if row["ratio_low"] is None else f"{row['ratio_low']:.3f}–{row['ratio_high']:.3f}",
            "; ".join([*row["faults"], *row["notes"]]),
        ]
        for row in found
    ]
    counts = ", ".join(f"{sum(row['verdict'] == word for row in found)} {word}" for word in _words(found))
    margin, drop = settings["margin"], settings["max_drop"]
    explained = (
        "Ratio: the variant's time over the time it is compared with. SAME: the whole interval is within "
        f"±{margin:g}; SLOWER, FASTER: it excludes 1 and the ratio is beyond that (SLOWER: corrected by Holm for the "
        "number of rows); UNCLEAR: more rounds are needed; "
        f"WRONG: it no longer runs, lost more than {drop:g} mIoU or more objects than `comparison.max_lost` allows, or "
        "computes something else."
    )
    parts = ["# Comparison", *_baselines(settings["baselines"]), table(header, cells)]
    return "\n\n".join([*parts, f"{counts or 'No verdicts'}.", explained]) + "\n"


def _baselines(paths: list[str]) -> list[str]:
    named = ", ".join(f"`{path}`" for path in paths)
    if len(paths) == 1:
        return [f"Baseline: {named}. It is one run: the spread of the rows tells how runs of different days differ."]
    return [f"Baselines: {named}. How these runs differ is in the intervals."] if paths else []


def _words(found: list[Comparison]) -> list[str]:
    return sorted({row["verdict"] for row in found if row["verdict"]})


@command
def main() -> None:
    """Parse the command line, compare and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True, help="table.csv of this run")
    parser.add_argument("--pairs", type=Path, nargs="*", default=[], help="records of results/pairs/")
    parser.add_argument(
        "--settings",
        type=json.loads,
        required=True,
        help="JSON: the section comparison; bounds of agreement; baselines, a list of paths; codes, by variant the"
        " digest of its engine's modules",
    )
    parser.add_argument("--markdown", type=Path, required=True, help="comparison.md to write")
    parser.add_argument("--out", type=Path, required=True, help="comparison.json to write")
    args = parser.parse_args()
    found = compare(args.table, args.pairs, args.settings)
    text = report(found, args.settings)
    write_json(args.out, found)
    write_text(args.markdown, text)
    print(text)


if __name__ == "__main__":
    main()
