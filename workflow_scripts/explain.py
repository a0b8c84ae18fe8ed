"""Explain why one variant of a model is faster or slower than another, from the times of their layers.

It writes a sentence with numbers, a table by groups of layers, each row's slowest layers, and a picture.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, cast

from segbench.files import read_json, write_record, write_text
from segbench.process.lifetime import command
from segbench.report import render
from segbench.report.waterfall import header, waterfall
from segbench.table.csv import read_table
from segbench.table.explain import Change, change_cells, changes, layer_cells, sentence, sum_of_layers
from segbench.table.formats import ratio
from segbench.table.markdown import table
from segbench.table.row import Row, value
from segbench.timing.layers import Profile

SLOWEST = 12  # layers of each row that are listed
LISTED = ["layer", "kind (kernel)", "precision", "fused into it", "median, ms", "quartiles, ms"]
LIKE = 1.25  # factor within which a profiled run is like the row's rounds


def times(titles: tuple[str, str], profiles: list[Profile], rows: list[Row | None]) -> str:
    """Return what a run took, by its layers, in the profiled run, and in the row's timed rounds, and what that says."""
    heads = ["", "sum of its layers, ms", "profiled run, ms", "row's time, ms", "profiled run / row's time"]
    cells, ratios = [], []
    for title, profile, row in zip(titles, profiles, rows, strict=True):
        run_s, time_s = profile["run_s"], row and row["time_s"]
        ratios.append(run_s / time_s if time_s else None)
        measured = [sum_of_layers(profile), run_s, *([time_s] if time_s else [])]
        cells.append([title, *(f"{one * 1e3:.3f}" for one in measured), *([ratio(ratios[-1])] if time_s else ["", ""])])
    said = "The engines' own profilers were on for the layers, which costs time."
    if any(one and not 1 / LIKE <= one <= LIKE for one in ratios):
        said += (
            " **The profiled runs are not like the timed rounds**, since the machine was busier or slower: run the rule"
            " `profile_layers` again (`snakemake --forcerun profile_layers …`) when nothing else runs."
        )
    return f"{table(heads, cells)}\n\n{said}"


def missing(titles: tuple[str, str], records: list[dict[str, Any]]) -> str:
    """Say why there are no times of layers; empty where both rows have them."""
    reasons = [f"{title}: {record['status']}: {record['reason']}" for title, record in zip(titles, records, strict=True)
               if record["status"] != "ok"]  # fmt: skip
    return f"There are no times of layers ({'; '.join(reasons)})." if reasons else ""


def explained(titles: tuple[str, str], profiles: list[Profile], rows: list[Row | None]) -> tuple[str, list[str]]:
    """Return the sentence that explains the pair, and the Markdown parts that follow it."""
    first, second = profiles
    said = sentence(titles, first, second, rows[1] and value(rows[1], "fp32_layers"))
    parts = [times(titles, profiles, rows), table(header(titles), change_cells(changes(first, second)))]
    for title, profile in zip(titles, profiles, strict=True):
        cells = layer_cells(profile, SLOWEST)
        parts += [f"## The slowest {len(cells)} of {len(profile['layers'])} layers of {title}", table(LISTED, cells)]
    return said, parts


@command
def main() -> None:
    """Parse the command line and write the explanation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="the model's name")
    parser.add_argument("--variants", nargs=2, required=True, metavar="NAME", help="what is explained: from, to")
    parser.add_argument("--layers", type=Path, nargs=2, required=True, help="their times of layers (profile_layers.py)")
    parser.add_argument("--table", type=Path, required=True, help="table.csv of the run")
    for name in ("markdown", "json", "svg"):
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"{name} file to write, in one folder")
    args = parser.parse_args()
    titles, records = tuple(args.variants), [read_json(path) for path in args.layers]
    of = {(row["model"], row["variant"]): row for row in read_table(args.table)}
    rows = [of.get((args.model, title)) for title in titles]
    said, parts, found = missing(titles, records), list[str](), list[Change]()
    if not said:
        profiles = cast(list[Profile], records)
        said, parts = explained(titles, profiles, rows)
        found = changes(*profiles)
    write_text(args.svg, render.svg(waterfall(titles, found).file_spec()))
    write_record(args.json, {"model": args.model, "variants": titles, "said": said})
    page = [f"# {args.model}: {titles[1]} against {titles[0]}", said, f"![waterfall]({args.svg.name})", *parts]
    write_text(args.markdown, "\n\n".join(page) + "\n")
    print(said)


if __name__ == "__main__":
    main()
