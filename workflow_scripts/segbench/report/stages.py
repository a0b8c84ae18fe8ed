"""Draw the stages of an image as one stacked bar for each row."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import altair as alt

from segbench.files import read_json
from segbench.report.charts import COLOURS, Plot, Table, figures, label_axis, legend
from segbench.report.derived import Facts
from segbench.table.stages import HEADER, SHOWN, RowStages, doubts, method, row_stages, sentences, stage_cells

# The network and its head are two shades of blue.
SHADES = dict(zip(SHOWN, (COLOURS[1], COLOURS[2], COLOURS[3], COLOURS[0], COLOURS[4], COLOURS[6]), strict=True))


class Bar(NamedTuple):
    """A row's stages, the row's id in the page ("": no page), and its label."""

    row: str
    label: str
    stages: RowStages


def stages_plots(results: Path, rows: list[Facts]) -> list[Plot]:
    """Return the plot of the stages of those rows whose stages somebody asked for; no plot where nobody did."""
    bars = []
    for row in rows:
        place = Path(row["dataset"], row["model"], f"{row['variant']}.json")
        paths = [results / folder / place for folder in ("stages", "layers")]
        if all(path.exists() for path in paths):
            of_row = row_stages(row["title"], row["variant"], *map(read_json, paths))
            bars.append(Bar(row["id"], row["label"], of_row))
    return [stages_plot(bars)] if bars else []


def stages_plot(bars: list[Bar]) -> Plot:
    """Return a plot with a stacked bar for each row that ran, and a table of all rows."""
    found = [bar.stages for bar in bars]
    records = [
        {
            "row": bar.row,
            "label": bar.label,
            "stage": stage,
            "order": SHOWN.index(stage),
            "ms": round(seconds * 1e3, 5),
            "share": round(bar.stages.share(stage), 5),
        }
        for bar in bars
        for stage, seconds in bar.stages.seconds.items()
    ]
    shown = [stage for stage in SHOWN if any(record["stage"] == stage for record in records)]
    colour = alt.Scale(domain=shown, range=[SHADES[stage] for stage in shown])
    chart = (
        figures()
        .mark_bar()
        .encode(
            x=alt.X("ms:Q", title="milliseconds of an image", stack="zero"),
            y=label_axis(),
            color=alt.Color("stage:N", scale=colour, legend=legend(), title="stage"),
            order=alt.Order("order:Q"),
            tooltip=[
                *(alt.Tooltip(f"{key}:N") for key in ("label", "stage")),
                alt.Tooltip("ms:Q", format=".3g"),
                alt.Tooltip("share:Q", format=".0%", title="share of the sum"),
            ],
        )
    )
    said = " ".join(sentences(found))
    return Plot(
        name="stages",
        title="Where an image's time goes",
        caption=" ".join(filter(None, [said, method(found), doubts(found).replace("*", "").replace("`", "")])),
        description=f"Stacked bars of the stages of {sum(map(bool, (one.seconds for one in found)))} rows. {said}",
        chart=chart,
        records=records,
        table=Table(HEADER, [(bar.row, stage_cells(bar.stages)) for bar in bars]),
        nothing="no row ran",
    )
