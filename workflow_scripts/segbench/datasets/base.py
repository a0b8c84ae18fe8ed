"""What a data set layout is: a file of this folder with `pairs` and `facts`."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from segbench.errors import InputError


@dataclass(frozen=True)
class Pair:
    """An image and its label (None: it has none). `image_id` is unique in its split and safe as a file name.

    `fault` is what the layout found wrong with the pair, in one line; the index tells it with all others.
    """

    image_id: str
    image: Path
    label: Path | None
    fault: str = ""


@dataclass(frozen=True)
class Facts:
    """What the labels mean: class names in trainId order, the ignored trainId, trainId by raw id (None: the same).

    Raw ids are those of 8-bit files; −1 is the id that is stored as 255.
    """

    classes: list[str]
    ignore_index: int = 255
    id_map: dict[int, int] | None = field(default=None)


class Layout(Protocol):
    """How the files of a data set lie. The module's docstring says it in its first line: messages quote it.

    `entry` is the data set's entry in the configuration.
    """

    __doc__: str | None

    def pairs(self, root: Path, split: str, entry: dict[str, Any]) -> list[Pair]:
        """The split's images in sorted order. Raises InputError for what is missing as a whole."""

    def facts(self, root: Path, split: str, entry: dict[str, Any]) -> Facts:
        """What the split's labels mean. Raises InputError when the configuration contradicts itself."""


def load(kind: str) -> Layout:
    """The layout of file `segbench/datasets/{kind}.py`."""
    return cast(Layout, importlib.import_module(f"segbench.datasets.{kind}"))


def need_folder(folder: Path) -> Path:
    """`folder`. Raises InputError when it is not there."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    return folder


def pair_with_label(image_id: str, image: Path, label: Path) -> Pair:
    """A pair whose label has to be there: a missing one is its fault."""
    if label.is_file():
        return Pair(image_id, image, label)
    return Pair(image_id, image, None, f"{image}: has no label ({label} is missing)")


def safe_id(path: Path) -> str:
    """A relative path without its suffix as an id of ASCII letters, digits, `.`, `_` and `-`, starting with neither
    `.` nor `-`. Any other character becomes its code point (`_x20_` for a blank)."""
    text = "__".join(path.with_suffix("").parts)
    return "".join(
        c if c.isascii() and (c.isalnum() or c == "_" or (c in ".-" and at)) else f"_x{ord(c):x}_"
        for at, c in enumerate(text)
    )
