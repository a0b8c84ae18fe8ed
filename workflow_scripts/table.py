"""Gather all rows into table.csv, .json, .tex and .md: the published page's form first, then the full table."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from segbench.files import read_json, write_json, write_text
from segbench.machine.cpu import this_machine
from segbench.process.lifetime import command
from segbench.table.columns import COLUMNS, SCHEMA
from segbench.table.csv import to_csv
from segbench.table.latex import to_latex
from segbench.table.markdown import (
    class_table,
    distrusted,
    full_table,
    page_table,
    published_table,
    reasons,
    row_notes,
    throughput,
)
from segbench.table.published import compare, read_published
from segbench.table.row import Row, value
from segbench.table.rows import read_rows


def to_json(rows: list[Row]) -> dict[str, Any]:
    """Return `rows` as config/schemas/table.schema.json describes them: null for what was not measured."""
    return {"schema": SCHEMA, "rows": [{column.name: value(row, column.name) for column in COLUMNS} for row in rows]}


@command
def main() -> None:
    """Parse the command line and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="the results folder")
    parser.add_argument(
        "--selection",
        type=json.loads,
        required=True,
        help="JSON: dataset, rounds, shards, average, control, titles of models, variants by name",
    )
    parser.add_argument("--rounds", type=Path, required=True, help="rounds.json: what rows got further rounds")
    parser.add_argument("--published", type=Path, nargs="+", required=True, help="CSV files of published figures")
    parser.add_argument("--csv", type=Path, required=True, help="table.csv to write")
    parser.add_argument("--markdown", type=Path, required=True, help="table.md to write")
    parser.add_argument("--json", type=Path, required=True, help="table.json to write")
    parser.add_argument("--tex", type=Path, required=True, help="table.tex to write")
    args = parser.parse_args()
    args.selection["extra"] = read_json(args.rounds)["extra"]
    rows = read_rows(args.results, args.selection)
    write_text(args.csv, to_csv(rows))
    write_json(args.json, to_json(rows))
    write_text(args.tex, to_latex(rows))
    page, compared = page_table(rows), compare(rows, read_published(args.published))
    parts = [
        "# SegBench",
        page,
        "## Full table",
        full_table(rows),
        *throughput(rows),
        *distrusted(rows),
        *published_table(compared),
        *row_notes(rows),
        *reasons(rows),
        *class_table(rows),
    ]
    write_text(args.markdown, "\n\n".join(parts) + "\n")
    print(f"{page}\n\nIn full: {args.markdown}, {args.csv}")
    if this_machine().nvidia_driver and not any(row["device"] == "gpu" for row in rows):
        print("This machine has an NVIDIA GPU: snakemake --configfile config/demo_gpu.yaml is its demo")


if __name__ == "__main__":
    main()
