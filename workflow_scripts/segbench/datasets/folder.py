"""Read any folder: images and labels by globs or by a list file below the root, classes and ids from the configuration.

An image's label is the one for which the wildcards of its glob matched the same: `images/*/*_photo.jpg` and
`labels/*/*_ids.png` pair `images/a/7_photo.jpg` with `labels/a/7_ids.png`. Where the folders differ, the file name
alone decides, if it is unique. A list file has an image and its label a line, or names that choose among the images.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from segbench.datasets import lists
from segbench.datasets.base import Facts, Layout, Pair, need_folder, safe_id
from segbench.datasets.globs import Match, matches, pictures_beside
from segbench.errors import InputError
from segbench.images.id_map import has_colours, is_colour

MAX_ID = (1 << 16) - 1  # that a label file can have


class Folder(Layout):
    """The layout of any folder. The configuration has the globs, the classes and the ids."""

    about = "images and labels by the globs of `splits` below the root"

    def pairs(self, root: Path, split: str, entry: dict[str, Any]) -> list[Pair]:
        """Return the images of the split's list or glob, each with its label. They have none where the split has no
        list of pairs, and no glob for labels.
        """
        where, chosen = _where(entry, split), _split(entry, split)
        if chosen["list"] and not chosen["images"]:
            return lists.pairs_of_lines(need_folder(root), root / chosen["list"], f"{where}.list")
        images = _images(need_folder(root), chosen, where)
        if not chosen["labels"]:
            return [Pair(safe_id(image.path.relative_to(root)), image.path, None) for image in images]
        labels = matches(root, chosen["labels"], f"{where}.labels")
        if not labels:
            raise InputError(f"{where}.labels: {chosen['labels']!r}: no such files below {root}; null for no labels")
        return _paired(root, images, labels, chosen)

    def left_out(self, root: Path, split: str, entry: dict[str, Any]) -> list[Path]:
        """Return the pictures beside the split's images that its glob leaves out although a label has their name. What
        a list leaves out, it means to.
        """
        where, chosen = _where(entry, split), _split(entry, split)
        if chosen["list"] or not chosen["labels"]:
            return []
        images = {match.path for match in matches(root, chosen["images"], f"{where}.images")}
        labels = matches(root, chosen["labels"], f"{where}.labels")
        used = {pair.label for pair in self.pairs(root, split, entry)}
        named = {name for match in labels if match.path not in used for name in (match.name, match.path.stem)}
        others = set(pictures_beside(images)) - {match.path for match in labels}
        return sorted(path for path in others if path.stem in named)

    def facts(self, root: Path, split: str, entry: dict[str, Any]) -> Facts:
        """Return the configured meaning of labels. Raises InputError for a trainId that is no class."""
        where = f"dataset_catalogue.{entry.get('name', 'NAME')}"
        classes, ignore = entry["classes"], entry["ignore_index"]
        if ignore < len(classes):
            raise InputError(
                f"{where}.ignore_index: {ignore} is the trainId of class {classes[ignore]!r}; leave that class out of"
                f" classes and map its id by id_map, or use a number from {len(classes)} to 255"
            )
        if entry.get("zero_is_ignored"):
            return Facts(classes, ignore, {0: ignore, **{i + 1: i for i in range(len(classes))}, 255: ignore})
        # JSON turned the keys into texts.
        id_map = {_key(raw): train_id for raw, train_id in entry["id_map"].items()} if entry["id_map"] else None
        for raw, train_id in (id_map or {}).items():
            if train_id != ignore and not 0 <= train_id < len(classes):
                raise InputError(f"{where}.id_map.{raw}: {train_id} is no trainId (0 to {len(classes) - 1}, {ignore})")
            if has_colours(id_map) != is_colour(raw):
                raise InputError(f"{where}.id_map.{raw}: is an id among colours; labels have either ids or colours")
            if isinstance(raw, int) and not -1 <= raw <= MAX_ID:
                raise InputError(f"{where}.id_map.{raw}: allowed are ids from -1 to {MAX_ID}, and colours 'R,G,B'")
        return Facts(classes, ignore, id_map)


def _key(raw: Any) -> int | str:
    return str(raw) if is_colour(raw) else int(raw)


def _where(entry: dict[str, Any], split: str) -> str:
    return f"dataset_catalogue.{entry.get('name', 'NAME')}.splits.{split}"


def _split(entry: dict[str, Any], split: str) -> dict[str, Any]:
    """Return the split's globs and list. Raises InputError where the entry has none, or a list in a glob's place."""
    chosen, where = (entry["splits"] or {}).get(split), _where(entry, split)
    if chosen is None:
        raise InputError(f"{where}: not in the configuration; give its images (and labels) as globs below the root")
    for key in ("images", "labels"):
        if str(chosen.get(key)).endswith(lists.SUFFIXES):
            raise InputError(f"{where}.{key}: {chosen[key]!r} is a list file; give it as {where}.list")
    return {"list": None, "images": None, "labels": None, **chosen}


def _images(root: Path, chosen: dict[str, Any], where: str) -> list[Match]:
    """Return the images of the glob, and of them those that the list names where there is one."""
    images = matches(root, chosen["images"], f"{where}.images")
    if not images:
        raise InputError(f"{where}.images: {chosen['images']!r}: no such files below {root}")
    return lists.chosen_by_name(root / chosen["list"], images, f"{where}.list") if chosen["list"] else images


def _paired(root: Path, images: list[Match], labels: list[Match], chosen: dict[str, Any]) -> list[Pair]:
    by_place, by_name = defaultdict(list), defaultdict(list)
    for label in labels:
        by_place[label.folders, label.name].append(label.path)
        by_name[label.name].append(label.path)
    images_of_name = Counter(image.name for image in images)
    found = []
    for image in images:
        fitting = by_place.get((image.folders, image.name), [])
        if not fitting and images_of_name[image.name] == 1:
            fitting = by_name.get(image.name, [])
        fault = ""
        if not fitting:
            fault = f"{image.path}: has no label (none of {chosen['labels']} is named {image.name!r})"
            fault += "" if chosen["list"] else "; to leave it out, give a `list` of the split's images"
        elif len(fitting) > 1:
            fault = f"{image.path}: {len(fitting)} labels fit: {', '.join(map(str, fitting[:3]))}"
        found.append(Pair(safe_id(image.path.relative_to(root)), image.path, None if fault else fitting[0], fault))
    return found


LAYOUT = Folder()
