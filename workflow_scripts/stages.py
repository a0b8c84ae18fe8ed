"""Say where an image's time goes in each row: a table of its stages, and a picture with a bar for each row."""

from __future__ import annotations

import argparse
from pathlib import Path

from segbench.files import read_json, write_text
from segbench.process.lifetime import command
from segbench.report import render
from segbench.report.stages import Bar, stages_plot
from segbench.table.markdown import table
from segbench.table.stages import HEADER, RowStages, doubts, method, row_stages, sentences, stage_cells


def page(rows: list[RowStages], picture: str) -> str:
    """Return the page in Markdown. `picture` is the name of the file beside it."""
    said = "\n".join(f"- {sentence}" for sentence in sentences(rows))
    shown = table(HEADER, [stage_cells(row) for row in rows])
    parts = ["# Where an image's time goes", said, f"![stages]({picture})", shown, doubts(rows), method(rows)]
    return "\n\n".join(filter(None, parts)) + "\n"


@command
def main() -> None:
    """Parse the command line, and write the page and its picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stages", type=Path, nargs="+", required=True, help="records that time_stages.py wrote")
    parser.add_argument("--layers", type=Path, nargs="+", required=True, help="those of profile_layers.py, of the same")
    for name in ("markdown", "svg"):
        parser.add_argument(f"--{name}", type=Path, required=True, help=f"{name} file to write, in one folder")
    args = parser.parse_args()
    rows = []
    for path, layers in zip(args.stages, args.layers, strict=True):
        times = read_json(path)
        rows.append(row_stages(times["model"], times["variant"]["name"], times, read_json(layers)))
    drawn = stages_plot([Bar("", f"{row.model} · {row.variant}", row) for row in rows])
    write_text(args.svg, render.svg(drawn.file_spec()))
    write_text(args.markdown, page(rows, args.svg.name))
    print(args.markdown)


if __name__ == "__main__":
    main()
