"""Read any folder: images and labels by globs below the root, classes and ids from the configuration.

An image's label is the one for which the wildcards of its glob matched the same: `images/*/*_photo.jpg` and
`labels/*/*_ids.png` pair `images/a/7_photo.jpg` with `labels/a/7_ids.png`. Where the folders differ, the file name
alone decides, if it is unique.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from segbench.datasets.base import Facts, Layout, Pair, need_folder, safe_id
from segbench.errors import InputError

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
WILDCARD = re.compile(r"[*?]|\[[^]]*\]")


class Match(NamedTuple):
    """A file that a glob matched, with the folders and the part of its name that the wildcards stood for."""

    folders: tuple[str, ...]
    name: str
    path: Path


class Folder(Layout):
    """The layout of any folder. The configuration has the globs, the classes and the ids."""

    about = "images and labels by the globs of `splits` below the root"

    def pairs(self, root: Path, split: str, entry: dict[str, Any]) -> list[Pair]:
        """Return the images of the split's glob, each with its label. They have none where the split has no glob for
        labels.
        """
        where = f"dataset_catalogue.{entry.get('name', 'NAME')}.splits.{split}"
        globs = (entry["splits"] or {}).get(split)
        if globs is None:
            raise InputError(f"{where}: not in the configuration; give its images (and labels) as globs below the root")
        images = _matches(need_folder(root), globs["images"], f"{where}.images")
        if not images:
            raise InputError(f"{where}.images: {globs['images']!r}: no such files below {root}")
        if not globs.get("labels"):
            return [Pair(safe_id(image.path.relative_to(root)), image.path, None) for image in images]
        labels = _matches(root, globs["labels"], f"{where}.labels")
        if not labels:
            raise InputError(f"{where}.labels: {globs['labels']!r}: no such files below {root}; null for no labels")
        return _paired(root, images, labels, globs["labels"])

    def left_out(self, root: Path, split: str, entry: dict[str, Any]) -> list[Path]:
        """Return the pictures beside the split's images that its glob leaves out although a label has their name."""
        globs, where = entry["splits"][split], f"dataset_catalogue.{entry.get('name', 'NAME')}.splits.{split}"
        if not globs.get("labels"):
            return []
        images = {match.path for match in _matches(root, globs["images"], f"{where}.images")}
        labels = _matches(root, globs["labels"], f"{where}.labels")
        used = {pair.label for pair in self.pairs(root, split, entry)}
        named = {name for match in labels if match.path not in used for name in (match.name, match.path.stem)}
        others = {path for folder in {path.parent for path in images} for path in folder.iterdir()}
        others -= {*images, *(match.path for match in labels)}
        return sorted(path for path in others if path.suffix.lower() in PICTURES and path.stem in named)

    def facts(self, root: Path, split: str, entry: dict[str, Any]) -> Facts:
        """Return the configured meaning of labels. Raises InputError for a trainId that is no class."""
        where = f"dataset_catalogue.{entry.get('name', 'NAME')}"
        classes, ignore = entry["classes"], entry["ignore_index"]
        if ignore < len(classes):
            raise InputError(
                f"{where}.ignore_index: {ignore} is the trainId of class {classes[ignore]!r}; leave that class out of"
                f" classes and map its id by id_map, or use a number from {len(classes)} to 255"
            )
        # JSON turned the keys into texts.
        id_map = {int(raw): train_id for raw, train_id in entry["id_map"].items()} if entry["id_map"] else None
        for raw, train_id in (id_map or {}).items():
            if train_id != ignore and not 0 <= train_id < len(classes):
                raise InputError(f"{where}.id_map.{raw}: {train_id} is no trainId (0 to {len(classes) - 1}, {ignore})")
            if not -1 <= raw <= 255:
                raise InputError(f"{where}.id_map.{raw}: label files are 8-bit; allowed are ids from -1 to 255")
        return Facts(classes, ignore, id_map)


def _matches(root: Path, pattern: str, where: str) -> list[Match]:
    """Return the files that match, sorted. `**` follows no symbolic link to a folder, so that loops end."""
    parts = PurePosixPath(pattern).parts
    fixed = next((i for i, part in enumerate(parts) if WILDCARD.search(part)), len(parts) - 1)
    start = root.joinpath(*parts[:fixed])
    try:
        if ".." in parts:
            raise ValueError("it has '..'")
        paths = sorted(path for path in root.glob(pattern) if path.is_file())
    except (ValueError, NotImplementedError) as error:
        raise InputError(f"{where}: {pattern!r} is no glob below the root ({error})") from None
    return [
        Match(_plain(path.relative_to(start).parts[:-1]), _matched_name(path.name, parts[-1]), path) for path in paths
    ]


def _matched_name(name: str, pattern: str) -> str:
    """Return what the wildcards of `pattern` stood for in `name`, with the text between them, without the suffix."""
    ends = WILDCARD.split(pattern)
    if len(ends) > 1:
        name = name[len(ends[0]) : len(name) - len(ends[-1])]
    return _plain((name if "." in ends[-1] and len(ends) > 1 else PurePosixPath(name).stem,))[0]


def _plain(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Use one spelling of accented letters, since macOS writes them in two characters."""
    return tuple(unicodedata.normalize("NFC", part) for part in parts)


def _paired(root: Path, images: list[Match], labels: list[Match], pattern: str) -> list[Pair]:
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
            fault = f"{image.path}: has no label (none of {pattern} is named {image.name!r})"
        elif len(fitting) > 1:
            fault = f"{image.path}: {len(fitting)} labels fit: {', '.join(map(str, fitting[:3]))}"
        found.append(Pair(safe_id(image.path.relative_to(root)), image.path, None if fault else fitting[0], fault))
    return found


LAYOUT = Folder()
