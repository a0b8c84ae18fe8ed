"""Choose images by a hash of their names, so that a picture that is added seldom changes the choice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")


def by_name(items: Iterable[Item], image_id: Callable[[Item], str], count: int, seed: int) -> list[Item]:
    """Return `count` items in the order of the hashes of seed and image id."""

    def place(item: Item) -> bytes:
        return hashlib.blake2b(f"{seed} {image_id(item)}".encode(), digest_size=8).digest()

    return sorted(items, key=place)[:count]
