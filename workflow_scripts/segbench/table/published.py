"""Compare rows with PaddleSeg's published figures: its page (Inference Benchmark), and its configurations' READMEs."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from segbench.table import distrust
from segbench.table.cells import time_cell
from segbench.table.row import Row, is_single
from segbench.table.verdict import row_ratio

PAGE = "PaddleSeg, docs/deployment/inference/infer_benchmark.md"
HARDWARE = "V100 32G, CUDA 10.1, cuDNN 7.6, TensorRT 6.0.1.5, Paddle 2.1.1, 1024×2048, batch 1"
DIFFERENCES = (
    "The published page's INT8 rows are models trained with quantisation in mind; ours are calibrated after training.",
    "The published page's clock stood around `predictor.run()` alone, without warm-up, in one process. Ours is"
    " synchronised with the device, runs after warm-up, and its figure is the median over processes of each one's"
    " median.",
    f"The published page's times are of another machine ({HARDWARE}); ours are of the one that ran this table. Compare"
    " the pattern of speed-ups, not the seconds.",
    "A row of ours that is accelerated by another engine than TensorRT stands beside the published page's TensorRT row"
    " of the same precision; that page has no BF16.",
)
README_DIFFERENCES = (
    "A README's mIoU is of one scale without flips, on the data set that is named beside it. A sliding window, where it"
    " names one, is not done here.",
)


class Figure(NamedTuple):
    """A published mIoU, and where it stands; with the seconds per image where a time is published too."""

    miou: float
    time_s: float | None
    source: str


# (title, whether another engine than the native one runs it, precision in lower case) → what is published.
Published = dict[tuple[str, bool, str], Figure]


class Compared(NamedTuple):
    """One row and its published figure: seconds per image, and speed-ups over the model's own native FP32 row.

    `place` is the row's number in the table, and `time` its time cell.
    """

    title: str
    variant: str
    place: int
    miou: float | None
    published: Figure
    time: str
    speed_up: float | None
    published_speed_up: float | None


def read_published(paths: Iterable[Path]) -> Published:
    """Read the page's rows and the READMEs' figures. A file's columns tell which of both it has."""
    found: Published = {}
    for path in paths:
        with open(path, newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                found |= _of_readme(row) if "configuration" in row else _of_page(row)
    return found


def _of_page(row: dict[str, str]) -> Published:
    figure = Figure(float(row["miou"]), float(row["time_s"]), "the published page")
    return {(row["model"], row["with_trt"] == "Y", row["precision"].lower()): figure}


def _of_readme(row: dict[str, str]) -> Published:
    """Return a figure for every FP32 engine, since the README's mIoU is of the network and not of an engine."""
    figure = Figure(float(row["miou"]), None, f"{row['dataset']}, {row['evaluation']}: {row['source']}")
    return {(row["configuration"], accelerated, "fp32"): figure for accelerated in (False, True)}


def compare(rows: list[Row], published: Published) -> list[Compared]:
    """Return the rows for whose title, acceleration and precision something is published, in the table's order."""
    natives = {row["title"]: row for row in rows if not row["accelerated"] and row["precision"] == "fp32"}
    first, found = distrust.first_hardware(rows), []
    for place, row in enumerate(rows):
        figure = published.get((row["title"], bool(row["accelerated"]), row["precision"]))
        if figure and is_single(row):
            native = natives.get(row["title"])
            ratio = native and row_ratio(native, row)
            base_s = published[row["title"], False, "fp32"].time_s
            found.append(
                Compared(
                    title=row["title"],
                    variant=row["variant"],
                    place=place,
                    miou=row["miou"],
                    published=figure,
                    time=str(time_cell(row, first)),
                    speed_up=ratio.value if ratio else None,
                    published_speed_up=base_s / figure.time_s if base_s and figure.time_s else None,
                )
            )
    return found


def source_line(compared: list[Compared]) -> str:
    """Return where the page's figures stand, and what its speed-ups are over; empty where no row of the page is there.

    A figure of a README names its file in the table.
    """
    if not any(row.published.time_s for row in compared):
        return ""
    return f"Source of the published page: {PAGE} ({HARDWARE}). Speed-ups are over the model's own native FP32 row."


def differences(compared: list[Compared]) -> list[str]:
    """Return what differs in method between our figures and the published ones that stand beside them."""
    timed = [row.published.time_s is not None for row in compared]
    return [*(DIFFERENCES if any(timed) else ()), *(README_DIFFERENCES if not all(timed) else ())]
