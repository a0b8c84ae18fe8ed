"""Deal out the images of a data set to several jobs, as shards.

Only what grows with the data set is split: the accuracy pass, which runs every image, and its scores. Rounds time a
fixed number of images and stay whole. The shards of S = 7 are named `0of7` to `6of7`, so that another S has other
files. The whole is named `0`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
WHOLE = "0"


def names(count: int) -> list[str]:
    """Return the names of all shards of a data set that is split into `count`."""
    return [WHOLE] if count == 1 else [f"{number}of{count}" for number in range(count)]


def share(items: Iterable[Item], shard: str) -> Iterator[Item]:
    """Yield every S-th of `items`, from the shard's number on. Shares are equal, and each is spread over the whole."""
    if shard == WHOLE:
        return iter(items)
    number, count = map(int, shard.split("of"))
    return islice(items, number, None, count)


def pass_folders(results: Path, row: str, count: int) -> list[Path]:
    """Return the folders of the accuracy pass of a row (`dataset/model/variant`)."""
    return [results / "predictions" / row / shard for shard in names(count)]
