"""Make report.html, one file that opens anywhere, and the plots in it as SVG and PNG."""

from __future__ import annotations

import argparse
import json
from datetime import datetime, timezone
from pathlib import Path

from segbench.files import read_json, write_text
from segbench.process import lifetime
from segbench.process.lifetime import command
from segbench.report import render

JOBS = 2  # processes that draw plots


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
    parser.add_argument("--vega", type=Path, help="vega.json: the plotting library (none: it is bundled now)")
    parser.add_argument("--published", type=Path, nargs="+", required=True, help="CSV files of published figures")
    parser.add_argument("--date", default=f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC", help="what the page says")
    parser.add_argument("--html", type=Path, required=True, help="report.html to write")
    parser.add_argument("--plots", type=Path, required=True, help="folder for NAME.svg and NAME.png of every plot")
    args = parser.parse_args()
    args.selection["extra"] = read_json(args.rounds)["extra"]
    # Processes draw, not threads, since the drawing library holds the interpreter lock.
    with lifetime.pool(JOBS) as others:
        for _ in range(JOBS):
            others.submit(render.warm_up)
        # Imported here, since the processes that draw import this script, and need none of it.
        from segbench.report import contents, page

        vega = read_json(args.vega)["script"] if args.vega else render.javascript()
        rows, claims, plots = contents.read(args.results, args.selection)
        drawn, files = [], []
        for plot in plots:
            drawn.append(plot)
            files.append(others.submit(render.write, plot.name, plot.file_spec(), args.plots))
        write_text(args.html, page.page(contents.gather(args, rows, claims, drawn), vega))
        for file in files:
            file.result()
    print(f"The report: {args.html}")


if __name__ == "__main__":
    main()
