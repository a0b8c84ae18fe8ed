"""What a variant does at other settings (batch, streams, threads), and which of them to use: the smallest that is
nearly as good as the best.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from segbench.table import formats
from segbench.table.row import Row, value
from segbench.table.verdict import row_ratio

NEARLY = 0.95  # of the best throughput, from which a setting is as good


class Settings(NamedTuple):
    """The rows of a model and a variant that ran at several settings, the smallest first. `best` has the highest
    throughput, and `knee` is the smallest whose throughput is nearly that.
    """

    rows: list[Row]
    best: Row
    knee: Row


def settings_of(rows: Iterable[Row]) -> list[Settings]:
    """Return the variants that ran at several settings, by model. A row that computes something else does not count."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["model"], row["base_variant"]), []).append(row)
    found = []
    for group in groups.values():
        ran = sorted((row for row in group if row["images_per_s"]), key=_size)
        usable = [row for row in ran if row["agrees"] is not False and row["repeatable"] is not False]
        if len(ran) > 1 and usable:
            best = max(usable, key=lambda row: row["images_per_s"])
            near = NEARLY * best["images_per_s"]
            found.append(Settings(ran, best, next(row for row in usable if row["images_per_s"] >= near)))
    return found


def _size(row: Row) -> tuple[float, ...]:
    """Return what settings are ordered by: images that are under way at once, then threads, then latency."""
    return (row["batch"] or 1) * (row["streams"] or 1), row["threads"] or 0, row["latency_s"]


def advice(settings: list[Settings]) -> list[str]:
    """Return a sentence for each model: which variant and setting to use where throughput counts."""
    of_model: dict[str, Settings] = {}
    for one in settings:
        known = of_model.get(one.best["model"])
        if known is None or one.best["images_per_s"] > known.best["images_per_s"]:
            of_model[one.best["model"]] = one
    return [_sentence(one) for one in of_model.values()]


def _sentence(settings: Settings) -> str:
    row, best = settings.knee, settings.best
    most = "" if row is best else f", within {1 - NEARLY:.0%} of the most ({best['variant']}, {rate_cell(best)})"
    return (
        f"For {row['title']} where throughput counts, use {row['variant']}: {rate_cell(row)} images/s{most};"
        f" {run_of(row)} takes {latency_cell(row)}.{_gain(row, settings.rows[0])}"
    )


def _gain(row: Row, smallest: Row) -> str:
    """Say what the setting gains over the smallest one, and whether that is shown."""
    ratio = None if row is smallest else row_ratio(smallest, row)
    if ratio is None or ratio.low is None or ratio.high is None:
        return ""
    times = f"{ratio.value:.2f} times ({ratio.low:.2f} to {ratio.high:.2f})"
    if ratio.low > 1:
        return f" It gives {times} what {smallest['variant']} gives."
    return f" That it gives more than {smallest['variant']} is not shown: {times}."


def run_of(row: Row) -> str:
    """Return what takes a row's latency, in words."""
    if (row["batch"] or 1) > 1:
        return f"a batch of {row['batch']}"
    return f"an image in one of {row['streams']} streams" if (row["streams"] or 1) > 1 else "an image"


def rate_cell(row: Row) -> str:
    """Write a row's images per second, with the half width of its interval."""
    half = row["time_half_width"]
    precision = "±?" if half is None else f"±{100 * half:.0f}%" if half >= 0.0995 else f"±{100 * half:.2g}%"
    return f"{formats.significant(row['images_per_s'], 3)} {precision}"


def latency_cell(row: Row) -> str:
    """Write a row's latency, and its 90th percentile where there are enough runs."""
    p90 = f" (p90 {formats.seconds(row['p90_s'])} s)" if row["p90_s"] is not None else ""
    return f"{formats.seconds(row['latency_s'])} s{p90}"


def settings_table(settings: list[Settings]) -> tuple[list[str], list[list[str]]]:
    """Return header and cells of the rows of all variants. Costs are shown where the machine has a price."""
    priced = any(row["cost_per_million"] for one in settings for row in one.rows)
    header = [
        *("model", "variant", "batch", "streams", "threads", "images/s", "latency s", "p90 s", "memory MB"),
        *("agreement with one by one", *["cost of a million"] * priced, ""),
    ]
    cells = [
        [
            row["model"],
            row["variant"],
            *(formats.text(value(row, name)) for name in ("batch", "streams", "threads")),
            rate_cell(row),
            formats.seconds(row["latency_s"]),
            formats.seconds(row["p90_s"]),
            formats.megabytes(row["peak_rss_bytes"]),
            formats.share(row["single_agreement"]),
            *[formats.significant(row["cost_per_million"], 3)] * priced,
            ", ".join(word for word, marked in (("best", one.best), ("knee", one.knee)) if row is marked),
        ]
        for one in settings
        for row in one.rows
    ]
    return header, cells
