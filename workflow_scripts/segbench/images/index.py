"""Read the index of a split: its image/label pairs, one row each."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypedDict, cast

from segbench.errors import InputError
from segbench.files import check_file, read_json
from segbench.images.shards import WHOLE, share


class ImageEntry(TypedDict):
    """A line of an images.csv: an image, its size in pixels, and the file's SHA-256, bytes and date (ns)."""

    image_id: str
    image: str
    height: str
    width: str
    image_sha256: str
    image_bytes: str
    image_ctime_ns: str


class InstancesEntry(TypedDict, total=False):
    """What a line of an index.csv has more where the data set has ids of instances: their file, as the label's."""

    instances: str
    instances_sha256: str
    instances_bytes: str
    instances_ctime_ns: str


class IndexEntry(ImageEntry, InstancesEntry):
    """A line of an index.csv: an image with its label ("": none), and the label file's SHA-256, bytes and date."""

    label: str
    label_sha256: str
    label_bytes: str
    label_ctime_ns: str


def summary_of(index: Path) -> Path:
    """Return the record that is written together with an index: dataset.json, or images.json for images.csv."""
    return index.with_name("dataset.json") if index.name == "index.csv" else index.with_suffix(".json")


def index_rows(path: Path | str) -> Iterator[IndexEntry]:
    """Yield the entries of an index.csv. Those of an images.csv have no label.

    Raises InputError where it is not the file that was written together with the record beside it, and with the
    reason of the record where images or labels were refused.
    """
    path = Path(path)
    summary = summary_of(path)
    record = read_json(summary) if summary.exists() else {}
    if record.get("status", "ok") != "ok":
        raise InputError(record["reason"])
    check_file(path, record.get("index_sha256"))
    try:
        with open(path, newline="", encoding="utf-8") as stream:
            yield from cast(Iterable[IndexEntry], csv.DictReader(stream))
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path}: is no index ({error}); delete it and run again") from None


def read_index(path: Path | str, shard: str = WHOLE) -> list[IndexEntry]:
    """Return a shard's `index_rows`. Raises InputError when it has none, since there are more shards than images."""
    rows = list(share(index_rows(path), shard))
    if shard != WHOLE and not rows:
        raise InputError(f"shards: {path} has fewer images than shards; lower `shards`")
    return rows
