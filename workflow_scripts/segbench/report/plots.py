"""Draw the report's plots, each from rows with the report's keys (see derived.py).

Encodings are objects of Altair and not strings, which it would have to parse.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, cast

import altair as alt

from segbench.report import PLOTS
from segbench.report.answer import MIOU, Measure, Speed, measure_of
from segbench.report.charts import (
    COLOURS,
    STEP,
    Plot,
    Record,
    Table,
    engine_colour,
    figures,
    label_axis,
    legend,
)
from segbench.report.derived import Facts
from segbench.table import formats
from segbench.table.cells import time_number
from segbench.table.formats import change, miou, seconds, share
from segbench.table.row import Row
from segbench.table.throughput import advice, settings_of, settings_table

HEIGHT, NAME_HEIGHT = 380, 17  # pixels of the first plot, and of a line of its text with some space
SURE, FAINT = 0.9, 0.3  # opacity; faint is what has a reason against it
INK = alt.Opacity("ink:Q", scale=None)
LOG = alt.Scale(type="log", nice=False, padding=12)
SECONDS = alt.Axis(title="seconds per image (logarithmic)", format="~g", labelOverlap=True, grid=True)


def plots(rows: list[Facts], rounds: list[Record]) -> Iterator[Plot]:
    """Yield all plots of `segbench.report.PLOTS`, in that order. `rounds` comes from `rounds_of`."""
    yield accuracy_latency(rows)
    yield speed_up(rows)
    yield throughput(rows)
    yield by_size(rows, "size_accuracy", measure_of(rows).name, measure_of(rows).key)
    yield by_size(rows, "size_time", "seconds per image", "time_s")
    yield accuracy_loss(rows)
    yield latencies(rounds)
    yield iou_per_class(rows)
    yield cost(rows, "build_time", "Engine build time", "build_s", "seconds", 1)
    yield cost(rows, "engine_size", "Engine size on disk", "engine_bytes", "megabytes", 1e6)
    yield cost(rows, "memory", "Peak memory of the timed process", "peak_rss_bytes", "megabytes", 1e6)


def accuracy_latency(rows: list[Facts]) -> Plot:
    """Plot accuracy over latency, with 95% intervals, a ring around the rows of the Pareto front, and rows that are not
    eligible for the answer faint.
    """
    measure = measure_of(rows)
    shown = [row for row in rows if row["time_s"] and measure.key and row[measure.key] is not None]
    heights = heights_of_names([(row["time_s"], row[measure.key or ""], row["title"]) for row in shown])
    keys = ("label", "title", "variant", "engine", "precision", "time_s", "time_s_low", "time_s_high", "front")
    records = [
        {
            "row": row["id"],
            **{key: row[key] for key in keys},
            "accuracy": row[measure.key],
            "ink": SURE if row["eligible"] else FAINT,
            "name_at": heights[row["title"]],
            "interval": formats.interval(row["time_s_low"], row["time_s_high"]) or "none",
        }
        for row in shown
    ]
    x = alt.X("time_s:Q", scale=LOG, axis=SECONDS)
    y = alt.Y("accuracy:Q", scale=alt.Scale(zero=False, padding=14), title=measure.name)
    base = figures().encode(x=x, y=y)
    precisions = list(dict.fromkeys(row["precision"] for row in rows))  # one shape each under every filter
    tips = [
        *(alt.Tooltip(f"{key}:N") for key in ("title", "variant", "precision")),
        alt.Tooltip("accuracy:Q", title=measure.name, format=".4f"),
        alt.Tooltip("time_s:Q", title="seconds", format=".4g"),
        alt.Tooltip("interval:N", title="95% interval"),
    ]
    front = base.transform_filter("datum.front").mark_point(
        shape="circle", size=330, filled=False, strokeWidth=2, color="#8a8a8a"
    )
    points = base.mark_point(size=90, filled=True).encode(
        color=engine_colour(rows),
        opacity=INK,
        shape=alt.Shape("precision:N", scale=alt.Scale(domain=precisions), legend=legend()),
        tooltip=tips,
    )
    interval = (
        figures()
        .transform_filter("isValid(datum.time_s_low)")
        .mark_rule(strokeWidth=2)
        .encode(
            x=alt.X("time_s_low:Q", scale=LOG),
            x2=alt.X2("time_s_high:Q"),
            y=y,
            color=engine_colour(rows),
            opacity=INK,
        )
    )
    names = (
        base.transform_joinaggregate(slowest="max(time_s)", groupby=["title"])
        .transform_filter("datum.time_s == datum.slowest")
        .mark_text(align="right", dy=-11, limit=150)
        .encode(text=alt.Text("title:N"), y=alt.Y("name_at:Q"))
    )
    on_front = ", ".join(row["label"] for row in rows if row["front"]) or "none"
    return Plot(
        name="accuracy_latency",
        title="Accuracy against latency",
        caption=PLOTS["accuracy_latency"],
        description=f"Scatter plot of {measure.name} over seconds per image for {len(shown)} variants."
        f" On the Pareto front: {on_front}.",
        chart=alt.layer(front, interval, points, names),
        height=HEIGHT,
        records=records,
        table=Table(
            ["model and variant", "seconds", "95% interval", measure.name, "on the front"],
            [
                (
                    row["id"],
                    [
                        row["label"],
                        time_number(cast(Row, row)),
                        formats.interval(row["time_s_low"], row["time_s_high"]),
                        accuracy_text(measure, row[measure.key]),
                        "yes" if row["front"] else "",
                    ],
                )
                for row in shown
            ],
        ),
        nothing=measure.note or "no variant has both a time and an mIoU",
    )


def heights_of_names(points: list[tuple[float, float, str]]) -> dict[str, float]:
    """Return the height of each model's name: beside its slowest point, or as far above as keeps names apart.

    `points`: (seconds, accuracy, name) of every row.
    """
    slowest = {name: (time, accuracy) for time, accuracy, name in sorted(points)}
    known = [accuracy for _, accuracy, _ in points]
    apart = (max(known) - min(known)) * NAME_HEIGHT / HEIGHT if known else 0.0
    heights: dict[str, float] = {}
    last = -math.inf
    for name, (_, accuracy) in sorted(slowest.items(), key=lambda item: item[1][1]):
        last = heights[name] = max(accuracy, last + apart)
    return heights


def speed_up(rows: list[Facts]) -> Plot:
    """Plot how many times faster each variant is than its model's native row. The table has the other speed-ups too."""
    shown = [row for row in rows if row["speed_up"] is not None]
    keys = ("label", "engine", "precision")
    records = [
        {
            "row": row["id"],
            **{key: row[key] for key in keys},
            "ink": SURE if row["eligible"] and not row["speed_up"].marks else FAINT,
            "speed_up": row["speed_up"].value,
            "speed_up_low": row["speed_up"].low,
            "speed_up_high": row["speed_up"].high,
        }
        for row in shown
    ]
    x = alt.X("speed_up:Q", title="native time / time (1: no gain)")
    tip = alt.Tooltip("speed_up:Q", title="speed-up", format=".3g")
    bars = bar(figures(), x, engine_colour(rows), tip).encode(opacity=INK)
    words = (
        figures()
        .transform_calculate(end="isValid(datum.speed_up_high) ? datum.speed_up_high : datum.speed_up")
        .mark_text(align="left", dx=4)
        .encode(y=label_axis(), x=alt.X("end:Q"), text=alt.Text("speed_up:Q", format=".2f"))
    )
    whiskers = (
        figures()
        .transform_filter("isValid(datum.speed_up_low)")
        .mark_rule(strokeWidth=2, color="#8a8a8a")
        .encode(y=label_axis(), x=alt.X("speed_up_low:Q"), x2=alt.X2("speed_up_high:Q"))
    )
    even = figures().mark_rule(strokeDash=[4, 3], color="#8a8a8a").encode(x=alt.datum(1))
    cells = [
        (row["id"], [row["label"], str(row["speed_up"]), *(_over(row[key]) for key in ("over_other", "over_fp32"))])
        for row in rows
        if row["speed_up"] or row["over_other"] or row["over_fp32"]
    ]
    return Plot(
        name="speed_up",
        title="Speed-up over native",
        caption=PLOTS["speed_up"],
        description=f"Bar chart of the speed-up over native of {len(shown)} variants.",
        chart=alt.layer(bars, even, whiskers, words),
        records=records,
        table=Table(
            ["model and variant", "over native", "over the fastest FP32 of another engine", "over its engine's FP32"],
            cells,
        ),
        nothing="no variant was timed beside a native one",
    )


def _over(speed: Speed | None) -> str:
    """Write a speed-up, and over which variant it is."""
    return f"{speed}, over {speed.over['variant']}" if speed else ""


def throughput(rows: list[Facts]) -> Plot:
    """Plot images per second over latency of every variant that ran at several settings, with a ring at its knee."""
    settings = settings_of(cast(list[Row], rows))
    knees = {id(one.knee) for one in settings}
    records = [
        {
            "row": row["id"],
            **{key: row[key] for key in ("label", "engine", "precision", "latency_s", "images_per_s")},
            "low": row["images_per_s_low"],
            "high": row["images_per_s_high"],
            "line": f"{row['model']} {row['base_variant']} {curve}",
            "order": order,
            "setting": setting_of(row),
            "knee": id(row) in knees,
        }
        for one in settings
        for curve, of_curve in curves_of(cast(list[Facts], one.rows)).items()
        for order, row in enumerate(of_curve)
    ]
    x = alt.X("latency_s:Q", scale=LOG, axis=alt.Axis(title="latency in seconds (logarithmic)", format="~g"))
    y = alt.Y("images_per_s:Q", scale=alt.Scale(zero=True), title="images per second")
    base = figures().encode(x=x, y=y)
    lines = base.mark_line(strokeWidth=1.5, opacity=0.6).encode(
        color=engine_colour(rows),
        detail=alt.Detail("line:N"),
        order=alt.Order("order:Q"),
        strokeDash=alt.StrokeDash("precision:N", legend=None),
    )
    ring = base.transform_filter("datum.knee").mark_point(
        shape="circle", size=330, filled=False, strokeWidth=2, color="#8a8a8a"
    )
    interval = (
        figures()
        .transform_filter("isValid(datum.low)")
        .mark_rule(strokeWidth=2)
        .encode(x=x, y=alt.Y("low:Q"), y2=alt.Y2("high:Q"), color=engine_colour(rows))
    )
    precisions = list(dict.fromkeys(row["precision"] for row in rows))
    points = base.mark_point(size=70, filled=True).encode(
        color=engine_colour(rows),
        shape=alt.Shape("precision:N", scale=alt.Scale(domain=precisions), legend=legend()),
        tooltip=[
            alt.Tooltip("label:N"),
            alt.Tooltip("images_per_s:Q", title="images/s", format=".4g"),
            alt.Tooltip("latency_s:Q", title="latency s", format=".4g"),
        ],
    )
    names = base.mark_text(align="left", dx=8, dy=-6, fontSize=10).encode(text=alt.Text("setting:N"))
    sentences = advice(settings)
    header, cells = settings_table(settings)
    shown = [cast(Facts, row) for one in settings for row in one.rows]
    return Plot(
        name="throughput",
        title="Throughput against latency",
        caption=" ".join([*sentences, PLOTS["throughput"]]),
        description=f"Images per second over latency. {' '.join(sentences)}",
        chart=alt.layer(ring, lines, interval, points, names),
        height=HEIGHT,
        records=records,
        table=Table(
            ["model and variant", *header[2:]],
            [(row["id"], [row["label"], *line[2:]]) for row, line in zip(shown, cells, strict=True)],
        ),
        nothing="no variant ran in batches, in streams, or on several numbers of threads (key sweep)",
    )


def curves_of(rows: list[Facts]) -> dict[str, list[Facts]]:
    """Return the rows of a variant that a line joins, by what varies, with the row of single images in each line."""
    found: dict[str, list[Facts]] = {}
    for row in rows:
        what = row["scenario"] if row["scenario"] in ("batch", "streams") else "threads"
        if row["variant"] != row["base_variant"]:
            found.setdefault(what, []).append(row)
    single = [row for row in rows if row["variant"] == row["base_variant"]]
    return {
        what: sorted(
            [*single, *of_curve], key=lambda row: (row["batch"] or 1, row["streams"] or 1, row["threads"] or 0)
        )
        for what, of_curve in found.items()
    }


def setting_of(row: Facts) -> str:
    """Return what stands at a row's point: how it differs from one image after the other, or that row's model."""
    if (row["batch"] or 1) > 1:
        return f"b{row['batch']}"
    if (row["streams"] or 1) > 1:
        return f"s{row['streams']}"
    return str(row["title"]) if row["variant"] == row["base_variant"] else f"t{row['threads']}"


def by_size(rows: list[Facts], name: str, title: str, key: str) -> Plot:
    """Plot a figure of each network that has several input sizes, over the pixels of its input."""
    sizes: dict[tuple[str, str], list[Facts]] = {}
    for row in rows:
        if key and row[key] is not None and row["input_height"] and row["input_width"]:
            sizes.setdefault((row["base_model"], row["variant"]), []).append(row)
    shown = [row for group in sizes.values() if len(group) > 1 for row in group]
    records = [
        {
            "row": row["id"],
            **{one: row[one] for one in ("label", "engine", "precision")},
            "line": f"{row['base_model']} {row['variant']}",
            "pixels": row["input_height"] * row["input_width"],
            "size": f"{row['input_height']}×{row['input_width']}",
            "figure": row[key],
        }
        for row in shown
    ]
    axis = alt.Axis(title="pixels of the input (logarithmic)", format="~s", labelOverlap=True)
    scale = LOG if key == "time_s" else alt.Scale(zero=False, padding=14)
    base = figures().encode(x=alt.X("pixels:Q", scale=LOG, axis=axis), y=alt.Y("figure:Q", scale=scale, title=title))
    lines = base.mark_line(strokeWidth=1.5, opacity=0.6).encode(
        color=engine_colour(rows), detail=alt.Detail("line:N"), strokeDash=alt.StrokeDash("precision:N", legend=None)
    )
    points = base.mark_point(size=70, filled=True).encode(
        color=engine_colour(rows),
        tooltip=[alt.Tooltip("label:N"), alt.Tooltip("size:N"), alt.Tooltip("figure:Q", title=title, format=".4g")],
    )
    names = base.mark_text(align="left", dx=8, dy=10, fontSize=10).encode(text=alt.Text("size:N"))
    return Plot(
        name=name,
        title=f"Input size and {title}",
        caption=PLOTS[name],
        description=f"Lines of {title} over the pixels of the input, of {len(records)} rows.",
        chart=alt.layer(lines, points, names),
        height=HEIGHT,
        records=records,
        table=Table(
            ["model and variant", "input", title],
            [(one["row"], [one["label"], one["size"], f"{one['figure']:.4g}"]) for one in records],
        ),
        nothing="no network has several input sizes (key sweep.size)",
    )


def accuracy_loss(rows: list[Facts]) -> Plot:
    """Plot the mIoU that each variant loses against its model's reference, or without mIoU the share of differing
    pixels.
    """
    with_miou = measure_of(rows) == MIOU
    key = "miou_delta" if with_miou else "pixel_agreement"
    shown = [row for row in rows if row[key] is not None and row["variant"] != row["reference"]]
    value = {row["id"]: row[key] if with_miou else 1 - row[key] for row in shown}
    records = [
        {"row": row["id"], "label": row["label"], "engine": row["engine"], "change": value[row["id"]]} for row in shown
    ]
    title = "mIoU against the reference (left: loss)" if with_miou else "share of pixels that differ"
    x = alt.X("change:Q", title=title, axis=alt.Axis(format="~g", labelOverlap=True))
    format_ = "+.4f" if with_miou else ".4f"
    cells = [
        (row["id"], [row["label"], change(row["miou_delta"]), share(row["pixel_agreement"]), row["reference"] or ""])
        for row in shown
    ]
    return Plot(
        name="accuracy_loss",
        title="Accuracy loss per variant",
        caption=PLOTS["accuracy_loss"],
        description=f"Bar chart: {title}, of {len(shown)} variants.",
        chart=alt.layer(bar(figures(), x, engine_colour(rows), alt.Tooltip("change:Q", format=format_))),
        records=records,
        table=Table(["model and variant", "change of mIoU", "pixel agreement", "reference"], cells),
        nothing="no variant has a reference to be compared with",
    )


def latencies(rounds: list[Record]) -> Plot:
    """Plot every latency of every round as a tick, which shows drift between rounds and several modes."""
    records = [{key: record[key] for key in ("row", "label", "round", "times")} for record in rounds]
    for record, full in zip(records, rounds, strict=True):
        record["median_s"] = float(f"{full['median_s']:.5g}")
    colour = alt.Color("round:O", scale=alt.Scale(range=list(COLOURS)), legend=legend())
    offset = alt.YOffset("round:O")
    ticks = (
        figures()
        .transform_flatten(["times"], as_=["time_s"])
        .mark_tick(thickness=1, opacity=0.45, bandSize=6)
        .encode(x=alt.X("time_s:Q", scale=LOG, axis=SECONDS), y=label_axis(), yOffset=offset, color=colour)
    )
    medians = (
        figures()
        .mark_point(size=26, filled=True, opacity=1, color="#8a8a8a")
        .encode(
            x=alt.X("median_s:Q", scale=LOG),
            y=label_axis(),
            yOffset=offset,
            color=colour,
            tooltip=[alt.Tooltip("label:N"), alt.Tooltip("round:O"), alt.Tooltip("median_s:Q", format=".4g")],
        )
    )
    most = max((record["round"] for record in rounds), default=1)
    cells = [
        (
            r["row"],
            [
                r["label"],
                str(r["round"]),
                str(r["count"]),
                *(seconds(r[key]) for key in ("low_s", "median_s", "high_s")),
                "" if r["late_to_early"] is None else f"{r['late_to_early']:.3f}",
            ],
        )
        for r in rounds
    ]
    return Plot(
        name="latencies",
        title="Latencies of every round",
        caption=PLOTS["latencies"],
        description=f"Strip plot of the latencies of {len(rounds)} rounds, on a logarithmic scale.",
        chart=alt.layer(ticks, medians),
        height={"for": "position", "step": max(STEP, 9 * most)},
        records=records,
        table=Table(
            ["model and variant", "round", "images", "smallest s", "median s", "largest s", "second half / first half"],
            cells,
        ),
        nothing="nothing was timed",
    )


def iou_per_class(rows: list[Facts]) -> Plot:
    """Plot the IoU of every class and row as a heat map."""
    shown = [row for row in rows if row["iou_per_class"] is not None]
    classes = list(dict.fromkeys(name for row in shown for name in row["iou_per_class"]))
    records = [
        {"row": row["id"], "label": row["label"], "class": name, "iou": round(value, 4)}
        for row in shown
        for name, value in row["iou_per_class"].items()
        if value is not None
    ]
    colour = alt.Color(
        "iou:Q",
        scale=alt.Scale(scheme="viridis", domain=[0, 1]),
        legend=alt.Legend(orient="bottom", gradientLength=160, title="IoU"),
    )
    x = alt.X("class:N", sort=None, title=None, axis=alt.Axis(labelAngle=-90, labelLimit=120, orient="top"))
    tips = [alt.Tooltip("label:N"), alt.Tooltip("class:N"), alt.Tooltip("iou:Q", title="IoU", format=".4f")]
    return Plot(
        name="iou_per_class",
        title="IoU per class",
        caption=PLOTS["iou_per_class"],
        description=f"Heat map of the IoU of {len(classes)} classes for {len(shown)} variants.",
        chart=alt.layer(figures().mark_rect().encode(x=x, y=label_axis(), color=colour, tooltip=tips)),
        records=records,
        table=Table(
            ["model and variant", *classes],
            [(row["id"], [row["label"], *(miou(row["iou_per_class"].get(name)) for name in classes)]) for row in shown],
        ),
        nothing="no mIoU was measured: no labels, or random weights",
    )


def cost(rows: list[Facts], name: str, title: str, key: str, unit: str, size: float) -> Plot:
    """Plot a figure of every engine, divided by `size` to be in `unit`."""
    shown = [row for row in rows if row[key] is not None]
    records = [
        {"row": row["id"], "label": row["label"], "engine": row["engine"], "figure": row[key] / size} for row in shown
    ]
    x = alt.X("figure:Q", title=unit)
    return Plot(
        name=name,
        title=title,
        caption=PLOTS[name],
        description=f"Bar chart of {title.lower()} in {unit} of {len(shown)} variants.",
        chart=alt.layer(bar(figures(), x, engine_colour(rows), alt.Tooltip("figure:Q", title=unit, format=".4g"))),
        records=records,
        table=Table(
            ["model and variant", unit], [(row["id"], [row["label"], f"{row[key] / size:.3g}"]) for row in shown]
        ),
    )


def bar(chart: alt.Chart, x: alt.X, colour: alt.Color, tooltip: alt.Tooltip) -> alt.Chart:
    """Return a bar per row."""
    return chart.mark_bar(size=12).encode(y=label_axis(), x=x, color=colour, tooltip=[alt.Tooltip("label:N"), tooltip])


def accuracy_text(measure: Measure, value: Any) -> str:
    """Write an accuracy as the table does."""
    return miou(value) if measure == MIOU else share(value)
