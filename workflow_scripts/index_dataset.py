"""Pair the images of a split with their labels, and check each label. All faults are reported at once."""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from segbench.datasets.base import Facts, Pair
from segbench.datasets.listing import facts_of, left_out, listed, refuse, told
from segbench.errors import InputError
from segbench.files import read_json, sha256_of, stamp, write_text
from segbench.images.id_map import has_colours
from segbench.images.index import ImageEntry, read_index
from segbench.images.labels import INSTANCES_PER_CLASS, NO_ID, read_values, unnamed
from segbench.images.read import form_of
from segbench.process.lifetime import command
from segbench.process.many_files import check_each
from segbench.process.status import attempt, read_status, write_status

COLUMNS = (
    *("image_id", "image", "label", "height", "width", "image_sha256", "label_sha256"),
    *("image_bytes", "image_ctime_ns", "label_bytes", "label_ctime_ns"),
)
LABEL = ("label", "label_sha256", "label_bytes", "label_ctime_ns")
INSTANCES = ("instances", "instances_sha256", "instances_bytes", "instances_ctime_ns")  # only where there are some
MAX_VALUES = 10  # of a label, that a fault lists


class Checked(NamedTuple):
    """A checked label (None: there is none): its hash, bytes and date, and what is wrong, in one line each. The file
    of instances likewise.
    """

    label: Path | None
    sha256: str
    stamp: tuple[int, int]
    faults: list[str]
    instances: Path | None = None
    instances_sha256: str = ""
    instances_stamp: tuple[int, int] = (0, 0)


def index_dataset(
    name: str, split: str, entry: dict[str, Any], rows: Sequence[ImageEntry] | None, jobs: int, limit: int | None = None
) -> tuple[Facts, list[Checked]]:
    """Return the meaning of the labels, and a checked label for each row of the images' index.

    Without `rows`, since an image is faulty, all pairs are checked. Raises InputError with every fault that was found.
    """
    facts, pairs = facts_of(name, split, entry), listed(name, split, entry, limit)
    sizes = [(0, 0)] * len(pairs)
    if rows is not None:
        by_image = {str(pair.image): pair for pair in pairs}
        if gone := next((row["image"] for row in rows if row["image"] not in by_image), None):
            raise InputError(f"{gone}: is gone since the images were listed; run again")
        pairs = [by_image[row["image"]] for row in rows]
        sizes = [(int(row["height"]), int(row["width"])) for row in rows]
    checked = check_each(check, jobs, f"indexing labels of {split}", pairs, [facts] * len(pairs), sizes)
    refuse([fault for one in checked for fault in one.faults], name, told(split, entry))
    return facts, checked


def note_of_left_out(name: str, split: str, entry: dict[str, Any]) -> list[str]:
    """Say which pictures the glob of the images leaves out although labels name them."""
    if not (found := left_out(name, split, entry)):
        return []
    named = ", ".join(path.name for path in found[:3]) + (", …" if len(found) > 3 else "")
    return [f"{len(found)} image(s) are left out by the glob of the images, although labels name them ({named})"]


def check(pair: Pair, facts: Facts, size: tuple[int, int]) -> Checked:
    """Decode the label of a pair, and compare it with the classes and the image's size ((0, 0): not known)."""
    cv2.setNumThreads(1)
    faults = [pair.fault] if pair.fault else []
    if pair.label is None:
        return Checked(None, "", (0, 0), faults)
    faults += _label_faults(pair, pair.label, facts, *size)
    if pair.instances:
        faults += _instance_faults(pair.instances, facts, *size)
    if faults:
        return Checked(pair.label, "", (0, 0), faults)
    label = pair.label, sha256_of(pair.label), stamp(pair.label), faults
    if pair.instances is None:
        return Checked(*label)
    return Checked(*label, pair.instances, sha256_of(pair.instances), stamp(pair.instances))


def _label_faults(pair: Pair, path: Path, facts: Facts, height: int, width: int) -> list[str]:
    """Return the faults of a label. `height` 0 means that the image's size is not known, so sizes are not compared."""
    try:
        raw = read_values(path, has_colours(facts.id_map))
    except InputError as error:
        return [str(error)]
    faults = []
    if height and raw.shape != (height, width):
        exif = form_of(pair.image).turned and raw.shape == (width, height)
        turned = ", which is turned as its EXIF data say: turn the label too, or remove the tag" if exif else ""
        faults.append(f"{path}: label of {raw.shape[0]}×{raw.shape[1]} for an image of {height}×{width}{turned}")
    ids = [*range(len(facts.classes)), facts.ignore_index, *([-1] if facts.ignore_index == NO_ID else [])]
    if found := unnamed(raw, ids if facts.id_map is None else facts.id_map):
        shown = ", ".join(found[:MAX_VALUES]) + f", … ({len(found)})" * (len(found) > MAX_VALUES)
        allowed = f"0 to {len(facts.classes) - 1}, {facts.ignore_index} for ignored"
        what = "colours" if has_colours(facts.id_map) else "ids"
        where = "not in id_map" if facts.id_map is not None else f"no classes ({allowed})"
        faults.append(f"{path}: label {what} [{shown}] are {where}")
    return faults


def _instance_faults(path: Path, facts: Facts, height: int, width: int) -> list[str]:
    """Return the faults of a file of instances."""
    try:
        ids = read_values(path, False)
    except InputError as error:
        return [str(error)]
    faults = []
    if height and ids.shape != (height, width):
        faults.append(f"{path}: instances of {ids.shape[0]}×{ids.shape[1]} for an image of {height}×{width}")
    found = np.unique(ids[ids > INSTANCES_PER_CLASS])
    kinds = facts.instances or {}
    if wrong := [str(number) for number in found.tolist() if number // INSTANCES_PER_CLASS not in kinds]:
        shown = ", ".join(wrong[:MAX_VALUES]) + f", … ({len(wrong)})" * (len(wrong) > MAX_VALUES)
        of = f"{INSTANCES_PER_CLASS} × the id of a class with instances ({', '.join(map(str, kinds))}) + a number"
        faults.append(f"{path}: ids [{shown}] are no instances ({of})")
    return faults


def to_csv(rows: Sequence[ImageEntry], checked: list[Checked]) -> str:
    """Return the rows of index.csv."""
    stream = io.StringIO()
    with_instances = any(one.instances for one in checked)
    writer = csv.DictWriter(stream, COLUMNS + INSTANCES if with_instances else COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row, one in zip(rows, checked, strict=True):
        label = dict(zip(LABEL, (one.label or "", one.sha256, *one.stamp), strict=True))
        of_instances = (one.instances or "", one.instances_sha256, *one.instances_stamp)
        more = dict(zip(INSTANCES, of_instances, strict=True)) if with_instances else {}
        writer.writerow({**row, **label, **more})
    return stream.getvalue()


@command
def main() -> None:
    """Parse the command line and write index and summary. Where there are faults, the index is empty."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True, help="name of the data set's entry")
    parser.add_argument("--split", required=True, help="train, val, or a split that is chosen from one of them")
    parser.add_argument("--entry", type=json.loads, required=True, help="JSON: the data set's entry")
    parser.add_argument("--limit", type=json.loads, default=None, help="first N images, or null")
    parser.add_argument("--images", type=Path, required=True, help="images.csv of the split, with images.json beside")
    parser.add_argument("--state", default="", help="what planning knows the files by; it is kept in the summary")
    parser.add_argument("--index", type=Path, required=True, help="index.csv to write")
    parser.add_argument("--summary", type=Path, required=True, help="dataset.json to write")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    args = parser.parse_args()
    listing = args.images.with_suffix(".json")
    images = read_status(listing)
    about = {key: value for key, value in read_json(listing).items() if key not in ("status", "reason", "index_sha256")}
    rows = read_index(args.images) if images.status == "ok" else []

    def work(known: Sequence[ImageEntry] | None) -> dict[str, Any]:
        facts, checked = index_dataset(args.dataset, args.split, args.entry, known, args.jobs, args.limit)
        labelled = any(one.label for one in checked)
        notes = note_of_left_out(args.dataset, args.split, args.entry)
        for note in notes:
            print(f"note: {note}")
        # The record of a data set without instances stays as it was.
        meaning = {key: value for key, value in facts.__dict__.items() if key != "instances" or value}
        return {**meaning, "labelled": labelled, "notes": [*about["notes"], *notes], "rows": checked}

    if images.status == "ok":
        outcome = attempt(lambda: work(rows))
    else:
        outcome = images
        with contextlib.suppress(InputError):
            if listed(args.dataset, args.split, args.entry, args.limit):
                attempt(lambda: work(None))  # faults of images and of labels are told at once
    checked = outcome.result.pop("rows", [])
    write_text(args.index, to_csv(rows if checked else [], checked))
    unknown = {"classes": [], "ignore_index": 255, "id_map": None, "labelled": False}  # where there are faults
    facts = {**about, **unknown, "state": args.state, "index_sha256": sha256_of(args.index)}
    write_status(args.summary, f"labels of {args.dataset} {args.split}", outcome, facts)


if __name__ == "__main__":
    main()
