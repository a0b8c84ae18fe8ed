"""Make the page: one HTML file from rows, plots, pictures and records, with everything that it needs inside."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from segbench.images.colours import palette
from segbench.report import derived
from segbench.report.charts import Plot
from segbench.report.derived import Facts
from segbench.report.plots import accuracy_text
from segbench.report.render import javascript
from segbench.report.samples import Line
from segbench.table import formats, markdown
from segbench.table.columns import NAMES
from segbench.table.published import DIFFERENCES, HARDWARE, SOURCE, Compared
from segbench.table.row import Row

TEMPLATES = Path(__file__).parent / "templates"
SMALLEST_RANGE = 0.02  # of the accepted loss's control, where all rows are about as accurate


@dataclass(frozen=True)
class Content:
    """The contents of the page. Rows have the report's keys."""

    rows: list[Facts]
    plots: list[Plot]
    lines: list[Line]
    lines_left_out: int
    compared: list[Compared]
    environments: list[dict[str, Any]]
    models: list[dict[str, str]]
    classes: list[str]
    settings: dict[str, Any]  # `configuration` and `command`
    date: str


def page(content: Content) -> str:
    """Return the page as HTML. Every name in it is text, since Jinja escapes names and its JSON holds no `<`."""
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
        "seconds": formats.seconds,
        "ratio": formats.ratio,
        "megabytes": formats.megabytes,
        "warnings": derived.warnings_of,
    }
    environment.globals |= {"interval": formats.interval, "accuracy": accuracy_text}
    rows, measure = content.rows, derived.measure_of(content.rows)
    return environment.get_template("report.html.j2").render(
        content=content,
        rows=rows,
        measure=measure,
        answer=answer(rows),
        full=dict(zip(("header", "cells"), markdown.full_cells(cast(list[Row], rows)), strict=True)),
        published=dict(zip(("header", "cells"), markdown.published_cells(content.compared), strict=True)),
        source=SOURCE,
        page_hardware=HARDWARE,
        differences=DIFFERENCES,
        warnings=derived.warnings(rows),
        ran=sum(row["status"] == "ok" for row in rows),
        groups=[list(lines) for _, lines in itertools.groupby(content.lines, key=lambda line: line.model)],
        filters=[
            ("model", list(dict.fromkeys((row["model"], row["title"]) for row in rows))),
            *(
                (key, [(name, name) for name in dict.fromkeys(row[key] for row in rows)])
                for key in ("engine", "precision")
            ),
        ],
        colours=[f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in palette(content.classes)],
        configuration=yaml.safe_dump(content.settings["configuration"], sort_keys=False, allow_unicode=True, width=100),
        data=page_data(rows, content.plots),
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        script=Markup((TEMPLATES / "report.js").read_text(encoding="utf-8")),
        vega=Markup(javascript()) if any(plot.records for plot in content.plots) else "",
    )


def answer(rows: list[Facts], loss: float = derived.ACCEPTED_LOSS) -> dict[str, Any]:
    """Return the answer that the page begins with. Its script answers again for the shown rows and the accepted loss.

    `fastest` and `best` are rows or None. `by_model` has each model's fastest row within the loss of that model's best.
    `range` is the largest loss that the control offers.
    """
    key = derived.measure_of(rows).key
    models = list(dict.fromkeys(row["model"] for row in rows))
    of_models = (derived.fastest_within([row for row in rows if row["model"] == model], key, loss) for model in models)
    known = [row[key] for row in rows if key and row[key] is not None]
    spread = max(known) - min(known) if known else 0.0
    return {
        "loss": loss,
        "range": max(SMALLEST_RANGE, round(spread + 0.005, 2)),
        "fastest": derived.fastest_within(rows, key, loss),
        "best": derived.best_of(rows, key),
        "by_model": [row for row in of_models if row],
    }


def page_data(rows: list[Facts], plots: list[Plot]) -> Markup:
    """Return JSON for the page's script: the measure, rows in full precision, each plot's specification and figures."""
    keys = (*NAMES, "id", "label", "speed_up", "native", "front")
    value = {
        "measure": derived.measure_of(rows).key,
        "rows": [{key: row[key] for key in keys} for row in rows],
        "plots": {plot.name: {"spec": plot.page_spec(), "figures": plot.records} for plot in plots if plot.records},
    }
    # `<`, `>` and `&` could end the script element or begin a comment in it.
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
