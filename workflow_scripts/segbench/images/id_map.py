"""What the keys of an id_map stand for: ids, or colours written `R,G,B`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

IdMap = Mapping[Any, int]  # trainId of each id or colour; from JSON, ids are texts too


def has_colours(id_map: IdMap | None) -> bool:
    """Return whether an id_map names colours, and not ids."""
    return any(is_colour(key) for key in id_map or ())


def is_colour(key: Any) -> bool:
    """Return whether a key is a colour."""
    return "," in str(key)


def value_of(key: Any, count: int) -> int | None:
    """Return the value that a key stands for in a file that can hold `count` values; None: it cannot hold this one.

    A colour is red·2¹⁶ + green·2⁸ + blue. The id −1 is the highest value.
    """
    if is_colour(key):
        red, green, blue = map(int, str(key).split(","))
        return red << 16 | green << 8 | blue
    return int(key) % count if int(key) < count else None


def written(value: int, coloured: bool) -> str:
    """Write a value as a key of an id_map."""
    return ",".join(str(value >> shift & 255) for shift in (16, 8, 0)) if coloured else str(value)
