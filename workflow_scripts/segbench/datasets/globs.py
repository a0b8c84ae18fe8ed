"""Find files by a glob with braces, `{a,b}`, whose suffix matches in either case."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from segbench.errors import InputError

WILDCARD = re.compile(r"[*?]|\[[^]]*\]")
BRACES = re.compile(r"\{([^{}]*)\}")  # the innermost
MAX_GLOBS = 100  # that the braces of one stand for
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


class Match(NamedTuple):
    """A file that a glob matched, with the folders and the part of its name that the wildcards stood for."""

    folders: tuple[str, ...]
    name: str
    path: Path


def matches(root: Path, pattern: str, where: str) -> list[Match]:
    """Return the files that match, sorted. `**` follows no symbolic link to a folder, so that loops end.

    Raises InputError naming `where`, the key that has the glob.
    """
    found: dict[Path, str] = {}
    try:
        for plain in without_braces(pattern):
            if ".." in PurePosixPath(plain).parts:
                raise ValueError("it has '..'")
            last = PurePosixPath(plain).name
            name_pattern = last if WILDCARD.search(last) else PurePosixPath(_braces_as_wildcards(pattern)).name
            found |= {path: name_pattern for path in root.glob(_in_either_case(plain)) if path.is_file()}
    except (ValueError, NotImplementedError) as error:
        raise InputError(f"{where}: {pattern!r} is no glob below the root ({error})") from None
    return [
        Match(_matched_folders(path.relative_to(root), pattern), _matched_name(path.name, found[path]), path)
        for path in sorted(found)
    ]


def without_braces(pattern: str) -> list[str]:
    """Return the globs that a glob with braces stands for, as a shell expands it. Raises ValueError for very many."""
    todo, done = [pattern], []
    while todo:
        one = todo.pop(0)
        if braces := BRACES.search(one):
            todo += [one[: braces.start()] + part + one[braces.end() :] for part in braces[1].split(",")]
        else:
            done.append(one)
        if len(todo) + len(done) > MAX_GLOBS:
            raise ValueError(f"its braces stand for more than {MAX_GLOBS} globs")
    return done


def _braces_as_wildcards(pattern: str) -> str:
    while BRACES.search(pattern):
        pattern = BRACES.sub("*", pattern)
    return pattern


def _matched_folders(path: Path, pattern: str) -> tuple[str, ...]:
    """Return the folders of a file that wildcards stood for. Those whose names the glob has are left out."""
    folders, globs = plain_text(path.parts[:-1]), PurePosixPath(_braces_as_wildcards(pattern)).parts[:-1]
    if globs.count("**") > 1 or len(folders) < len([glob for glob in globs if glob != "**"]):
        return folders
    if "**" not in globs:
        return tuple(folder for folder, glob in zip(folders, globs, strict=False) if WILDCARD.search(glob))
    before = globs.index("**")
    behind = len(folders) - (len(globs) - before - 1)
    ends = zip((*folders[:before], *folders[behind:]), (*globs[:before], *globs[before + 1 :]), strict=True)
    kept = [folder if WILDCARD.search(glob) else "" for folder, glob in ends]
    return tuple(part for part in (*kept[:before], *folders[before:behind], *kept[before:]) if part)


def _in_either_case(pattern: str) -> str:
    """Let the letters of a glob's suffix stand for capital ones too, and the other way round."""
    suffix = re.search(r"\.\w+$", pattern)
    if suffix is None:
        return pattern
    either = "".join(f"[{c.lower()}{c.upper()}]" if c.isascii() and c.isalpha() else c for c in suffix[0])
    return pattern[: suffix.start()] + either


def _matched_name(name: str, pattern: str) -> str:
    """Return what the wildcards of `pattern` stood for in `name`, with the text between them, without the suffix."""
    ends = WILDCARD.split(pattern)
    if len(ends) > 1:
        name = name[len(ends[0]) : len(name) - len(ends[-1])]
    return plain_text((name if "." in ends[-1] and len(ends) > 1 else PurePosixPath(name).stem,))[0]


def plain_text(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Use one spelling of accented letters, since macOS writes them in two characters."""
    return tuple(unicodedata.normalize("NFC", part) for part in parts)


def pictures_beside(paths: set[Path]) -> Iterator[Path]:
    """Yield the pictures of the folders of `paths` that are not among them."""
    for folder in {path.parent for path in paths}:
        yield from (path for path in folder.iterdir() if path.suffix.lower() in PICTURES and path not in paths)
