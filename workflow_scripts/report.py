"""Make report.html, one file that opens anywhere, and the plots in it as SVG and PNG."""

from __future__ import annotations

import argparse
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from segbench.files import read_json, write_text
from segbench.process import lifetime
from segbench.process.lifetime import command
from segbench.report import lost_objects, provenance, render
from segbench.report.answer import Claims
from segbench.report.charts import Plot
from segbench.report.derived import Facts, claims_of
from segbench.report.explanations import explanations, partings
from segbench.report.image_groups import image_groups
from segbench.report.page import Content, page
from segbench.report.paired_miou import PairedMiou
from segbench.report.plots import plots
from segbench.report.rounds import rounds_of
from segbench.report.samples import samples
from segbench.report.stages import stages_plots
from segbench.report.starts import starts_of_rows
from segbench.report.worst_images import worst_images
from segbench.table.published import compare, read_published
from segbench.table.rows import read_rows


def read(results: Path, selection: dict[str, Any]) -> tuple[list[Facts], Claims, list[Plot]]:
    """Read the rows with the report's keys, judge what can be claimed of them, and draw their plots."""
    rows, claims = claims_of(read_rows(results, selection), PairedMiou(results))
    return rows, claims, plots(rows, rounds_of(results, rows))


def gather(asked: argparse.Namespace, rows: list[Facts], claims: Claims, drawn: list[Plot]) -> Content:
    """Read everything that the page shows, below `asked.results`."""
    results, selection = asked.results, asked.selection
    lines, left_out = samples(results, rows, shard_count=selection["shards"])
    return Content(
        rows=rows,
        claims=claims,
        plots=[*drawn, *stages_plots(results, rows)],
        lines=lines,
        lines_left_out=left_out,
        lost=lost_objects.table_of(results, rows),
        lost_lines=lost_objects.lines_of(results, rows, selection["shards"]),
        worst_images=worst_images(results, rows),
        image_groups=image_groups(results, rows),
        explanations=explanations(results, rows),
        partings=partings(results, rows),
        starts=starts_of_rows(results, rows),
        compared=compare(claims.rows, read_published(asked.published)),
        environments=provenance.environments(results, rows),
        models=provenance.models(results, rows),
        stages=provenance.stages(results, rows),
        classes=read_json(results / "data" / selection["dataset"] / "val" / "dataset.json")["classes"],
        settings=asked.settings,
        date=asked.date,
    )


@command
def main() -> None:
    """Parse the command line and write the page and the plots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="the results folder")
    parser.add_argument(
        "--selection",
        type=json.loads,
        required=True,
        help="JSON: dataset, rounds, shards, average, control, titles of models, variants by name",
    )
    parser.add_argument("--rounds", type=Path, required=True, help="rounds.json: what rows got further rounds")
    parser.add_argument(
        "--settings", type=json.loads, required=True, help="JSON: configuration, command, margin of equal times"
    )
    parser.add_argument("--published", type=Path, nargs="+", required=True, help="CSV files of published figures")
    parser.add_argument("--date", default=f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC", help="what the page says")
    parser.add_argument("--html", type=Path, required=True, help="report.html to write")
    parser.add_argument("--plots", type=Path, required=True, help="folder for NAME.svg and NAME.png of every plot")
    args = parser.parse_args()
    args.selection["extra"] = read_json(args.rounds)["extra"]
    # Processes draw, not threads, since the drawing library holds the interpreter lock.
    with lifetime.pool(2) as others:
        vega = others.submit(render.javascript)
        rows, claims, drawn = read(args.results, args.selection)
        files = [others.submit(render.write, plot.name, plot.file_spec(), args.plots) for plot in drawn]
        write_text(args.html, page(gather(args, rows, claims, drawn), vega.result))
        for file in files:
            file.result()
    print(f"The report: {args.html}")


if __name__ == "__main__":
    main()
