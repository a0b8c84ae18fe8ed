"""Make the page: one HTML file from rows, plots, pictures and records, with everything that it needs inside."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from segbench.images.colours import palette
from segbench.report import SWEPT, answer, derived, lost_objects, quantized, worst_images
from segbench.report.charts import Plot
from segbench.report.derived import Facts
from segbench.report.explanations import Explanation
from segbench.report.image_groups import ImageGroups
from segbench.report.plots import accuracy_text
from segbench.report.render import javascript
from segbench.report.samples import Line
from segbench.report.worst_images import WorstImages
from segbench.table import cold_start, formats, markdown
from segbench.table.cells import time_cell
from segbench.table.cold_start import Starts
from segbench.table.columns import NAMES
from segbench.table.published import Compared, differences, source_line
from segbench.table.row import Row, value

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Content:
    """The contents of the page. Rows have the report's keys."""

    rows: list[Facts]
    claims: answer.Claims
    plots: list[Plot]
    lines: list[Line]
    lines_left_out: int
    lost: list[tuple[str, list[str]]]  # see `lost_objects.table_of`
    lost_lines: Sequence[Line]
    worst_images: list[WorstImages]
    image_groups: list[ImageGroups]
    explanations: list[Explanation]
    partings: list[Explanation]
    starts: list[tuple[Facts, list[Starts]]]  # see `starts.starts_of_rows`
    compared: list[Compared]
    environments: list[dict[str, Any]]
    models: list[dict[str, str]]
    stages: list[tuple[str, int, float]]  # see `provenance.stages`
    classes: list[str]
    settings: dict[str, Any]  # `configuration`, `command` and `margin`
    date: str


def page(content: Content, vega: str | None = None) -> str:
    """Return the page as HTML. `vega` is the plotting library's script. None: it is bundled now, which takes seconds.

    Every name in it is text, since Jinja escapes names and its JSON holds no `<`.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "miou": formats.miou,
        "change": formats.change,
        "share": formats.share,
        "megabytes": formats.megabytes,
        "warnings": derived.warnings_of,
    }
    drawn = [plot for plot in content.plots if plot.records or plot.name not in SWEPT]
    content = replace(content, plots=drawn)
    rows, claims = content.rows, content.claims
    answers = answer_of(claims)
    environment.globals |= {
        "accuracy": partial(accuracy_text, claims.measure),
        "time": partial(time_cell, first=claims.first),
    }
    return environment.get_template("report.html.j2").render(
        content=content,
        rows=rows,
        measure=claims.measure,
        answer=answers,
        notes=markdown.notes(claims.rows),
        quantized=quantized.beside_calibrated(claims, content.settings["margin"]),
        full=dict(zip(("header", "cells"), markdown.full_cells(claims.rows), strict=True)),
        published=dict(zip(("header", "cells"), markdown.published_cells(content.compared), strict=True)),
        source=source_line(content.compared),
        differences=differences(content.compared),
        warnings=derived.warnings(rows),
        ran=sum(row["status"] == "ok" for row in rows),
        groups=_by_model(content.lines),
        starts_header=cold_start.HEADER,
        starts_lines=[
            (row["id"], [row["label"], *cold_start.cells(one)[1:]]) for row, starts in content.starts for one in starts
        ],
        starts_said=_starts_said([one for _, starts in content.starts for one in starts]),
        lost_header=lost_objects.HEADER,
        worst_header=worst_images.HEADER,
        lost_groups=_by_model(content.lost_lines),
        filters=[
            ("model", list(dict.fromkeys((row["model"], row["title"]) for row in rows))),
            *(
                (key, [(name, name) for name in dict.fromkeys(row[key] for row in rows)])
                for key in ("engine", "precision")
            ),
        ],
        colours=[f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in palette(content.classes)],
        configuration=yaml.safe_dump(content.settings["configuration"], sort_keys=False, allow_unicode=True, width=100),
        data=page_data(rows, content.plots, answers["losses"]),
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        script=Markup((TEMPLATES / "report.js").read_text(encoding="utf-8")),
        vega=Markup(vega or javascript()) if any(plot.records for plot in content.plots) else "",
    )


def _by_model(lines: Sequence[Line]) -> list[list[Line]]:
    return [list(of_model) for _, of_model in itertools.groupby(lines, key=lambda line: line.model)]


def _starts_said(starts: list[Starts]) -> list[str]:
    """Return the sentence of each model's starts."""
    models = dict.fromkeys(one.model for one in starts)
    return [cold_start.sentence(model, [one for one in starts if one.model == model]) for model in models]


@dataclass(frozen=True)
class Part:
    """The answers for some rows, by rising accepted loss: `steps` is empty where none is eligible. `best`: see
    `Claims.best`.
    """

    name: str
    steps: list[answer.Step]
    best: list[Row]
    claims: answer.Claims

    def below(self, row: Row) -> float | None:
        """Return how far the row's accuracy lies below the best one's."""
        return self.claims.below(row, self.claims.value(self.best[0]) or 0.0) if self.best else None


def answer_of(claims: answer.Claims) -> dict[str, Any]:
    """Return the answers that the page shows: for all rows, and by model and by engine.

    `losses` are the accepted losses at which any of them changes. `step_at` finds the one to begin with.
    """

    def part(name: str, rows: list[Row]) -> Part:
        return Part(name, claims.steps(rows), claims.best(rows), claims)

    def parts(key: str, names: dict[str, str]) -> list[Part]:
        return [part(names[one], [row for row in claims.rows if value(row, key) == one]) for one in names]

    whole = part("", claims.rows)
    by = {
        "model": parts("model", {row["model"]: row["title"] for row in claims.rows}),
        "engine": parts("engine", {row["engine"]: row["engine"] for row in claims.rows}),
    }
    every = [whole, *by["model"], *by["engine"]]
    return {
        "whole": whole,
        "by": by,
        "loss": answer.ACCEPTED_LOSS,
        "losses": sorted({step.loss for one in every for step in one.steps}),
        "step_at": answer.step_at,
        "none": answer.no_answer(claims),
    }


def page_data(rows: list[Facts], plots: list[Plot], losses: list[float]) -> Markup:
    """Return JSON for the page's script: the measure, the accepted losses at which an answer changes, rows in full
    precision, each plot's specification and figures.
    """
    keys = (*NAMES, "id", "label", "eligible", "native", "front")
    told = {
        "measure": answer.measure_of(rows).key,
        "losses": losses,
        "rows": [{key: row[key] for key in keys} for row in rows],
        "plots": {plot.name: {"spec": plot.page_spec(), "figures": plot.records} for plot in plots if plot.records},
    }
    # `<`, `>` and `&` could end the script element or begin a comment in it.
    text = json.dumps(told, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
