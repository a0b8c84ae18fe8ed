"""Make report.html, one file that opens anywhere, and the plots in it as SVG and PNG."""

from __future__ import annotations

import argparse
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from segbench.errors import command
from segbench.files import atomic, read_json, write_text
from segbench.published import compare, read_published
from segbench.report import measured, render
from segbench.report.facts import with_facts
from segbench.report.latencies import rounds_of
from segbench.report.page import Content, page
from segbench.report.plots import plots
from segbench.report.samples import samples
from segbench.rows import read_rows


def gather(results: Path, selection: dict[str, Any], settings: dict[str, Any], published: Path, date: str) -> Content:
    """Everything that the page shows, read below `results`."""
    rows = with_facts(read_rows(results, selection))
    lines, left_out = samples(results, rows)
    return Content(
        rows=rows,
        plots=plots(rows, rounds_of(results, rows, selection["rounds"])),
        lines=lines,
        lines_left_out=left_out,
        compared=compare(rows, read_published(published)),
        environments=measured.environments(results, rows, selection["rounds"]),
        models=measured.models(results, rows),
        classes=read_json(results / "data" / selection["dataset"] / "val" / "dataset.json")["classes"],
        settings=settings,
        date=date,
    )


@command
def main() -> None:
    """Parse the command line and write the page and the plots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True, help="the results folder")
    parser.add_argument(
        "--selection", type=json.loads, required=True, help="JSON: dataset, rounds, titles of models, variants by name"
    )
    parser.add_argument(
        "--settings", type=json.loads, required=True, help="JSON: configuration to be shown, command to reproduce"
    )
    parser.add_argument("--published", type=Path, required=True, help="CSV of the published page's rows")
    parser.add_argument("--date", default=f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC", help="what the page says")
    parser.add_argument("--html", type=Path, required=True, help="report.html to write")
    parser.add_argument("--plots", type=Path, required=True, help="folder for NAME.svg and NAME.png of every plot")
    a = parser.parse_args()
    content = gather(a.results, a.selection, a.settings, a.published, a.date)
    for plot in content.plots:
        document = render.svg(plot)
        write_text(a.plots / f"{plot.name}.svg", document)
        with atomic(a.plots / f"{plot.name}.png") as temporary:
            temporary.write_bytes(render.png(document))
    write_text(a.html, page(content))
    print(f"The report: {a.html}")


if __name__ == "__main__":
    main()
