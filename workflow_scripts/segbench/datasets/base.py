"""The protocol of a data set layout, which is one file of this folder with a `LAYOUT` object."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segbench import plugins
from segbench.errors import InputError


@dataclass(frozen=True)
class Pair:
    """An image and its label (None: it has none). `image_id` is unique in its split and safe as a file name.

    `fault` is what the layout found wrong with the pair, in one line. The index reports it with all others.
    `instances` is the file with the ids of instances (None: there is none).
    """

    image_id: str
    image: Path
    label: Path | None
    fault: str = ""
    instances: Path | None = None


@dataclass(frozen=True)
class Facts:
    """The meaning of labels: class names in trainId order, the ignored trainId, trainId by the id or the colour
    (`R,G,B`) in the label files (None: they are trainIds). The id −1 is stored as the highest one.

    `instances` gives the trainId and the average size in pixels of an instance, by the id of its class in the files of
    instances (None: there are no such files).
    """

    classes: list[str]
    ignore_index: int = 255
    id_map: dict[int | str, int] | None = field(default=None)
    instances: dict[int, tuple[int, float]] | None = None


class Layout(ABC):
    """The arrangement of a data set's files. `entry` is the data set's entry in the configuration."""

    about: str  # the layout in one line, for an error message

    @abstractmethod
    def pairs(self, root: Path, split: str, entry: dict[str, Any]) -> list[Pair]:
        """Return the split's images in sorted order. Raises InputError where a whole folder is missing."""

    def left_out(self, root: Path, split: str, entry: dict[str, Any]) -> list[Path]:
        """Return pictures that are not listed although labels name them; none by default. They are told."""
        return []

    @abstractmethod
    def facts(self, root: Path, split: str, entry: dict[str, Any]) -> Facts:
        """Return the meaning of the split's labels. Raises InputError when the configuration contradicts itself."""


def load(kind: str) -> Layout:
    """Return the layout of file `segbench/datasets/{kind}.py`."""
    layout: Layout = plugins.load("segbench.datasets", "LAYOUT", kind)
    return layout


def names() -> list[str]:
    """Return all layouts: the files of this folder that define one."""
    return plugins.names("segbench.datasets", "LAYOUT")


def exists(name: str) -> bool:
    """Return whether there is a layout of that name."""
    return plugins.exists("segbench.datasets", "LAYOUT", name)


def need_folder(folder: Path) -> Path:
    """Return `folder`. Raises InputError when it does not exist."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    return folder


def pair_with_label(image_id: str, image: Path, label: Path) -> Pair:
    """Return a pair whose label must exist. A missing label is its fault."""
    if label.is_file():
        return Pair(image_id, image, label)
    return Pair(image_id, image, None, f"{image}: has no label ({label} is missing)")


def safe_id(path: Path) -> str:
    """Turn a relative path without its suffix into an id of ASCII letters, digits, `.`, `_` and `-`, starting with
    neither `.` nor `-`. Any other character becomes its code point (`_x20_` for a blank).
    """
    text = "__".join(path.with_suffix("").parts)
    return "".join(
        c if c.isascii() and (c.isalnum() or c == "_" or (c in ".-" and at)) else f"_x{ord(c):x}_"
        for at, c in enumerate(text)
    )
