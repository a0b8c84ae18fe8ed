"""List the image/label pairs of a split, and check that each can be used. All faults are reported at once."""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from segbench.datasets.base import Facts, Pair, load
from segbench.errors import InputError
from segbench.files import sha256_of, write_record, write_text
from segbench.images.index import index_rows
from segbench.images.read import read_image, read_label
from segbench.process import lifetime
from segbench.process.lifetime import command

COLUMNS = ("image_id", "image", "label", "height", "width", "image_sha256", "label_sha256")
MAX_LISTED = 20  # more faults than these are only counted
FEW = 32  # pairs per process below which starting one costs more than it saves


class Checked(NamedTuple):
    """A checked pair: its size in pixels, its files' hashes, and what is wrong, in one line each."""

    pair: Pair
    height: int
    width: int
    sha256: str
    label_sha256: str
    faults: list[str]


def index_dataset(
    name: str,
    split: str,
    entry: dict[str, Any],
    limit: int | None,
    jobs: int,
    sample: dict[str, int] | None = None,
    apart_from: Path | None = None,
) -> tuple[list[Checked], dict[str, Any]]:
    """Return the split's pairs and its summary (dataset.json). Raises InputError with every fault that was found.

    `sample` takes only `count` of them, chosen and shuffled by `seed`. `apart_from` is an index that must share none.
    """
    layout, root = load(entry["kind"]), Path(entry["root"])
    if not root.is_dir():
        raise InputError(
            f"dataset_catalogue.{name}.root: {entry['root']!r}: no such folder; name it: --config dataset_root=PATH"
        )
    entry = {**entry, "name": name}
    pairs, facts = layout.pairs(root, split, entry)[:limit], layout.facts(root, split, entry)
    if not pairs:
        raise InputError(f"{root}: split {split!r} of data set {name!r} has no images; expected: {layout.about}")
    if sample:
        pairs = random.Random(sample["seed"]).sample(pairs, min(sample["count"], len(pairs)))
    checked = list(_progress(check_all(pairs, facts, jobs), len(pairs), split))
    faults = [fault for row in checked for fault in row.faults] + _repeated_ids(pairs)
    faults += _shared(checked, apart_from) if apart_from else []
    if faults:
        more = [f"… and {len(faults) - MAX_LISTED} more"] if len(faults) > MAX_LISTED else []
        heading = f"{len(faults)} fault(s) in split {split!r} of data set {name!r}:"
        raise InputError("\n".join([heading, *(fault.replace("\n", "\\n") for fault in faults[:MAX_LISTED]), *more]))
    return checked, _summary(name, split, entry, facts, checked)


def check_all(pairs: list[Pair], facts: Facts, jobs: int) -> Iterable[Checked]:
    """Run `check` for every pair, in order, on `jobs` processes."""
    if jobs <= 1 or len(pairs) < FEW * jobs:
        return (check(pair, facts) for pair in pairs)
    return _in_processes(pairs, facts, jobs)


def _in_processes(pairs: list[Pair], facts: Facts, jobs: int) -> Iterable[Checked]:
    # Processes are not forked: a fork of a process with threads may wait for a lock for ever.
    with lifetime.pool(jobs) as pool:
        yield from pool.map(check, pairs, [facts] * len(pairs), chunksize=4)


def check(pair: Pair, facts: Facts) -> Checked:
    """Decode both files of a pair and compare them."""
    cv2.setNumThreads(1)
    faults = [pair.fault] if pair.fault else []
    height = width = 0
    sha256 = label_sha256 = ""
    try:
        str(pair.image).encode()
        with _decoders_words() as words:
            height, width = read_image(pair.image).shape[:2]
        # libjpeg fills a missing rest with grey, and only prints a warning.
        faults += [f"{pair.image}: {line}" for line in words if "premature end" in line.lower()]
        sha256 = sha256_of(pair.image)
    except InputError as error:
        faults.append(str(error))
    except UnicodeEncodeError:
        faults.append(f"{pair.image}: its name is not UTF-8; rename it")
    if pair.label is not None:
        faults += (unfit := _label_faults(pair.label, facts, height, width))
        label_sha256 = "" if unfit else sha256_of(pair.label)
    return Checked(pair, height, width, sha256, label_sha256, faults)


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


def _label_faults(path: Path, facts: Facts, height: int, width: int) -> list[str]:
    """Return the faults of a label. `height` 0 means that the image could not be read, so sizes are not compared."""
    try:
        raw = read_label(path, None)
    except InputError as error:
        return [str(error)]
    faults = []
    if height and raw.shape != (height, width):
        faults.append(f"{path}: label of {raw.shape[0]}×{raw.shape[1]} for an image of {height}×{width}")
    named: Iterable[int] = (
        facts.id_map if facts.id_map is not None else [*range(len(facts.classes)), facts.ignore_index]
    )
    found = np.flatnonzero(cv2.calcHist([raw], [0], None, [256], [0, 256])).tolist()
    unknown = [i for i in found if i not in {number % 256 for number in named}]
    if unknown:
        allowed = f"0 to {len(facts.classes) - 1}, {facts.ignore_index} for ignored"
        where = "not in id_map" if facts.id_map is not None else f"no classes ({allowed})"
        faults.append(f"{path}: label ids {unknown} are {where}")
    return faults


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
        f"{row.pair.image}: is an image of val too ({theirs[row.sha256]}); calibration must not see what is scored"
        for row in checked
        if row.sha256 in theirs
    ]


def _summary(name: str, split: str, entry: dict[str, Any], facts: Facts, checked: list[Checked]) -> dict[str, Any]:
    sizes = Counter((row.height, row.width) for row in checked)
    hashes = hashlib.sha256("".join(row.sha256 for row in checked).encode())
    return {
        "dataset": name,
        "split": split,
        "kind": entry["kind"],
        "classes": facts.classes,
        "ignore_index": facts.ignore_index,
        "id_map": facts.id_map,
        "count": len(checked),
        "labelled": any(row.pair.label for row in checked),
        "sizes": [[height, width, count] for (height, width), count in sorted(sizes.items())],
        "images_sha256": hashes.hexdigest(),
    }


def _progress(rows: Iterable[Checked], total: int, split: str) -> Iterable[Checked]:
    last = time.monotonic()
    for done, row in enumerate(rows, 1):
        if done == total or time.monotonic() - last >= 1:
            last = time.monotonic()
            print(f"indexing {split}: {done}/{total}", file=sys.stderr, flush=True)
        yield row


def to_csv(checked: list[Checked]) -> str:
    """Return the rows of index.csv."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for pair, height, width, sha256, label_sha256, _ in checked:
        writer.writerow((pair.image_id, pair.image, pair.label or "", height, width, sha256, label_sha256))
    return stream.getvalue()


@command
def main() -> None:
    """Parse the command line and write index and summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True, help="name of the data set's entry")
    parser.add_argument("--split", required=True, help="train or val")
    parser.add_argument("--entry", type=json.loads, required=True, help="JSON: the data set's entry")
    parser.add_argument(
        "--limit", type=lambda text: None if text == "None" else int(text), help="first N images, or None"
    )
    parser.add_argument("--sample", type=json.loads, default=None, help="JSON: count and seed of a random choice")
    parser.add_argument("--apart-from", type=Path, help="index.csv that must not share an image with this one")
    parser.add_argument("--index", type=Path, required=True, help="index.csv to write")
    parser.add_argument("--summary", type=Path, required=True, help="dataset.json to write")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    args = parser.parse_args()
    checked, summary = index_dataset(
        args.dataset, args.split, args.entry, args.limit, args.jobs, args.sample, args.apart_from
    )
    write_text(args.index, to_csv(checked))
    write_record(args.summary, {**summary, "index_sha256": sha256_of(args.index)})


if __name__ == "__main__":
    main()
