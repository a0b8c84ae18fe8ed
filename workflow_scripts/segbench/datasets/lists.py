"""Read list files: a line has an image and its label (PaddleSeg), or one name (VOC's ImageSets)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from segbench.datasets.base import Pair, safe_id
from segbench.datasets.globs import Match, plain_text
from segbench.errors import InputError

SEPARATOR = re.compile(r"\s*[\t,;|]\s*|\s+")
SUFFIXES = (".txt", ".lst", ".csv", ".tsv", ".list")


def lines_of(path: Path, where: str) -> list[str]:
    """Return the lines that have text. Raises InputError naming `where`, the key that has the list."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise InputError(f"{where}: {path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{where}: {path}: is no text in UTF-8; a list has an image and its label a line") from None
    found = [line.strip() for line in lines if line.strip()]
    if not found:
        raise InputError(f"{where}: {path}: has no line")
    return found


def pairs_of_lines(root: Path, path: Path, where: str) -> list[Pair]:
    """Return a pair for each line of a list of paths, which start from the root or from the list's folder.

    Image and label stand apart by a tab, comma, semicolon, bar or blank. A line with one path is an image without a
    label. A first line that names no file is a heading, if the second does.
    """
    lines, here = lines_of(path, where), (root, path.parent)
    if len(lines) > 1 and not _fields(lines[0], here)[0].is_file() and _fields(lines[1], here)[0].is_file():
        lines = lines[1:]
    return [_pair(root, *_fields(line, here)) for line in lines]


def _pair(root: Path, image: Path, label: Path | None) -> Pair:
    image_id = safe_id(image.relative_to(root) if image.is_relative_to(root) else Path(*image.parts[1:]))
    if label is not None and not label.is_file():
        return Pair(image_id, image, None, f"{image}: has no label ({label} is missing)")
    return Pair(image_id, image, label)


def _fields(line: str, here: tuple[Path, ...]) -> tuple[Path, Path | None]:
    """Return the image and the label of a line. Names may have blanks, so the separator is where both files exist."""
    whole = _found(line, here)
    cuts = [(line[: gap.start()], line[gap.end() :]) for gap in SEPARATOR.finditer(line)]
    if whole.is_file() or not cuts:
        return whole, None
    for first, rest in cuts:
        if (image := _found(first, here)).is_file():
            ends = [rest, *(rest[: gap.start()] for gap in SEPARATOR.finditer(rest))]  # what follows is no label
            labels = (_found(end, here) for end in ends)
            return image, next((label for label in labels if label.is_file()), _found(ends[0], here))
    return _found(cuts[0][0], here), _found(cuts[0][1], here)


def _found(name: str, here: tuple[Path, ...]) -> Path:
    """Return the first file that `name` may stand for, else that below the root. DeepLab's lists begin with a slash,
    Windows' have backslashes.
    """
    plain = name.strip("\"'").replace("\\", "/")
    candidates = (*(folder / plain for folder in here), here[0] / plain.lstrip("/"), here[0] / name)
    return next((path for path in candidates if path.is_file()), candidates[0])


def chosen_by_name(path: Path, images: list[Match], where: str) -> list[Match]:
    """Return the images that a list of names chooses, in its order. A name may lack the suffix, and may have folders.

    Raises InputError for a name that no image or several images have.
    """
    by_name: dict[str, list[Match]] = defaultdict(list)
    for image in images:
        for name in _names(image):
            by_name[name].append(image)
    found = []
    for line in lines_of(path, where):
        fitting = next((by_name[name] for name in _readings(line) if name in by_name), [])
        if len(fitting) != 1:
            fault = f"{len(fitting)} images have this name" if fitting else "no image that `images` matches is named so"
            raise InputError(f"{where}: {path}: {line!r}: {fault}")
        found.append(fitting[0])
    return found


def _names(image: Match) -> set[str]:
    """Return the names by which a list may call an image."""
    *folders, name = plain_text((*image.folders, image.path.name))
    inside = "/".join((*folders, ""))
    return {name, PurePosixPath(name).stem, image.name, inside + name, inside + PurePosixPath(name).stem}


def _readings(line: str) -> Iterator[str]:
    """Yield what a line may name: the whole of it, or its first field, as it is or its last part."""
    for text in (line, SEPARATOR.split(line)[0]):
        (plain,) = plain_text((text.strip("\"'").replace("\\", "/"),))
        yield plain
        yield PurePosixPath(plain).name
        yield PurePosixPath(plain).stem
