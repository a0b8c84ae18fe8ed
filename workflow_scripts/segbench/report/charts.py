"""Describe a plot of the report: its Vega-Lite specification, its figures, its words, and a table of the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import altair as alt
from altair.utils.schemapi import disable_debug_mode

from segbench.report.derived import Facts

# Tests check every chart against Vega-Lite's schema. To check them in every report would take a second.
disable_debug_mode()

Record = dict[str, Any]
FIGURES = "figures"  # the data set's name in every specification
# Okabe and Ito's colours that stand out on white and on black, then others of middle lightness.
COLOURS = ("#0072b2", "#e08e00", "#009e73", "#cc79a7", "#3aa0d8", "#d55e00", "#8a8a8a", "#7b61c9", "#a3762b", "#5d8a00")
STEP = 20  # pixels of a bar and its gap
FILE_WIDTH = 640  # pixels of a plot's inside in SVG and PNG; in the page it fills the window
PAGE_FONT = "system-ui, 'DejaVu Sans', sans-serif"
# The drawing library has this font in memory. It reads others from their files for every text, which takes two thirds
# of the time of drawing, and a file of plots would depend on the fonts of the machine.
FILE_FONT = "sans-serif"
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
    chart: Any  # an Altair chart, layered or not, without a size
    records: list[Record]
    table: Table
    nothing: str = "nothing was measured that could be shown here"
    height: Any = field(default_factory=lambda: {"step": STEP})  # or pixels; a step is of each row

    def page_spec(self) -> dict[str, Any]:
        """Return Vega-Lite for the page, without data, as wide as its container and with a transparent background."""
        fit = {"contains": "padding", "type": "fit-x"}
        own = {"autosize": fit, "description": self.description, "height": self.height, "width": "container"}
        return self._spec(self.chart, "transparent", PAGE_FONT, **own)

    def file_spec(self) -> dict[str, Any]:
        """Return Vega-Lite for a file: fixed width, white background, with its data, or a sentence where there is
        none.
        """
        own: dict[str, Any] = {"title": self.title, "width": FILE_WIDTH}
        if self.records:
            spec = self._spec(self.chart, "white", FILE_FONT, height=self.height, **own)
        else:
            spec = self._spec(sentence(f"{self.title}: {self.nothing}"), "white", FILE_FONT, **own)
        return {**spec, "datasets": {FIGURES: self.records or [{}]}}

    def _spec(self, chart: Any, background: str, font: str, **own: Any) -> dict[str, Any]:
        """Return the chart as Vega-Lite with `own` keys. Altair would copy the whole chart for each of them."""
        spec: dict[str, Any] = chart.to_dict(validate=False)
        spec.pop("usermeta", None)  # Altair's, for embedding
        params = [{"name": "narrow", "value": False}]  # the page's script sets it on a phone
        config = {**spec["config"], "background": background, "font": font}
        return {**spec, "config": config, "padding": PADDING, "params": params, **own}


def figures() -> alt.Chart:
    """Return a chart whose data set is put in later. On a phone `narrow` is set, and labels take two lines."""
    return alt.Chart(alt.NamedData(name=FIGURES))


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
