"""List the images of a split, and check that each can be decoded. All faults are reported at once."""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cv2
from segbench.datasets.base import Pair
from segbench.datasets.listing import listed, refuse, told
from segbench.errors import InputError
from segbench.files import sha256_of, stamp, write_text
from segbench.images.index import index_rows
from segbench.images.read import Form, form_of, read_image
from segbench.process.lifetime import command
from segbench.process.many_files import check_each
from segbench.process.status import attempt, write_status

COLUMNS = ("image_id", "image", "height", "width", "image_sha256", "image_bytes", "image_ctime_ns")
# What is told of an image, by its Pillow mode.
TOLD = {
    ("1", "L", "I", "I;16", "I;16B"): ("are grey", "all three channels get their value"),
    ("LA", "RGBA", "PA"): ("have an alpha channel", "it is dropped"),
    ("CMYK",): ("are CMYK", "they are converted to RGB without a colour profile"),
}


class Checked(NamedTuple):
    """A checked image: its size in pixels, its file's hash, bytes and date, what is wrong, in one line each, and the
    file's form.
    """

    image_id: str
    image: Path
    height: int
    width: int
    sha256: str
    stamp: tuple[int, int]
    faults: list[str]
    form: Form = Form()


def index_images(pairs: list[Pair], name: str, split: str, jobs: int, apart_from: Path | None = None) -> list[Checked]:
    """Check the images of `pairs`. Raises InputError with every fault. `apart_from`: an index that must share none."""
    checked = check_each(check, jobs, f"indexing {split}", pairs)
    faults = [fault for row in checked for fault in row.faults] + _repeated_ids(pairs)
    faults += _shared(checked, apart_from) if apart_from else []
    refuse(faults, name, split)
    return checked


def check(pair: Pair) -> Checked:
    """Decode the image of a pair."""
    cv2.setNumThreads(1)
    faults: list[str] = []
    height = width = 0
    sha256, seen, form = "", (0, 0), Form()
    try:
        str(pair.image).encode()
        with _decoders_words() as words:
            height, width = read_image(pair.image).shape[:2]
        # libjpeg fills a missing rest with grey, and only prints a warning.
        faults += [f"{pair.image}: {line}" for line in words if "premature end" in line.lower()]
        sha256, seen = sha256_of(pair.image), stamp(pair.image)
        form = form_of(pair.image)
    except InputError as error:
        faults.append(str(error))
    except UnicodeEncodeError:
        faults.append(f"{pair.image}: its name is not UTF-8; rename it")
    return Checked(pair.image_id, pair.image, height, width, sha256, seen, faults, form)


@contextmanager
def _decoders_words() -> Iterator[list[str]]:
    """Collect the lines that C libraries write to this process's stderr. The list is filled at the end."""
    lines: list[str] = []
    sys.stderr.flush()
    with tempfile.TemporaryFile() as caught:
        kept = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            lines += caught.read().decode(errors="replace").splitlines()


def _repeated_ids(pairs: list[Pair]) -> list[str]:
    count = Counter(pair.image_id for pair in pairs)
    return [
        f"image id {i!r} stands for {n} images: {', '.join(str(p.image) for p in pairs if p.image_id == i)}"
        for i, n in count.items()
        if n > 1
    ]


def _shared(checked: list[Checked], index: Path) -> list[str]:
    """Return faults for images whose content is in another index too."""
    theirs = {row["image_sha256"]: row["image"] for row in index_rows(index)}
    return [
        f"{row.image}: is an image of val too ({theirs[row.sha256]}); calibration must not see what is scored"
        for row in checked
        if row.sha256 in theirs
    ]


def to_csv(checked: list[Checked]) -> str:
    """Return the rows of images.csv."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in checked:
        writer.writerow((row.image_id, row.image, row.height, row.width, row.sha256, *row.stamp))
    return stream.getvalue()


def notes(checked: list[Checked]) -> list[str]:
    """Say in sentences what reading the images drops or turns."""
    found = []
    if turned := [row.image for row in checked if row.form.turned]:
        found.append(
            f"{len(turned)} image(s) are turned as their EXIF data say, e.g. {turned[0]}: their labels must be drawn on"
            " them as they are shown"
        )
    if deep := [row for row in checked if row.form.used_bits is not None]:
        most = max(row.form.used_bits or 0 for row in deep)
        short = f"; their values need only {most} bits, so that they become dark: scale them to 8 bits" * (most < 16)
        found.append(f"{len(deep)} image(s) have 16 bits, e.g. {deep[0].image}: the upper 8 are used{short}")
    for modes, what in TOLD.items():
        if images := [row.image for row in checked if row.form.mode in modes]:
            found.append(f"{len(images)} image(s) {what[0]}, e.g. {images[0]}: {what[1]}")
    return found


def summary(checked: list[Checked]) -> dict[str, Any]:
    """Return what images.json says of the images."""
    sizes = Counter((row.height, row.width) for row in checked)
    hashes = hashlib.sha256("".join(row.sha256 for row in checked).encode())
    return {
        "count": len(checked),
        "sizes": [[height, width, count] for (height, width), count in sorted(sizes.items())],
        "images_sha256": hashes.hexdigest(),
        "notes": notes(checked),
    }


@command
def main() -> None:
    """Parse the command line and write index and summary. Where there are faults, the index is empty."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True, help="name of the data set's entry")
    parser.add_argument("--split", required=True, help="train, val, or a split that is chosen from one of them")
    parser.add_argument("--entry", type=json.loads, required=True, help="JSON: the data set's entry")
    parser.add_argument("--limit", type=json.loads, default=None, help="first N images, or null")
    parser.add_argument("--sample", type=json.loads, default=None, help="JSON: count and seed of a choice; null: all")
    parser.add_argument("--apart-from", type=Path, help="images.csv that must not share an image with this one")
    parser.add_argument("--state", default="", help="what planning knows the files by; it is kept in the summary")
    parser.add_argument("--index", type=Path, required=True, help="images.csv to write")
    parser.add_argument("--summary", type=Path, required=True, help="images.json to write")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    args = parser.parse_args()

    def work() -> dict[str, Any]:
        pairs = listed(args.dataset, args.split, args.entry, args.limit, args.sample)
        return {"rows": index_images(pairs, args.dataset, told(args.split, args.entry), args.jobs, args.apart_from)}

    outcome = attempt(work)
    rows = outcome.result.pop("rows", [])
    write_text(args.index, to_csv(rows))
    for note in notes(rows):
        print(f"note: {note}")
    facts = {"dataset": args.dataset, "split": args.split, "kind": args.entry["kind"], "state": args.state}
    facts |= {**summary(rows), "index_sha256": sha256_of(args.index)}
    write_status(args.summary, f"images of {args.dataset} {args.split}", outcome, facts)


if __name__ == "__main__":
    main()
