"""Show the objects that variants lose: numbers by class and size, and the worst ones as pictures.

A picture is a window around the object: image, label, what the reference predicts, and what each variant that loses it
predicts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from segbench.files import read_json
from segbench.images.index import IndexEntry, index_rows
from segbench.images.labels import read_label
from segbench.images.pictures import Picture
from segbench.images.read import read_image
from segbench.report.derived import Facts
from segbench.report.samples import LOSSLESS, LOSSY, Artist, Line, Shown
from segbench.scoring.objects import SIZES, ByClass, LostObject, by_class

PER_MODEL = 4  # objects of a model that are shown
SIDE = 240  # pixels of a window's longer side in the page
AROUND = 0.75  # of the object's longer side, that the window has beyond it on every side
MIN_AROUND = 16  # pixels
MAX_BYTES = 1_500_000  # of all pictures in the page
HEADER = ["model and variant", "found by the reference", "lost", "gained", "lost by class", "lost by size"]


@dataclass
class LostLine(Line):
    """The pictures of one lost object."""

    box: tuple[int, int, int, int] = (0, 0, 0, 0)


def table_of(results: Path, rows: list[Facts]) -> list[tuple[str, list[str]]]:
    """Return the id and the cells of each row that objects were counted of, but for the reference."""
    found = []
    for row in rows:
        if row["objects_lost"] is None or row["variant"] == row["reference"]:
            continue
        counts: ByClass = read_json(_score_of(results, row))["objects"]
        of_size = {size: sum(sizes[size]["lost"] for sizes in counts.values()) for size in SIZES}
        numbers = [str(row[name]) for name in ("objects_found", "objects_lost", "objects_gained")]
        found.append((row["id"], [row["label"], *numbers, _named(by_class(counts, "lost")), _named(of_size)]))
    return found


def _named(numbers: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items() if number)


def _score_of(results: Path, row: Facts) -> Path:
    return results / "scores" / row["dataset"] / row["model"] / f"{row['variant']}.json"


def lines_of(results: Path, rows: list[Facts], shard_count: int = 1) -> list[LostLine]:
    """Return the worst lost objects of each model, with their pictures."""
    ran = [row for row in rows if row["objects_lost"] and row["time_s"] is not None]
    if not ran:
        return []
    folder = results / "data" / ran[0]["dataset"] / "val"
    images = {entry["image_id"]: entry for entry in index_rows(folder / "index.csv")}
    artist, spent = WindowArtist(results, read_json(folder / "dataset.json"), SIDE, shard_count), 0
    found: list[LostLine] = []
    for line in (line for model in dict.fromkeys(row["model"] for row in ran) for line in _plan(results, rows, model)):
        line.shown = list(artist.draw(line, images[line.image_id]))
        spent += sum(len(picture.address) for picture in line.shown)
        if spent > MAX_BYTES:
            break
        found.append(line)
    return found


def _plan(results: Path, rows: list[Facts], model: str) -> list[LostLine]:
    """Plan the lines of one model, still without pictures: an object that several variants lose is one line."""
    rows = [row for row in rows if row["model"] == model and row["status"] == "ok"]
    reference = next((row["variant"] for row in rows if row["variant"] == row["reference"]), "")
    lines: dict[tuple[object, ...], tuple[LostObject, LostLine]] = {}
    for row in rows if reference else ():
        for one in map(LostObject._make, read_json(_score_of(results, row))["lost_objects"]):
            line = LostLine(model, one.image_id, "", True, reference, box=tuple(one.box))  # type: ignore[arg-type]
            line = lines.setdefault((one.image_id, *one.box), (one, line))[1]
            line.variants.append(row)
            line.about += f", {row['variant']} {one.own:.1%}"
    worst = sorted(lines.values(), key=lambda pair: pair[0].pixels * (pair[0].own - pair[0].reference))[:PER_MODEL]
    for one, line in worst:
        found = f"{reference} has {one.reference:.1%} of them{line.about}"
        line.about = f"{one.name} of {one.pixels} pixels: {found}"
    return [line for _, line in worst]


class WindowArtist(Artist):
    """Draw windows around lost objects."""

    def draw(self, line: Line, entry: IndexEntry) -> Iterator[Shown]:
        """Yield the pictures of a line. `entry` is the image's row of the index."""
        assert isinstance(line, LostLine)
        image = read_image(entry["image"], entry.get("image_sha256"))
        label = read_label(entry["label"], self.dataset["id_map"], entry.get("label_sha256"))
        yield Shown("image", "", self.window(image, line, LOSSY))
        yield Shown("label", "", self.window(self.colours[label], line, LOSSLESS))
        native = self.class_map(line, line.reference, image)
        yield Shown(f"predicted by {line.reference}", "", self.window(self.colours[native], line, LOSSLESS))
        for row in line.variants:
            own = self.class_map(line, row["variant"], image)
            yield Shown(f"predicted by {row['variant']}", row["id"], self.window(self.colours[own], line, LOSSLESS))

    def window(self, picture: Picture, line: LostLine, quality: int) -> str:
        """Return the window of a picture, enlarged, with a white frame around the object, as a data address."""
        left, top, width, height = line.box
        around = max(MIN_AROUND, round(AROUND * max(width, height)))
        y, x = max(top - around, 0), max(left - around, 0)
        part = picture[y : top + height + around, x : left + width + around]
        by = SIDE / max(part.shape[:2])
        how = cv2.INTER_NEAREST if quality == LOSSLESS else cv2.INTER_LINEAR
        size = (max(1, round(part.shape[1] * by)), max(1, round(part.shape[0] * by)))
        large = np.asarray(cv2.resize(part, size, interpolation=how), np.uint8)
        frame = [round(number * by) for number in (left - x, top - y, width, height)]
        cv2.rectangle(large, frame, (255, 255, 255))
        return self.encode(large, quality)
