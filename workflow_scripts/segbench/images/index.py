"""Read the index of a split: its image/label pairs, one row each."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypedDict, cast

from segbench.errors import InputError
from segbench.files import check_file, read_json
from segbench.images.shards import WHOLE, share


class IndexEntry(TypedDict):
    """A line of an index.csv: an image, its label ("": none), the size in pixels, and the files' SHA-256."""

    image_id: str
    image: str
    label: str
    height: str
    width: str
    image_sha256: str
    label_sha256: str


def index_rows(path: Path | str) -> Iterator[IndexEntry]:
    """Yield the entries of an index.csv.

    Raises InputError where it is not the file that was written together with dataset.json beside it.
    """
    path = Path(path)
    summary = path.with_name("dataset.json")
    check_file(path, read_json(summary).get("index_sha256") if summary.exists() else None)
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
