"""The report in a real browser, headless Chromium: no error, filters work, figures are table.csv's, fits a phone."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from helpers.report_made import ENTRIES, Made
from helpers.skips import need_command, need_package
from segbench.report import PLOTS, SWEPT, contents
from segbench.report.answer import Claims, step_at
from segbench.table.columns import NAMES
from segbench.table.markdown import full_cells
from test_report_page import HOSTILE

SCRIPTS = Path(__file__).parents[2] / "workflow_scripts"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
QUIET = (
    *("--no-first-run", "--disable-gpu", "--disable-quic", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    need_package("playwright")
    path = need_command("chromium")
    from playwright.sync_api import sync_playwright

    # Chromium's own sandbox refuses to run as root.
    sandbox = [] if os.geteuid() else ["--no-sandbox"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=[*QUIET, *sandbox])
        yield opened
        opened.close()


@dataclass
class Opened:
    """A made run's report, opened; `errors` has what the console said, `fetched` every address that was asked for."""

    made: Made
    page: Any
    errors: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)

    @property
    def claims(self) -> Claims:
        """What Python claims of the run's rows."""
        return contents.read(self.made.results, self.made.selection)[1]

    def shown(self, selector: str) -> list[str]:
        """Text of the elements that are seen."""
        return [element.inner_text() for element in self.page.locator(selector).all() if element.is_visible()]

    def marks(self, plot: str, mark: str) -> int:
        """Number of drawn marks of a kind."""
        return int(self.page.locator(f"[data-plot={plot}] svg g.mark-{mark}.role-mark > path").count())

    def uncheck(self, name: str, value: str) -> None:
        """Take a value out of a filter."""
        self.page.locator("#filters").evaluate("element => { element.open = true; }")
        self.page.locator(f"#filters input[name={name}][value='{value}']").uncheck()


def opened(browser: Any, made: Made, size: dict[str, int] = DESKTOP, **options: Any) -> Opened:
    """Make the report of a run and open it."""
    vega = made.results / "vega.json"
    subprocess.run([sys.executable, SCRIPTS / "bundle_vega.py", f"--out={vega}"], check=True)
    run = [*made.arguments(), f"--settings={json.dumps(made.settings)}", f"--vega={vega}"]
    outputs = [f"--html={made.results}/report.html", f"--plots={made.results}/plots"]
    subprocess.run([sys.executable, SCRIPTS / "report.py", *run, *outputs], check=True)
    found = Opened(made, browser.new_page(viewport=size, **options))
    found.page.on("console", lambda told: found.errors.append(told.text) if told.type == "error" else None)
    found.page.on("pageerror", lambda error: found.errors.append(str(error)))
    found.page.on("request", lambda request: found.fetched.append(request.url))
    found.page.goto((made.results / "report.html").as_uri())
    found.page.wait_for_selector("html[data-ready=yes]", state="attached")
    return found


@pytest.fixture(scope="module")
def run(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """A made run of two models at desktop width."""
    return opened(browser, Made(tmp_path_factory.mktemp("browser")))


@pytest.fixture(autouse=True)
def everything_shown(request: pytest.FixtureRequest) -> Iterator[None]:
    """Put the shared page's controls back after each test."""
    yield
    if "run" in request.fixturenames:
        request.getfixturevalue("run").page.evaluate("for (const form of document.forms) form.reset()")
        request.getfixturevalue("run").page.wait_for_timeout(50)


def test_no_error_and_no_request_but_for_the_file(run):
    assert run.errors == []
    assert [address for address in run.fetched if not address.startswith("data:")] == [run.page.url]


def test_every_section_is_there_and_every_plot_is_drawn(run):
    plots = [plot for plot in PLOTS if plot not in SWEPT]
    for section in (*plots, "answer", "samples", "rows", "failed", "warnings", "published", "measured"):
        assert run.page.locator(f"section#{section} h2").is_visible(), section
    for plot in plots:
        assert run.page.locator(f"[data-plot={plot}] svg .role-mark").count() > 0, plot
        assert run.page.locator(f"[data-plot={plot}]").get_attribute("aria-label")
    assert run.marks("speed_up", "rect") == 6  # two models, three variants that ran and are not native
    decoded = "Promise.all([...document.images].map(image => image.decode().then(() => image.naturalWidth)))"
    pictures = run.page.evaluate(decoded)
    assert pictures and all(width > 0 for width in pictures)


def test_figures_are_those_of_the_table(run):
    told = run.page.evaluate("JSON.parse(document.getElementById('data').textContent).rows")
    table = run.made.results / "table.csv"
    outputs = [f"--{form}={table.with_suffix('.' + form)}" for form in ("csv", "markdown", "json", "tex")]
    subprocess.run([sys.executable, SCRIPTS / "table.py", *run.made.arguments(), *outputs], check=True)
    with open(table, newline="", encoding="utf-8") as stream:
        for shown, cells in zip(told, csv.DictReader(stream), strict=True):
            for name in NAMES:
                if isinstance(shown[name], dict):
                    assert json.loads(cells[name]) == shown[name], name
                    continue
                plain = {None: "", True: "true", False: "false"}.get(shown[name], str(shown[name]))
                assert plain == cells[name] or float(cells[name]) == shown[name], name
    expected = [[str(cell) for cell in line] for line in full_cells(run.claims.rows)[1]]
    lines = run.page.locator("#rows tbody tr").all()
    assert [[cell.inner_text() for cell in line.locator("th, td").all()] for line in lines] == expected


def test_filters_reach_tables_plots_and_pictures(run):
    run.uncheck("engine", "openvino")
    assert run.page.locator("#shown").inner_text() == "4 of 10 rows are shown."
    assert len(run.shown("#rows tbody tr")) == 4
    assert run.shown("#failed tbody tr") == []
    run.page.wait_for_function(
        "document.querySelectorAll('[data-plot=speed_up] .mark-rect.role-mark > path').length == 2"
    )
    run.uncheck("model", "first")
    assert len(run.shown("#rows tbody tr")) == 2
    assert not run.page.locator("#samples details[data-model=first]").is_visible()
    run.page.locator("#filters button").click()
    run.page.wait_for_function("document.getElementById('shown').textContent.startsWith('All 10')")
    assert len(run.shown("#rows tbody tr")) == 10


def groups_of(claims: Claims, by: str) -> list[list[Any]]:
    """The rows of each model, or of each engine."""
    return [[row for row in claims.rows if row[by] == one] for one in dict.fromkeys(row[by] for row in claims.rows)]


def told(run: Opened, claims: Claims, loss: float) -> None:
    """Check that the page shows Python's answers at an accepted loss: all of them, and no other."""
    step = step_at(claims.steps(), loss)
    assert run.shown("#fastest h3") == [step.fastest[0]["label"]]
    assert run.shown("#fastest .alike .name") == [row["label"] for row in step.fastest[1:]]
    assert run.shown("#fastest .but .name") == [one.row["label"] for one in step.but]
    assert run.page.locator("#loss-said").inner_text() == str(loss)
    for by, label in (("model", "variant"), ("engine", "label")):
        lines = run.page.locator(f"#by-{by} tbody tr:visible").all()
        shown = [[cell.inner_text() for cell in line.locator("th, td").all()] for line in lines]
        groups = groups_of(claims, by)
        assert len(shown) == len(groups)
        for cells, rows in zip(shown, groups, strict=True):
            step = step_at(claims.steps(rows), loss)
            assert cells[1] == step.fastest[0][label]
            assert cells[-2] == ", ".join(row[label] for row in step.fastest[1:])
            assert cells[-1] == ", ".join(one.row[label] for one in step.but)


@pytest.mark.parametrize("case", [{}, {"records": {"onnxruntime-int8": {"contended": True}}}], ids=("clean", "flagged"))
def test_page_shows_what_python_answered_at_every_loss(browser, tmp_path, case):
    made = Made(tmp_path, variants=tuple(ENTRIES), rounds=4, images=12, control=True, **case)
    found = opened(browser, made)
    claims = found.claims
    assert found.shown("#best h3") == [claims.best()[0]["label"]]
    assert found.shown("#best .alike .name") == [row["label"] for row in claims.best()[1:]]
    told(found, claims, 0.01)
    losses = found.page.evaluate("JSON.parse(document.getElementById('data').textContent).losses")
    groups = [claims.rows, *groups_of(claims, "model"), *groups_of(claims, "engine")]
    assert losses == sorted({step.loss for rows in groups for step in claims.steps(rows)})
    assert len(losses) > 3
    for loss in (*losses, 0.0007, 0.5, 1):
        found.page.locator("#loss-number").fill(str(loss))
        told(found, claims, loss)


def test_slider_goes_from_one_answer_to_the_next(run):
    losses = run.page.evaluate("JSON.parse(document.getElementById('data').textContent).losses")
    run.page.locator("#loss").focus()
    run.page.keyboard.press("Home")
    for loss in losses:
        assert float(run.page.locator("#loss-number").input_value()) == loss
        told(run, run.claims, loss)
        run.page.keyboard.press("ArrowRight")


def test_answer_stays_where_plots_are_filtered(run):
    before = run.shown("#fastest h3")
    run.uncheck("engine", "onnxruntime")
    run.uncheck("engine", "openvino")
    assert run.shown("#fastest h3") == before


def test_table_sorts_by_number_with_what_was_not_measured_last(run):
    run.page.locator("#rows thead th button", has_text="time s").first.click()
    column = run.shown("#rows thead th").index("time s")
    lines = run.page.locator("#rows tbody tr").all()
    times = [line.locator("th, td").nth(column).inner_text() for line in lines]
    measured = [float(time) for time in times if time]
    assert measured == sorted(measured) and times[len(measured) :] == ["", ""]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_hostile_names_break_nothing_on_a_phone(browser, tmp_path, scheme):
    models = {f"m{number}": name for number, name in enumerate([*HOSTILE, "UNet"])}  # UNet: one of the page's
    found = opened(browser, Made(tmp_path, models=models, classes=HOSTILE), PHONE, color_scheme=scheme)
    assert found.errors == []
    assert found.page.evaluate("window.hacked") is None
    assert found.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    found.page.mouse.move(200, 200)
    point = found.page.locator("[data-plot=accuracy_latency] svg g.mark-symbol.role-mark > path").first
    point.hover(force=True)
    found.page.wait_for_selector("#vg-tooltip-element.visible")
    assert found.page.evaluate("window.hacked") is None
    for name in HOSTILE:
        assert name.strip() in found.page.locator("#samples").text_content()


@pytest.mark.parametrize(
    "case",
    [
        {"failed": True},
        {"models": {"only": "The only one"}, "variants": ("paddle-fp32",), "rounds": 1},
        {"labelled": False},
    ],
    ids=("nothing ran", "one row", "no labels"),
)
def test_a_page_of_less_opens_without_an_error(browser, tmp_path, case):
    found = opened(browser, Made(tmp_path, **case))
    assert found.errors == []
    assert len(found.shown("section h2")) == 15
