"""Draw the way from one row's time to another's, group of layers by group."""

from __future__ import annotations

import altair as alt

from segbench.report.charts import Plot, Record, Table, figures
from segbench.table.explain import Change, change_cells

SAVES, LOSES, WHOLE = "#009e73", "#d55e00", "#0072b2"


def header(titles: tuple[str, str]) -> list[str]:
    """Return the header of the table of groups."""
    return ["group of layers", f"{titles[0]}, ms", "layers", f"{titles[1]}, ms", "layers", "change, ms"]


def waterfall(titles: tuple[str, str], found: list[Change]) -> Plot:
    """Return a plot with a bar for each row's time, and one for each change between them, where the last one ended.
    Without changes it says that there are no times.
    """
    first = sum(one.first.seconds for one in found) * 1e3
    second = sum(one.second.seconds for one in found) * 1e3
    records: list[Record] = []
    at = first
    for one in found:
        records.append(_bar(one.name, at, at + one.seconds * 1e3, "saves" if one.seconds < 0 else "loses"))
        at += one.seconds * 1e3
    if records:
        records = [_bar(titles[0], 0.0, first, "row"), *records, _bar(titles[1], 0.0, second, "row")]
    colour = alt.Scale(domain=["row", "saves", "loses"], range=[WHOLE, SAVES, LOSES])
    chart = (
        figures()
        .mark_bar(minBandSize=2)
        .encode(
            x=alt.X("start:Q", title="milliseconds of a run"),
            x2=alt.X2("end:Q"),
            y=alt.Y("label:N", sort=None, axis=alt.Axis(title=None, labelLimit=260)),
            color=alt.Color("kind:N", scale=colour, legend=alt.Legend(title=None, orient="bottom")),
            tooltip=[alt.Tooltip("label:N"), alt.Tooltip("change:Q", format="+.3f")],
        )
    )
    return Plot(
        name="waterfall",
        title=f"From {titles[0]} to {titles[1]}",
        caption="Each bar begins where the one above it ends.",
        description=f"Waterfall of {len(found)} groups of layers, from {first:.3g} ms to {second:.3g} ms.",
        chart=chart,
        height={"step": 22},
        records=records,
        table=Table(header(titles), [("", cells) for cells in change_cells(found)]),
        nothing="there are no times of layers",
    )


def _bar(label: str, start: float, end: float, kind: str) -> Record:
    """Return a bar from `start` to `end`, in milliseconds."""
    places = {"start": round(start, 5), "end": round(end, 5), "change": round(end - start, 5)}
    return {"label": label, "kind": kind, **places}
