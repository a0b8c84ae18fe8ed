"""Show how long rows take from nothing to their first class map, as far as it was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import altair as alt

from segbench.files import read_json
from segbench.report.charts import COLOURS, Plot, Table, figures
from segbench.report.derived import Facts
from segbench.table.cold_start import HEADER, Starts, cells, starts_of
from segbench.timing.conditions import IN_WORDS


def starts_of_rows(results: Path, rows: list[Facts]) -> list[tuple[Facts, list[Starts]]]:
    """Return the starts of every row of the page that has some."""
    found = []
    for row in rows:
        path = results / "cold_start" / row["dataset"] / row["model"] / f"{row['variant']}.json"
        if path.exists() and (starts := starts_of(row["title"], read_json(path))):
            found.append((row, starts))
    return found


def bars(found: Sequence[Starts]) -> Plot:
    """Return a plot with a bar for each row and condition: seconds to the first class map."""
    names = list(IN_WORDS.values())
    records = [
        {
            "label": f"{one.model} · {one.variant}",
            "start": IN_WORDS[one.condition],
            "seconds": round(one.median("first_mask_s"), 5),
        }
        for one in found
    ]
    unchecked = [f"{one.model} · {one.variant}, {IN_WORDS[one.condition]}" for one in found if one.is_unchecked]
    chart = (
        figures()
        .mark_bar(minBandSize=2)
        .encode(
            x=alt.X("seconds:Q", title="seconds to the first class map"),
            y=alt.Y("label:N", sort=None, axis=alt.Axis(title=None, labelLimit=330)),
            yOffset=alt.YOffset("start:N", sort=names),
            color=alt.Color(
                "start:N",
                scale=alt.Scale(domain=names, range=COLOURS[: len(names)]),
                legend=alt.Legend(title=None, orient="bottom", labelLimit=300),
            ),
        )
    )
    return Plot(
        name="cold_start",
        title="From a start to the first class map",
        caption="Every start is a new process. Medians over rounds."
        + (f" Unchecked: {'; '.join(unchecked)}." if unchecked else ""),
        description=f"Bars of {len(found)} rows and conditions.",
        chart=chart,
        height={"step": 10},
        records=records,
        table=Table(HEADER, [("", cells(one)) for one in found]),
    )
