"""Read, judge and draw what the page shows."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from segbench.files import read_json
from segbench.report import lost_objects, provenance
from segbench.report.answer import Claims
from segbench.report.charts import Plot
from segbench.report.derived import Facts, claims_of
from segbench.report.explanations import explanations, partings
from segbench.report.image_groups import image_groups
from segbench.report.page import Content
from segbench.report.paired_miou import PairedMiou
from segbench.report.plots import plots
from segbench.report.rounds import rounds_of
from segbench.report.samples import samples
from segbench.report.stages import stages_plots
from segbench.report.starts import starts_of_rows
from segbench.report.worst_images import worst_images
from segbench.table.published import compare, read_published
from segbench.table.rows import read_rows


def read(results: Path, selection: dict[str, Any]) -> tuple[list[Facts], Claims, Iterator[Plot]]:
    """Read the rows with the report's keys, judge what can be claimed of them, and make their plots."""
    rows, claims = claims_of(read_rows(results, selection), PairedMiou(results))
    return rows, claims, plots(rows, rounds_of(results, rows))


def gather(asked: Namespace, rows: list[Facts], claims: Claims, drawn: Iterable[Plot]) -> Content:
    """Read everything that the page shows, below `asked.results`. `asked` are the arguments of `report.py`."""
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
