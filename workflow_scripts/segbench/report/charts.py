"""Describe a plot of the report: its Vega-Lite specification, its figures, its words, and a table of the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import altair as alt

from segbench.report.derived import Facts

Record = dict[str, Any]
FIGURES = "figures"  # the data set's name in every specification
# Okabe and Ito's colours that stand out on white and on black, then others of middle lightness.
COLOURS = ("#0072b2", "#e08e00", "#009e73", "#cc79a7", "#3aa0d8", "#d55e00", "#8a8a8a", "#7b61c9", "#a3762b", "#5d8a00")
STEP = 20  # pixels of a bar and its gap
FILE_WIDTH = 640  # pixels of a plot's inside in SVG and PNG; in the page it fills the window
PADDING = {"left": 5, "top": 5, "right": 30, "bottom": 5}  # pixels; a figure may stand to the right of its bar


@dataclass(frozen=True)
class Table:
    """The headers of a table, and its rows of (row id or "", cells as text)."""

    header: list[str]
    rows: list[tuple[str, list[str]]]


@dataclass(frozen=True)
class Plot:
    """A plot: `chart` without data, and `records` as its data. `nothing` says why there are no records."""

    name: str
    title: str
    caption: str
    description: str
    chart: Any  # an Altair chart, layered or not
    records: list[Record]
    table: Table
    nothing: str = "nothing was measured that could be shown here"
    config: dict[str, Any] = field(default_factory=lambda: {"font": "system-ui, 'DejaVu Sans', sans-serif"})

    def page_spec(self) -> dict[str, Any]:
        """Return Vega-Lite for the page, without data, as wide as its container and with a transparent background."""
        fit = alt.AutoSizeParams(type="fit-x", contains="padding")
        chart = self.chart.properties(width="container", autosize=fit, padding=PADDING, description=self.description)
        return _plain(chart.configure(background="transparent", **self.config))

    def file_spec(self) -> dict[str, Any]:
        """Return Vega-Lite for a file: fixed width, white background, with its data, or a sentence where there is
        none.
        """
        chart = self.chart if self.records else sentence(f"{self.title}: {self.nothing}")
        chart = chart.properties(width=FILE_WIDTH, title=self.title, padding=PADDING).configure(
            background="white", **self.config
        )
        return {**_plain(chart), "datasets": {FIGURES: self.records or [{}]}}


def _plain(chart: Any) -> dict[str, Any]:
    """Return the chart as a dict without the usermeta for embedding that Altair adds."""
    spec: dict[str, Any] = chart.to_dict()
    spec.pop("usermeta", None)
    return spec


def figures() -> alt.Chart:
    """Return a chart whose data set is put in later. On a phone `narrow` is set, and labels take two lines."""
    return alt.Chart(alt.NamedData(name=FIGURES))


NARROW = alt.param(name="narrow", value=False)


def label_axis(title: str | None = None) -> alt.Y:
    """Return an axis with a line per row, labelled by model and variant, in the table's order."""
    model, variant = "split(datum.label, ' · ')[0]", "slice(split(datum.label, ' · '), -1)[0]"
    axis = alt.Axis(
        title=title,
        labelExpr=f"narrow ? [truncate({model}, 20), {variant}] : truncate({model}, 36) + ' · ' + {variant}",
        labelLimit=alt.ExprRef("narrow ? 128 : 330"),
    )
    return alt.Y("label:N", sort=None, axis=axis)


def engine_colour(rows: list[Facts]) -> alt.Color:
    """Return a colour per engine, which is the same in every plot and under every filter."""
    engines = list(dict.fromkeys(row["engine"] for row in rows))
    colours = [COLOURS[n % len(COLOURS)] for n in range(len(engines))]
    return alt.Color("engine:N", scale=alt.Scale(domain=engines, range=colours), legend=legend(), title="engine")


def legend() -> alt.Legend:
    """Return a legend below the plot, in as many columns as a phone or a screen has room for."""
    return alt.Legend(orient="bottom", columns=alt.ExprRef("narrow ? 2 : 4"), labelLimit=150, symbolOpacity=1)


def sentence(text: str) -> alt.Chart:
    """Return a plot whose text says why nothing is drawn."""
    return figures().mark_text(fontSize=13, limit=FILE_WIDTH).encode(text=alt.value(text))
