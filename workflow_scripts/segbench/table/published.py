"""Compare rows with the published page (PaddleSeg's Inference Benchmark), where it has a model of that title."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

from segbench.table import distrust
from segbench.table.cells import time_cell
from segbench.table.row import Row
from segbench.table.verdict import row_ratio

# (title, whether TensorRT ran it, precision in lower case) → mIoU and seconds.
Page = dict[tuple[str, bool, str], tuple[float, float]]
SOURCE = "PaddleSeg, docs/deployment/inference/infer_benchmark.md"
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


class Compared(NamedTuple):
    """One row and the page's row: seconds per image, and speed-ups over the model's own native FP32 row.

    `place` is the row's number in the table, and `time` its time cell.
    """

    title: str
    variant: str
    place: int
    miou: float | None
    page_miou: float
    time: str
    page_time_s: float
    speed_up: float | None
    page_speed_up: float


def read_published(path: Path) -> Page:
    """Read mIoU and seconds by title, whether TensorRT ran the model, and precision in lower case."""
    with open(path, newline="", encoding="utf-8") as stream:
        return {
            (row["model"], row["with_trt"] == "Y", row["precision"].lower()): (float(row["miou"]), float(row["time_s"]))
            for row in csv.DictReader(stream)
        }


def compare(rows: list[Row], page: Page) -> list[Compared]:
    """Return the rows whose title, acceleration and precision the page has too, in the table's order."""
    natives = {row["title"]: row for row in rows if not row["accelerated"] and row["precision"] == "fp32"}
    first, found = distrust.first_hardware(rows), []
    for place, row in enumerate(rows):
        theirs = page.get((row["title"], bool(row["accelerated"]), row["precision"]))
        if theirs:
            native = natives.get(row["title"])
            ratio = native and row_ratio(native, row)
            found.append(
                Compared(
                    title=row["title"],
                    variant=row["variant"],
                    place=place,
                    miou=row["miou"],
                    page_miou=theirs[0],
                    time=str(time_cell(row, first)),
                    page_time_s=theirs[1],
                    speed_up=ratio.value if ratio else None,
                    page_speed_up=page[row["title"], False, "fp32"][1] / theirs[1],
                )
            )
    return found
