"""List the images and labels of a split. Planning and the jobs that check the files share this."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segbench.datasets.base import Facts, Layout, Pair, load
from segbench.errors import InputError
from segbench.images.choice import by_name

MAX_LISTED = 20  # more faults than these are only counted
# Splits that are chosen from another one: to calibrate with, and to time.
CHOSEN_FROM = {"calibration": "train", "timed": "val"}


def split_of(split: str, entry: dict[str, Any]) -> str:
    """Return the data set's own name of a split of results/data/: what is scored, `val`, is the entry's `split`."""
    own = CHOSEN_FROM.get(split, split)
    return str(entry.get("split", own)) if own == "val" else own


def told(split: str, entry: dict[str, Any]) -> str:
    """Return the name of a split in messages: the data set's own name of what is scored."""
    return split_of(split, entry) if split == "val" else split


def listed(
    name: str, split: str, entry: dict[str, Any], limit: int | None = None, sample: dict[str, int] | None = None
) -> list[Pair]:
    """Return the pairs of a split: the first `limit` ones, and of them `sample`'s `count`, chosen by its `seed`.

    Raises InputError where there is no such folder, or no image in it.
    """
    layout, root, split = *_opened(name, entry), split_of(split, entry)
    pairs = layout.pairs(root, split, {**entry, "name": name})[:limit]
    if not pairs:
        raise InputError(f"{root}: split {split!r} of data set {name!r} has no images; expected: {layout.about}")
    return by_name(pairs, lambda pair: pair.image_id, sample["count"], sample["seed"]) if sample else pairs


def facts_of(name: str, split: str, entry: dict[str, Any]) -> Facts:
    """Return the meaning of a split's labels."""
    layout, root = _opened(name, entry)
    return layout.facts(root, split_of(split, entry), {**entry, "name": name})


def left_out(name: str, split: str, entry: dict[str, Any]) -> list[Path]:
    """Return pictures of a split that are not listed although labels name them."""
    layout, root = _opened(name, entry)
    return layout.left_out(root, split_of(split, entry), {**entry, "name": name})


def _opened(name: str, entry: dict[str, Any]) -> tuple[Layout, Path]:
    root = Path(entry["root"])
    if not root.is_dir():
        raise InputError(
            f"dataset_catalogue.{name}.root: {entry['root']!r}: no such folder; name it: --config dataset_root=PATH"
        )
    return load(entry["kind"]), root


def refuse(faults: list[str], name: str, split: str) -> None:
    """Raise InputError with the faults, one per line, where there are any."""
    if faults:
        more = [f"… and {len(faults) - MAX_LISTED} more"] if len(faults) > MAX_LISTED else []
        heading = f"{len(faults)} fault(s) in split {split!r} of data set {name!r}:"
        raise InputError("\n".join([heading, *(fault.replace("\n", "\\n") for fault in faults[:MAX_LISTED]), *more]))
