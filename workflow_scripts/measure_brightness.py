"""Measure how bright each image of a split is, so that the report can say what is lost on dark images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
from segbench.arrays import ColourImage
from segbench.images.decoded import ImageReader
from segbench.images.index import IndexEntry, read_index
from segbench.process.lifetime import command
from segbench.process.many_files import check_each
from segbench.process.status import attempt, write_status

WEIGHTS = (0.114, 0.587, 0.299)  # of blue, green and red in luma: ITU-R BT.601, as in OpenCV's grey
DECIMALS = 4


def luma(image: ColourImage) -> float:
    """Return the mean luma of uint8 H×W×3, BGR: 0 is black, 1 is white."""
    return sum(weight * mean for weight, mean in zip(WEIGHTS, cv2.mean(image), strict=False)) / 255


def measure(rows: list[IndexEntry], decoded: Path) -> dict[str, float]:
    """Return each image's `luma` by its id, of its kept pixels where there are some."""
    read = ImageReader(decoded)
    found = check_each(lambda row: round(luma(read(row)), DECIMALS), 1, "brightness", rows)
    return dict(zip((row["image_id"] for row in rows), found, strict=True))


@command
def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--index", type=Path, required=True, help="images.csv of the split")
    parser.add_argument("--decoded", type=Path, required=True, help="decoded.json of the split")
    parser.add_argument("--out", type=Path, required=True, help="brightness.json to write")
    args = parser.parse_args()

    def work() -> dict[str, Any]:
        return {"luma": measure(read_index(args.index), args.decoded)}

    write_status(args.out, f"brightness of {args.index.parent}", attempt(work), {"luma": {}})


if __name__ == "__main__":
    main()
