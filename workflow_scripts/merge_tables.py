"""Put the tables of several machines into one report, with a section for each hardware and no table of all."""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path

from segbench.errors import InputError
from segbench.files import write_text
from segbench.process.lifetime import command
from segbench.table import distrust
from segbench.table.cells import resolution, time_cell
from segbench.table.columns import doubts
from segbench.table.comparison import key_of
from segbench.table.csv import read_table
from segbench.table.formats import miou, share, text
from segbench.table.markdown import legend_line, table
from segbench.table.row import Row

FromTable = tuple[Row, str]  # a row, and the table.csv that it is from
NOWHERE = ""  # "hardware" of rows that could not run


def merge(tables: list[Path]) -> dict[str, list[FromTable]]:
    """Return rows by hardware, in the order of the tables.

    Raises InputError where two tables have a row of the same data set, model and variant measured on equal hardware.
    """
    found: dict[str, list[FromTable]] = {}
    seen: dict[tuple[str, ...], Path] = {}
    for path in tables:
        for row in read_table(path):
            hardware = row["hardware_id"] or NOWHERE
            key = (hardware, *key_of(row))
            if hardware and key in seen:
                raise InputError(f"{path}: {' '.join(key[1:])} on {hardware} stands in {seen[key]} too; leave one out")
            seen[key] = path
            found.setdefault(hardware, []).append((row, str(path)))
    return found


def to_markdown(found: dict[str, list[FromTable]]) -> str:
    """Write a section for each hardware, and one for the rows that ran nowhere, with their reasons."""
    parts = ["# SegBench: several machines", "Times compare within a section only."]
    for hardware, rows in found.items():
        if hardware != NOWHERE:
            parts += [f"## {rows[0][0]['hardware'] or 'Hardware'} ({hardware})", _measured(rows)]
    if NOWHERE in found:
        header = ["table", "dataset", "model", "variant", "status", "reason"]
        parts += [
            "## Rows that could not run",
            table(header, [[path, *key_of(row), row["status"], row["reason"]] for row, path in found[NOWHERE]]),
        ]
    return "\n\n".join(parts) + "\n"


def _measured(rows: list[FromTable]) -> str:
    """Write the rows of one hardware, and below them the legend and each table's smallest difference."""
    first = distrust.first_hardware(row for row, _ in rows)
    header = ["dataset", "model", "variant", "mIoU", "agreement", "time s", "threads", "warnings", "table"]
    cells = [
        [
            *key_of(row),
            miou(row["miou"]),
            share(row["pixel_agreement"]),
            str(time_cell(row, first)),
            text(row["threads"]),
            doubts(row),
            path,
        ]
        for row, path in rows
    ]
    by_table: dict[str, list[Row]] = {}
    for row, path in rows:
        by_table.setdefault(path, []).append(row)
    told = [f"{path}: {said}" for path, own in by_table.items() if (said := resolution(own))]
    return "\n\n".join([table(header, cells), legend_line([row for row, _ in rows]), *told])


def to_csv(tables: list[Path]) -> str:
    """Write the tables' rows as they are, after a column `table`. Their hardware_id distinguishes them."""
    rows = []
    for path in tables:
        with open(path, newline="", encoding="utf-8") as stream:
            rows += [{"table": str(path), **row} for row in csv.DictReader(stream)]
    merged = io.StringIO()
    writer = csv.DictWriter(merged, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return merged.getvalue()


@command
def main() -> None:
    """Parse the command line and merge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=Path, nargs="*", required=True, help="table.csv of every machine")
    parser.add_argument("--markdown", type=Path, required=True, help="merged.md to write")
    parser.add_argument("--csv", type=Path, required=True, help="merged.csv to write")
    args = parser.parse_args()
    if not args.tables:
        raise InputError("tables: none given; name each machine's table.csv: --config tables='[a.csv,b.csv]'")
    text = to_markdown(merge(args.tables))
    write_text(args.csv, to_csv(args.tables))
    write_text(args.markdown, text)
    print(text)


if __name__ == "__main__":
    main()
