"""Shards: the images of a data set dealt out to several jobs.

Only what grows with the data set is split: round 1, which runs every image, and its scores. Later rounds time a fixed
number of images and stay whole. A shard of S > 1 is named `2of7`, from `0of7` on, so that another S has other files;
the whole is named `0`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
WHOLE = "0"


def names(count: int) -> list[str]:
    """The names of all shards of a data set that is split into `count`."""
    return [WHOLE] if count == 1 else [f"{number}of{count}" for number in range(count)]


def of_round(count: int, number: int) -> list[str]:
    """The shards that round `number` (from 1) consists of."""
    return names(count) if number == 1 else [WHOLE]


def share(items: Iterable[Item], shard: str) -> Iterator[Item]:
    """Every S-th of `items`, from the shard's own number on: equal shares, each spread over the whole."""
    if shard == WHOLE:
        return iter(items)
    number, count = map(int, shard.split("of"))
    return islice(items, number, None, count)


def folders(results: Path, row: str, number: int, count: int) -> list[Path]:
    """The folders of round `number` of a row (`dataset/model/variant`)."""
    return [results / "runs" / row / str(number) / shard for shard in of_round(count, number)]
