"""Write rows as Markdown tables. Figures are rounded for reading, and table.csv has them in full."""

from __future__ import annotations

from typing import Any

from tabulate import tabulate

from segbench.table import distrust
from segbench.table.cells import legend, resolution, time_cell
from segbench.table.columns import SHOWN
from segbench.table.formats import miou, ratio, seconds
from segbench.table.published import Compared, differences, source_line
from segbench.table.row import Row
from segbench.table.throughput import advice, settings_of, settings_table
from segbench.timing import flags


def page_table(rows: list[Row]) -> str:
    """Write the published page's columns, in its order, as Markdown, with the legend of its times below."""
    return "\n\n".join([table(*page_cells(rows)), *notes(rows)])


def notes(rows: list[Row]) -> list[str]:
    """Return paragraphs for below a table: the legend of its times, and which differences cannot be told."""
    return [text for text in (legend_line(rows), resolution(rows)) if text]


def legend_line(rows: list[Row]) -> str:
    """Return the meaning of the signs in the time cells of `rows` as one paragraph; empty where nothing was timed."""
    signs = "; ".join(f"{sign}, {meaning}" for sign, meaning in legend(rows).items())
    return f"Signs beside a time: {signs}." if signs else ""


def page_cells(rows: list[Row]) -> tuple[list[str], list[list[str]]]:
    """Return header and cells of the published page's columns. Rows that these do not distinguish name their
    variant.
    """
    accelerated = {row["engine"] for row in rows if row["accelerated"]}
    only_tensorrt = bool(accelerated) and all("tensorrt" in engine for engine in accelerated)
    header = ["Model", "With TRT" if only_tensorrt else "Accelerated by", "infer datatype", "mIoU", "time(s/img)"]
    accelerators = ["Y" if only_tensorrt else row["engine"] for row in rows]
    native = "N" if only_tensorrt else "-"
    shown = [by if row["accelerated"] else native for row, by in zip(rows, accelerators, strict=True)]
    looks = [(row["model"], by, row["precision"]) for row, by in zip(rows, shown, strict=True)]
    first, cells = distrust.first_hardware(rows), []
    for row, by, look in zip(rows, shown, looks, strict=True):
        cells.append(
            [
                row["title"],
                f"{by} ({row['variant']})" if looks.count(look) > 1 else by,
                row["precision"].upper(),
                miou(row["miou"]),
                str(time_cell(row, first)) or row["status"].replace("ok", ""),
            ]
        )
    return header, cells


def full_table(rows: list[Row]) -> str:
    """Write all columns that a reader compares, as Markdown."""
    return table(*full_cells(rows))


def full_cells(rows: list[Row]) -> tuple[list[str], list[list[str]]]:
    """Return header and cells of the columns that have a heading."""
    return [column.heading for column in SHOWN], [[column.shown(row) for column in SHOWN] for row in rows]


def class_table(rows: list[Row]) -> list[str]:
    """Write a section with the IoU per class of each model's first variant that has them; nothing where none has."""
    first: dict[str, Row] = {}
    for row in rows:
        if row["iou_per_class"] is not None:
            first.setdefault(row["model"], row)
    if not first:
        return []
    classes = list(next(iter(first.values()))["iou_per_class"])
    cells = [[name, *(miou(row["iou_per_class"][name]) for row in first.values())] for name in classes]
    header = ["class", *(f"{model} ({row['variant']})" for model, row in first.items())]
    return ["## IoU per class", table(header, cells)]


def row_notes(rows: list[Row]) -> list[str]:
    """Write a section with the notes of every row that has some; nothing where none has."""
    lines: dict[str, list[str]] = {}
    for row in rows:
        for text in filter(None, row["notes"].split(flags.SEPARATOR)):
            lines.setdefault(f"`{row['model']}`: {text}", []).append(row["variant"])
    return (
        ["## Notes", "\n".join(f"- {line} ({', '.join(variants)})" for line, variants in lines.items())]
        if lines
        else []
    )


def throughput(rows: list[Row]) -> list[str]:
    """Write a section with the variants that ran in batches, in streams, or on several numbers of threads, and what to
    use; nothing where none did.
    """
    settings = settings_of(rows)
    if not settings:
        return []
    listed = "\n".join(f"- {sentence}" for sentence in advice(settings))
    return ["## Throughput", listed, table(*settings_table(settings))]


def reasons(rows: list[Row]) -> list[str]:
    """Write a section with the reason of every row that could not run; nothing where all could."""
    missing = [row for row in rows if row["status"] != "ok"]
    if not missing:
        return []
    cells = [[row["model"], row["variant"], row["status"], row["reason"]] for row in missing]
    return ["## Rows that could not run", table(["model", "variant", "status", "reason"], cells)]


def distrusted(rows: list[Row]) -> list[str]:
    """Write a section with the flags of every row's time, in full; nothing where no row has one."""
    cells = [[row["model"], row["variant"], text] for row in rows for text in flags.sentences_of(row)]
    return ["## Reasons to distrust a time", table(["model", "variant", "flag"], cells)] if cells else []


def published_table(compared: list[Compared]) -> list[str]:
    """Write a section with the published figures beside ours; nothing where none is of a chosen model."""
    if not compared:
        return []
    header, cells = published_cells(compared)
    method = "\n".join(f"- {line}" for line in differences(compared))
    parts = [source_line(compared), table(header, cells), "What differs in method:", method]
    return ["## Against published figures", *filter(None, parts)]


def published_cells(compared: list[Compared]) -> tuple[list[str], list[list[str]]]:
    """Return header and cells of `compared`: our mIoU, time and speed-up, each followed by the published one."""
    names = ("mIoU", "time s", "speed-up")
    header = ["model", "variant", *(head for name in names for head in (name, "published")), "published by"]
    cells = [
        [
            row.title,
            row.variant,
            miou(row.miou),
            miou(row.published.miou),
            row.time,
            seconds(row.published.time_s),
            ratio(row.speed_up),
            ratio(row.published_speed_up),
            row.published.source,
        ]
        for row in compared
    ]
    return header, cells


def table(header: list[str], cells: list[list[Any]]) -> str:
    """Write a Markdown table of texts and numbers as they are."""
    escaped = [[_escape(str(cell)) for cell in row] for row in cells]
    return str(tabulate(escaped, header, tablefmt="pipe", disable_numparse=True))


def _escape(text: str) -> str:
    """Escape a name, so that nothing in it ends a cell or starts markup."""
    flat = " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
