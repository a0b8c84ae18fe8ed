"""Draw a few images for each model: image, label, predictions, and where variants differ from the reference.

Two seeded images show every variant's difference. Then come the images on which variants differ most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from segbench.files import read_json
from segbench.images import shards
from segbench.images.colours import palette
from segbench.images.index import IndexEntry, index_rows
from segbench.images.labels import read_label
from segbench.images.pictures import Picture, choose, fade, marked, train_ids
from segbench.images.read import read_image
from segbench.report.derived import Facts
from segbench.report.render import data_address
from segbench.scoring.predictions import Predictions, class_map_of

SEEDED, SEED = 2, 0
WIDE, NARROW, MANY = 320, 224, 260  # pixels of a picture's width, and the number of pictures from which they are narrow
MAX_BYTES = 2_500_000  # of all pictures in the page
LOSSLESS, LOSSY = 101, 70  # WebP qualities on OpenCV's scale


@dataclass(frozen=True)
class Shown:
    """A picture: its caption, the id of its row ("" for image and label), and its data address."""

    caption: str
    row: str
    address: str


@dataclass
class Line:
    """Pictures of one image of one model. Pictures of `variants` are shown, with their predictions where `worst` is
    set.

    `reference` is the variant that they are compared with. It is "" where it is no row that ran, so that files of an
    older run stay unread.
    """

    model: str
    image_id: str
    about: str
    worst: bool
    reference: str
    variants: list[Facts] = field(repr=False, default_factory=list)
    shown: list[Shown] = field(default_factory=list)


def samples(results: Path, rows: list[Facts], seed: int = SEED, shard_count: int = 1) -> tuple[list[Line], int]:
    """Return all lines that fit into MAX_BYTES, by model, and how many did not fit. Rows have the report's keys."""
    ran = [row for row in rows if row["status"] == "ok" and row["time_s"] is not None]
    if not ran:
        return [], 0
    folder = results / "data" / ran[0]["dataset"] / "val"
    dataset = read_json(folder / "dataset.json")
    if dataset.get("status", "ok") != "ok":  # its labels were refused
        return [], 0
    images = _by_id(folder / "index.csv")
    chosen = [row["image_id"] for row in choose(folder / "index.csv", SEEDED, seed)]
    lines = [line for model in dict.fromkeys(r["model"] for r in ran) for line in _plan(results, ran, model, chosen)]
    many = sum(3 + len(line.variants) * (1 + line.worst) for line in lines) > MANY
    artist, spent = Artist(results, dataset, NARROW if many else WIDE, shard_count), 0
    for number, line in enumerate(lines):
        line.shown = list(artist.draw(line, images[line.image_id]))
        spent += sum(len(picture.address) for picture in line.shown)
        if spent > MAX_BYTES:
            return lines[:number], len(lines) - number
    return lines, 0


def _plan(results: Path, ran: list[Facts], model: str, chosen: list[str]) -> list[Line]:
    """Plan the lines of one model, still without pictures."""
    rows = [row for row in ran if row["model"] == model]
    reference = next((row["variant"] for row in rows if row["variant"] == row["reference"]), "")
    lines = [Line(model, image_id, "chosen by seed", False, reference, rows) for image_id in chosen]
    if not reference:
        return lines
    worst: dict[str, Line] = {}
    for row in rows:
        score = read_json(results / "scores" / row["dataset"] / model / f"{row['variant']}.json")
        if row["variant"] != row["reference"] and score["worst_images"]:
            image_id, agreement = score["worst_images"][0]
            if agreement < 1:
                line = worst.setdefault(image_id, Line(model, image_id, "differs most:", True, reference))
                line.about += f"{',' if line.variants else ''} {row['variant']} (agreement {agreement:.4f})"
                line.variants.append(row)
    return [*lines, *worst.values()]


@dataclass
class Artist:
    """Draw lines. Each file of predictions is opened once."""

    results: Path
    dataset: dict[str, Any]
    width: int
    shards: int

    def __post_init__(self) -> None:
        self.colours = palette(self.dataset["classes"])[:, ::-1]
        self.opened: dict[str, list[Predictions]] = {}
        self.models: dict[str, Any] = {}  # records of exports

    def draw(self, line: Line, entry: IndexEntry) -> Iterator[Shown]:
        """Yield the pictures of a line. `entry` is the image's row of the index."""
        image = read_image(entry["image"], entry.get("image_sha256"))
        yield Shown("image", "", self.encode(image, LOSSY))
        if entry["label"]:
            label = read_label(entry["label"], self.dataset["id_map"], entry.get("label_sha256"))
            yield Shown("label", "", self.coloured(label))
        native = self.class_map(line, line.reference, image) if line.reference else None
        if native is not None:
            yield Shown(f"predicted by {line.reference}", "", self.coloured(native))
        faded = fade(image)
        for row in line.variants:
            if row["variant"] == line.reference:
                continue
            own = self.class_map(line, row["variant"], image)
            if line.worst or native is None:
                caption = f"predicted by {row['variant']}"
                yield Shown(caption, row["id"], self.coloured(own))
            if native is not None:
                different = own != native
                caption = f"{row['variant']} differs on {np.count_nonzero(different) / different.size:.2%}"
                yield Shown(caption, row["id"], self.encode(marked(faded, different), LOSSY))

    def class_map(self, line: Line, variant: str, image: Picture) -> Picture:
        """Return the prediction of a variant for the line's image, as trainIds of the image's size."""
        here = f"{self.dataset['dataset']}/{line.model}/{variant}"
        if here not in self.opened:
            folders = shards.pass_folders(self.results, here, self.shards)
            self.opened[here] = [Predictions.open(folder / "predictions.zip") for folder in folders]
        if line.model not in self.models:
            self.models[line.model] = read_json(self.results / "models" / line.model / "model.json")
        return train_ids(class_map_of(self.opened[here], line.image_id), self.models[line.model], self.dataset)

    def coloured(self, class_map: Picture) -> str:
        """Return a map of trainIds in colours as `encode` does. It is made small first, since it keeps its ids."""
        return self.encode(self.colours[self.small(class_map, cv2.INTER_NEAREST)], LOSSLESS)

    def encode(self, picture: Picture, quality: int) -> str:
        """Return the BGR picture, made small, as a WebP data address."""
        picture = self.small(picture, cv2.INTER_NEAREST if quality == LOSSLESS else cv2.INTER_AREA)
        content = cv2.imencode(".webp", np.ascontiguousarray(picture), [cv2.IMWRITE_WEBP_QUALITY, quality])[1]
        return data_address(content.tobytes(), "image/webp")

    def small(self, picture: Picture, interpolation: int) -> Picture:
        """Return the picture with at most the width of the page's pictures."""
        height, width = picture.shape[:2]
        if width <= self.width:
            return picture
        size = (self.width, max(1, round(height * self.width / width)))
        return np.asarray(cv2.resize(picture, size, interpolation=interpolation), np.uint8)


def _by_id(index: Path) -> dict[str, IndexEntry]:
    return {row["image_id"]: row for row in index_rows(index)}
