"""Find out what a folder of images and labels says of its entry in the configuration."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from segbench.datasets import base, lists
from segbench.datasets.base import Pair
from segbench.datasets.globs import PICTURES
from segbench.errors import InputError
from segbench.images.id_map import has_colours, value_of, written
from segbench.images.labels import COLOUR_COUNT, NO_ID, read_values
from segbench.images.read import read_image

from tools.inspect_model import Finding

LOOKED_AT = 30  # labels of a split that are read, spread over it
MAX_CLASSES, MAX_COLOURS = 255, 64  # more values are no label's
MAX_FILES = 500_000
# The last word of a file's name where it tells what the file is: 7_mask.png, ulm_1_leftImg8bit.png.
TAIL = re.compile(
    r"[_\-. ](mask|masks|label|labels|labelIds|labelTrainIds|gt|seg|segmentation|ann|annotation|L|id|ids|color|colour"
    r"|leftImg8bit|photo|image|img|rgb)$",
    re.IGNORECASE,
)
SPLITS = {"val": ("val", "valid", "validation", "eval"), "test": ("test", "testing"), "train": ("train", "training")}
NAMES = ("classes.txt", "class_names.txt", "labels.txt", "label.txt", "names.txt")
COLOURED_NAMES = ("class_dict.csv", "label_colors.txt", "labelmap.txt", "colormap.txt", "class_colors.txt")
COLOUR_LINE = re.compile(r"(\d{1,3})\D+(\d{1,3})\D+(\d{1,3})")


class Group(NamedTuple):
    """Files of one folder whose names end alike. `folder` is relative to the root."""

    folder: Path
    tail: str
    stems: dict[str, Path]  # a file by its name without tail and suffix


class Labels(NamedTuple):
    """What the labels that were read have: how many pixels of each value, and whether these are colours."""

    counts: Counter[int]
    coloured: bool
    bits: int


def inspect_data(root: Path, class_count: int | None = None, names: list[str] | None = None) -> Finding:
    """Return what the folder says. `class_count` and `names` are the network's, where there is one.

    Raises InputError naming the folder where no picture is in it.
    """
    root = root.resolve()
    found = Finding(
        re.sub(r"[^A-Za-z0-9._-]", "_", root.name).lstrip("._-") or "mine", {"kind": "folder", "root": str(root)}
    )
    if preset := _preset(root, class_count):
        found.entry["kind"] = preset
        found.unknown["kind"] = f"laid out as {base.load(preset).about}; its classes are taken, and no others"
        return _with_split_of_preset(found, root)
    splits = _lists(root) or _globs(root)
    scored = next(split for split in ("val", "test", "train") if split in splits)
    if scored == "train":
        splits = {"val": splits["train"]}
        found.unknown["splits"] = "there is one set only: INT8 needs a split `train` of other images to calibrate with"
    elif scored != "val":
        found.entry["split"] = scored
    if "train" not in splits:
        found.unknown.setdefault("splits", "INT8 needs a split `train` of other images to calibrate with")
    found.entry["splits"] = splits
    pairs = pairs_of(found)
    labelled = [pair.label for pair in pairs if pair.label is not None]
    if faulty := [pair for pair in pairs if pair.fault]:
        found.unknown["splits"] = f"{len(faulty)} of {len(pairs)} images have no label, e.g. {faulty[0].image.name}"
    if labelled:
        _classes(found, look_at(_spread(labelled)), class_count, names or _names(root))
    else:
        found.entry["classes"] = names or [f"class_{i}" for i in range(class_count or 2)]
        found.unknown["classes"] = "there are no labels, so mIoU is not measured"
    return found


def pairs_of(found: Finding) -> list[Pair]:
    """Return the pairs of the split that is scored."""
    split, root = found.entry.get("split", "val"), Path(found.entry["root"])
    entry = {"split": split, "splits": None, **found.entry, "name": found.name}
    return base.load(found.entry["kind"]).pairs(root, split, entry)


def sizes_of(pairs: list[Pair]) -> Counter[tuple[int, int]]:
    """Return the heights and widths of some of the images."""
    return Counter(
        (image.shape[0], image.shape[1]) for image in map(read_image, (pair.image for pair in _spread(pairs)))
    )


def _spread(items: list[Any]) -> list[Any]:
    return items[:: max(1, len(items) // LOOKED_AT)][:LOOKED_AT]


def _preset(root: Path, class_count: int | None) -> str | None:
    """Return the layout that has a file of its own and pairs of this folder, whose classes the network has too."""
    marks = {
        "cityscapes": ("leftImg8bit", "gtFine"),
        "ade20k": ("images/validation", "annotations/validation"),
        "voc": ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"),
    }
    for kind, folders in marks.items():
        if all((root / folder).is_dir() for folder in folders) and _fits(root, kind, class_count):
            return kind
    camvid = any((root / f"{split}{end}").is_dir() for split in ("val", "test") for end in ("annot", "_labels"))
    return "camvid" if camvid and _fits(root, "camvid", class_count) else None


def _fits(root: Path, kind: str, class_count: int | None) -> bool:
    """Return whether files and labels of a layout are its own: people lay their own sets out like known ones."""
    layout = base.load(kind)
    for split in ("val", "test", "train"):
        try:
            pairs, facts = layout.pairs(root, split, {}), layout.facts(root, split, {})
        except InputError:
            continue
        labels = [pair.label for pair in pairs if pair.label is not None]
        count = len(facts.classes)
        if not all(pair.image.is_file() for pair in _spread(pairs)) or class_count not in (None, count, count + 1):
            return False
        seen = look_at(_spread(labels))
        values = COLOUR_COUNT if seen.coloured else 1 << seen.bits
        allowed = {value_of(key, values) for key in facts.id_map or [*range(count), NO_ID]}
        return bool(labels) and has_colours(facts.id_map) == seen.coloured and set(seen.counts) <= allowed
    return False


def _with_split_of_preset(found: Finding, root: Path) -> Finding:
    for split in ("val", "test"):
        try:
            if base.load(found.entry["kind"]).pairs(root, split, {}):
                if split != "val":
                    found.entry["split"] = split
                return found
        except InputError:
            continue
    raise InputError(f"{root}: is laid out as {found.entry['kind']}, but has neither val nor test")


def _lists(root: Path) -> dict[str, dict[str, Any]]:
    """Return the splits whose list files name images and labels, or images of a folder."""
    files = [path for suffix in lists.SUFFIXES for path in sorted(root.glob(f"**/*{suffix}"))]
    globs = _globs(root).get("val") if files else None
    splits: dict[str, dict[str, Any]] = {}
    for path in files:
        split = _split_of(path.stem)
        if split is None or split in splits or path.name in (*NAMES, *COLOURED_NAMES):
            continue
        try:
            pairs = lists.pairs_of_lines(root, path, "list")
        except InputError:
            continue
        name = path.relative_to(root).as_posix()
        if pairs and all(pair.image.is_file() for pair in _spread(pairs)):
            splits[split] = {"list": name}
        elif globs and _named(root, path, globs):
            splits[split] = {"list": name, **globs}
    return splits


def _named(root: Path, path: Path, globs: dict[str, Any]) -> bool:
    """Return whether a list's lines name images of the globs."""
    try:
        return bool(
            base.load("folder").pairs(root, "val", {"splits": {"val": {**globs, "list": str(path.relative_to(root))}}})
        )
    except InputError:
        return False


def _globs(root: Path) -> dict[str, dict[str, Any]]:
    """Return the globs of each split that the folder's groups of pictures make."""
    groups = _groups(root)
    if not groups:
        raise InputError(f"{root}: has no picture ({', '.join(PICTURES)})")
    labels = [group for group in groups if _is_labels(group)]
    images = [group for group in groups if group not in labels]
    if not images:  # pictures of few colours: what is not named like a label is an image
        images = [group for group in groups if not group.tail] or groups
        labels = [group for group in groups if group not in images]
    splits: dict[str, list[tuple[Group, Group | None]]] = defaultdict(list)
    for image in images:
        shared = [(len(image.stems.keys() & label.stems.keys()), _likeness(image, label), label) for label in labels]
        count, _, label = max(shared, key=lambda one: one[:2], default=(0, (0, 0), image))
        splits[_split_of(image.folder.as_posix()) or ""].append((image, label if count else None))
    if any(label for pairs in splits.values() for _, label in pairs):  # other pictures are no part of the set
        splits = {split: kept for split, pairs in splits.items() if (kept := [pair for pair in pairs if pair[1]])}  # type: ignore[assignment]
    named = {split: pairs for split, pairs in splits.items() if split} or {"val": splits[""]}
    return {
        split: {"images": _glob([i for i, _ in pairs]), "labels": _glob([x for _, x in pairs if x])}
        for split, pairs in named.items()
    }


def _likeness(image: Group, label: Group) -> tuple[int, int]:
    """Return how well two folders fit, to choose among labels that have the same names: first by their split."""
    own, other = (_split_of(group.folder.as_posix()) for group in (image, label))
    words = [set(re.split(r"[^a-z0-9]+", group.folder.as_posix().lower())) for group in (image, label)]
    return 2 * (own == other) + (other is None), len(words[0] & words[1])


def _groups(root: Path) -> list[Group]:
    """Return all pictures below the root, by folder and by the end of their names."""
    found: dict[tuple[Path, str], dict[str, Path]] = defaultdict(dict)
    for count, path in enumerate(_pictures(root)):
        if count >= MAX_FILES:
            break
        tail = match[0] if (match := TAIL.search(path.stem)) else ""
        found[path.parent.relative_to(root), f"{tail}\t{path.suffix.lower()}"][path.stem.removesuffix(tail)] = path
    groups = [Group(folder, key, stems) for (folder, key), stems in sorted(found.items())]
    return groups


def _pictures(root: Path) -> Any:
    for folder, inside, files in os.walk(root):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(PICTURES) and not name.startswith("."):
                yield Path(folder, name)


def _is_labels(group: Group) -> bool:
    """Return whether a group's pictures have few values, in large areas, as labels have."""
    try:
        seen = look_at(_spread(sorted(group.stems.values()))[:5])
    except InputError:
        return False
    return len(seen.counts) <= (MAX_COLOURS if seen.coloured else MAX_CLASSES)


def _glob(groups: list[Group]) -> str | None:
    """Return one glob for the files of all groups."""
    if not groups:
        return None
    common = Path(os.path.commonpath([f"/{group.folder.as_posix()}" for group in groups])).relative_to("/")
    below = {len(group.folder.relative_to(common).parts) for group in groups}
    inside = "" if below == {0} else "*/" if below == {1} else "**/"
    ends = sorted({"".join(group.tail.split("\t")) for group in groups})
    end = ends[0] if len(ends) == 1 else f"{{{','.join(ends)}}}"
    if len(ends) > 1 and all(one.startswith(".") for one in ends):
        end = f".{{{','.join(one[1:] for one in ends)}}}"
    return f"{'' if common == Path('.') else f'{common.as_posix()}/'}{inside}*{end}"


def _split_of(text: str) -> str | None:
    words = re.split(r"[^a-z]+", text.lower())
    return next((split for split, own in SPLITS.items() if any(word in own for word in words)), None)


def look_at(paths: list[Path]) -> Labels:
    """Read labels. Raises InputError where one is no label."""
    counts: Counter[int] = Counter()
    coloured, bits = False, 8
    for path in paths:
        try:
            values = read_values(path, coloured)
        except InputError as error:
            if coloured or "has colours" not in str(error):
                raise
            coloured, counts = True, Counter()
            values = read_values(path, True)
        bits = max(bits, 8 * values.itemsize if not coloured else 8)
        numbers, pixels = np.unique(values, return_counts=True)
        counts.update(dict(zip(numbers.tolist(), pixels.tolist(), strict=True)))
        if len(counts) > MAX_CLASSES:
            break
    return Labels(counts, coloured, bits)


def _names(root: Path) -> list[str]:
    """Return the names of classes that a file of the folder lists, one a line."""
    for name in NAMES:
        if (path := root / name).is_file():
            lines = [line.strip() for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines()]
            return [line for line in lines if line]
    return []


def _coloured_names(root: Path) -> dict[str, str]:
    """Return the name of each colour, `R,G,B`, that a file of the folder lists."""
    for name in COLOURED_NAMES:
        if not (path := root / name).is_file():
            continue
        found = {}
        for fields in csv.reader(path.read_text(encoding="utf-8-sig", errors="replace").splitlines()):
            line = ",".join(fields)
            if match := COLOUR_LINE.search(line):
                rest = (line[: match.start()] + line[match.end() :]).strip(" ,:;\t")
                found[",".join(str(int(one)) for one in match.groups())] = re.split(r"[,:;\t]", rest)[0] or line
        return found
    return {}


def _classes(found: Finding, seen: Labels, class_count: int | None, names: list[str]) -> None:
    """Set classes and what values mean."""
    entry, values = found.entry, sorted(seen.counts)
    if seen.coloured:
        by_colour = _coloured_names(Path(entry["root"]))
        colours = list(by_colour) or [written(value, True) for value in values]
        entry["classes"] = [by_colour.get(colour, f"class_{i}") for i, colour in enumerate(colours)]
        entry["id_map"] = {colour: i for i, colour in enumerate(colours)}
        if missing := [one for one in (written(value, True) for value in values) if one not in entry["id_map"]]:
            entry["id_map"] |= dict.fromkeys(missing, NO_ID)
            found.unknown["id_map"] = f"no file names {', '.join(missing[:5])}: 255 ignores them"
        if not by_colour:
            found.unknown["classes"] = (
                "give each colour's name, in the order of the network's outputs; 255 in id_map ignores"
            )
        return
    ids = [value for value in values if value not in (NO_ID, (1 << 16) - 1)]
    if ids == [0] and NO_ID in values:
        entry["classes"], entry["id_map"] = ["background", "foreground"], {0: 0, NO_ID: 1}
        found.unknown["classes"] = "the labels are masks of 0 and 255: 255 is taken as the second class, not as ignored"
        return
    top = max(ids, default=0)
    if class_count is not None and top == class_count and 0 in ids:
        entry["zero_is_ignored"] = True
        found.unknown["zero_is_ignored"] = f"labels have ids 0 to {top}, the network {class_count} classes: 0 is none?"
        count = class_count
    elif len(names) > top:
        count = len(names)
    elif top < max(len(ids) + 10, class_count or 0):
        count = max(top + 1, class_count or 0, 2)
    else:
        entry["id_map"] = {**{raw: i for i, raw in enumerate(ids)}, NO_ID: NO_ID}
        found.unknown["id_map"] = f"the ids have gaps (0 to {top}); put them in the order of the network's outputs"
        count = max(len(ids), 2)
    entry["classes"] = names if len(names) == count else [f"class_{i}" for i in range(count)]
    if len(names) != count:
        found.unknown["classes"] = (
            f"ids seen: {', '.join(map(str, ids[:12]))}{', …' * (len(ids) > 12)}; give their names"
        )
