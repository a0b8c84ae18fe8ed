"""Rows as Markdown tables, figures rounded for reading (table.csv has them in full)."""

from __future__ import annotations

import math
from typing import Any

from tabulate import tabulate

from segbench.table.published import DIFFERENCES, HARDWARE, SOURCE, Compared

Row = dict[str, Any]


def page_table(rows: list[Row]) -> str:
    """The published page's own columns, in its order, as Markdown."""
    return _markdown(*page_cells(rows))


def page_cells(rows: list[Row]) -> tuple[list[str], list[list[str]]]:
    """The published page's own columns, in its order. Rows that these would not tell apart name their variant."""
    accelerated = {row["engine"] for row in rows if row["accelerated"]}
    only_tensorrt = bool(accelerated) and all("tensorrt" in engine for engine in accelerated)
    header = ["Model", "With TRT" if only_tensorrt else "Accelerated by", "infer datatype", "mIoU", "time(s/img)"]
    looks = [(row["model"], row["engine"], row["precision"]) for row in rows]
    cells = []
    for row, look in zip(rows, looks, strict=True):
        by = ("Y" if row["accelerated"] else "N") if only_tensorrt else (row["engine"] if row["accelerated"] else "-")
        cells.append(
            [
                row["title"],
                f"{by} ({row['variant']})" if looks.count(look) > 1 else by,
                row["precision"].upper(),
                miou(row["miou"]),
                seconds(row["time_s"]) or row["status"].replace("ok", ""),
            ]
        )
    return header, cells


def full_table(rows: list[Row]) -> str:
    """Everything that a reader compares, as Markdown."""
    return _markdown(*full_cells(rows))


def full_cells(rows: list[Row]) -> tuple[list[str], list[list[Any]]]:
    """Everything that a reader compares: accuracy, agreement, times with their intervals, memory, size."""
    header = [
        "model", "variant", "status", "mIoU", "Δ mIoU", "agreement", "time s", "95% interval", "end to end s", "p90 s",
        "p99 s", "n", "rounds", "layers in FP32", "calibration s", "build s", "engine MB", "memory MB",
        "warnings",
    ]  # fmt: skip
    cells = [
        [
            row["model"],
            row["variant"],
            row["status"],
            miou(row["miou"]),
            change(row["miou_delta"]),
            share(row["pixel_agreement"]),
            seconds(row["time_s"]),
            f"{seconds(row['time_s_low'])}–{seconds(row['time_s_high'])}" if row["time_s_low"] is not None else "",
            seconds(row["end_to_end_s"]),
            seconds(row["p90_s"]),
            seconds(row["p99_s"]),
            row["n"] or "",
            row["rounds"] or "",
            "" if row["fp32_layers"] is None else row["fp32_layers"],
            "" if row["calibration_s"] is None else f"{row['calibration_s']:.1f}",
            "" if row["build_s"] is None else f"{row['build_s']:.1f}",
            megabytes(row["engine_bytes"]),
            megabytes(row["peak_rss_bytes"]),
            "; ".join(filter(None, [row["warnings"], *flags(row)])),
        ]
        for row in rows
    ]
    return header, cells


def flags(row: Row) -> list[str]:
    """What the clock has to say against the row's figure."""
    return [
        *(["not steady"] if row["steady"] is False else []),
        *(["other processes ran beside it"] if row["contended"] else []),
        *(["throttled"] if row["throttled"] else []),
    ]


def class_table(rows: list[Row]) -> list[str]:
    """A section with the IoU of each class, by model, of its first variant that has them; nothing where none has."""
    first: dict[str, Row] = {}
    for row in rows:
        if row["iou_per_class"] is not None:
            first.setdefault(row["model"], row)
    if not first:
        return []
    classes = list(next(iter(first.values()))["iou_per_class"])
    cells = [[name, *(miou(row["iou_per_class"][name]) for row in first.values())] for name in classes]
    header = ["class", *(f"{model} ({row['variant']})" for model, row in first.items())]
    return ["## IoU per class", _markdown(header, cells)]


def reasons(rows: list[Row]) -> list[str]:
    """A section with the reason of every row that could not run; nothing where all could."""
    missing = [row for row in rows if row["status"] != "ok"]
    if not missing:
        return []
    cells = [[row["model"], row["variant"], row["status"], row["reason"]] for row in missing]
    return ["## Rows that could not run", _markdown(["model", "variant", "status", "reason"], cells)]


def published_table(compared: list[Compared]) -> list[str]:
    """A section with the published page's figures beside ours; nothing where no model is the page's."""
    if not compared:
        return []
    header, cells = published_cells(compared)
    method = "\n".join(f"- {line}" for line in DIFFERENCES)
    source = f"Source: {SOURCE} ({HARDWARE}). Speed-ups are over the model's own native FP32 row."
    return ["## Against the published page", source, _markdown(header, cells), "What differs in method:", method]


def published_cells(compared: list[Compared]) -> tuple[list[str], list[list[str]]]:
    """Header and cells of `compared`: ours, then the page's, of mIoU, time and speed-up."""
    header = ["model", "variant", "mIoU", "page's", "time s", "page's", "speed-up", "page's"]
    cells = [
        [
            row.title,
            row.variant,
            miou(row.miou),
            miou(row.page_miou),
            seconds(row.time_s),
            seconds(row.page_time_s),
            ratio(row.speed_up),
            ratio(row.page_speed_up),
        ]
        for row in compared
    ]
    return header, cells


def ratio(value: float | None) -> str:
    """A speed-up, 2 decimals."""
    return "" if value is None else f"{value:.2f}"


def miou(value: float | None) -> str:
    """4 decimals, as the page has it."""
    return "" if value is None else f"{value:.4f}"


def change(value: float | None) -> str:
    """4 decimals with a sign; none where they are all zero."""
    return "" if value is None else f"{value:+.4f}" if round(value, 4) else "0.0000"


def share(value: float | None) -> str:
    """A share of pixels, rounded down: 1.000000 means all of them."""
    return "" if value is None else f"{math.floor(value * 1e6) / 1e6:.6f}"


def seconds(value: float | None) -> str:
    """3 decimals as on the page; below 0.1 s three significant digits."""
    if value is None:
        return ""
    if value >= 0.0995 or value <= 0:
        return f"{value:.3f}"
    return f"{value:.{2 - math.floor(math.log10(value))}f}"


def megabytes(value: int | None) -> str:
    """10⁶ bytes."""
    return "" if value is None else f"{value / 1e6:.0f}"


def _markdown(header: list[str], cells: list[list[Any]]) -> str:
    escaped = [[_escape(str(cell)) for cell in row] for row in cells]
    return str(tabulate(escaped, header, tablefmt="pipe", disable_numparse=True))


def _escape(text: str) -> str:
    """Names are text: nothing in them may end a cell or start markup."""
    flat = " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def table(header: list[str], cells: list[list[Any]]) -> str:
    """A Markdown table of texts and numbers as they are."""
    return _markdown(header, cells)
