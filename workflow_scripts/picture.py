"""Draw a few images of a run side by side: image, label, prediction, and where the prediction is wrong."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from segbench.files import atomic, checked, read_json
from segbench.images.colours import palette
from segbench.images.index import IndexEntry
from segbench.images.labels import read_label
from segbench.images.pictures import Picture, choose, fade, marked, train_ids
from segbench.images.read import read_image
from segbench.process.lifetime import command
from segbench.process.status import attempt, read_status, write_status
from segbench.scoring.predictions import Predictions, class_map_of

Facts = dict[str, Any]
GAP = 4  # white pixels between pictures
WIDTH = 512  # pixels of each picture; wider pictures are made smaller


def draw(
    rows: list[IndexEntry], predictions: list[Predictions], model: dict[str, Any], dataset: dict[str, Any]
) -> Picture:
    """Draw a line per row of the index, BGR uint8. Its class map is in one of `predictions`. Without labels the
    second and fourth picture are left out.
    """
    lines = [_framed(_line(row, predictions, model, dataset)) for row in rows]
    width = max(line.shape[1] for line in lines)  # images may differ in size
    return np.vstack([np.pad(p, ((0, 0), (0, width - p.shape[1]), (0, 0)), constant_values=255) for p in lines])


def _line(
    row: IndexEntry, predictions: list[Predictions], model: dict[str, Any], dataset: dict[str, Any]
) -> list[Picture]:
    image = read_image(row["image"], row.get("image_sha256"))
    colours = palette(dataset["classes"])[:, ::-1]
    predicted = train_ids(class_map_of(predictions, row["image_id"]), model, dataset)
    if not row["label"]:
        return [image, colours[predicted]]
    label = read_label(row["label"], dataset["id_map"], row.get("label_sha256"))
    wrong = (label != predicted) & (label != dataset["ignore_index"])
    return [image, colours[label], colours[predicted], marked(fade(image), wrong)]


def _framed(pictures: list[Picture]) -> Picture:
    """Put pictures side by side, with a white gap after each and below."""
    height, width = pictures[0].shape[:2]
    size = (min(width, WIDTH), round(height * min(width, WIDTH) / width))
    small = [np.asarray(cv2.resize(p, size, interpolation=cv2.INTER_AREA), np.uint8) for p in pictures]
    framed = [np.pad(p, ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for p in small]
    return np.hstack(framed)


@command
def main() -> None:
    """Parse the command line and draw. A run that is not ok gives a white pixel."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--index", type=Path, required=True, help="index.csv of the images that were run")
    parser.add_argument("--dataset", type=Path, required=True, help="its dataset.json")
    parser.add_argument("--model", type=Path, required=True, help="model.json")
    parser.add_argument(
        "--predictions", type=Path, nargs="+", required=True, help="predictions.zip of the accuracy pass's shards"
    )
    parser.add_argument("--statuses", type=Path, nargs="+", required=True, help="their status.json")
    parser.add_argument("--count", type=int, default=4, help="number of images")
    parser.add_argument("--seed", type=int, default=0, help="which images")
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")
    parser.add_argument("--status", type=Path, required=True, help="JSON to write: whether it was drawn, or why not")
    args = parser.parse_args()
    picture = np.full((1, 1, 3), 255, np.uint8)

    def work() -> dict[str, Any]:
        nonlocal picture
        runs = [read_json(path) for path in args.statuses]
        rows = choose(args.index, args.count, args.seed)
        predictions = [Predictions.open(checked(*pair)) for pair in zip(args.predictions, runs, strict=True)]
        picture = draw(rows, predictions, read_json(args.model), read_json(args.dataset))
        return {}

    outcome = attempt(work, map(read_status, args.statuses))
    with atomic(args.out) as temporary:
        temporary.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    write_status(args.status, f"picture {args.out}", outcome, {})


if __name__ == "__main__":
    main()
