"""Tell whether files outside results/ are still those that a job has read, whatever their dates.

A state is a short text that stands for a list of files. Planning asks for it with one `stat` a file. The job that reads
the files keeps the state in its record, beside each file's bytes, date and SHA-256. As long as the files are the same,
planning returns the state of the record, so that nothing reruns. A file of another date with the same bytes (it was
touched, or moved here) counts as the same: its digest is computed, and kept in a cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from segbench.errors import InputError
from segbench.files import read_json, sha256_of, stamp, write_record

CACHE = Path("results/cache/digests.json")
Listed = list[tuple[str, str]]  # the key of each file, which must stay too, and its path ("": there is none)


class Known(NamedTuple):
    """A file as a job has read it."""

    key: str
    path: str
    stamp: tuple[int, int]
    sha256: str


class Seen(NamedTuple):
    """The record of a job: the state that it was given, and the files that it has read."""

    state: str
    files: list[Known]


def state_of(listed: Listed, seen: Seen | None) -> str:
    """Return the state of the files: that of `seen` where they are the same, else a new one."""
    stamps = [_stamp(path) for _, path in listed]
    fresh = hashlib.sha256(json.dumps([listed, stamps]).encode()).hexdigest()[:24]
    if seen is not None and (fresh == seen.state or _same(listed, stamps, seen.files)):
        return seen.state
    return fresh


def _stamp(path: str) -> tuple[int, int]:
    """Return bytes and date of a file; −1 where it is gone, and 0 where there is none."""
    try:
        return stamp(path) if path else (0, 0)
    except OSError:
        return -1, -1


def _same(listed: Listed, stamps: list[tuple[int, int]], known: list[Known]) -> bool:
    if listed != [(file.key, file.path) for file in known]:
        return False
    changed = [(now, file) for now, file in zip(stamps, known, strict=True) if now != file.stamp]
    if any(now[0] != file.stamp[0] for now, file in changed):
        return False
    digests = _digests([(file.path, now) for now, file in changed])
    return digests == [file.sha256 for _, file in changed]


def _digests(files: list[tuple[str, tuple[int, int]]]) -> list[str]:
    """Return the SHA-256 of files of these bytes and dates, computed once for each date."""
    if not files:
        return []
    kept: dict[str, Any] = {}
    with contextlib.suppress(InputError):
        kept = read_json(CACHE)
    found: dict[str, list[Any]] = {path: kept.get(path) or [-1, -1, ""] for path, _ in files}
    for path, now in files:
        if found[path][:2] != [*now]:
            with contextlib.suppress(OSError):
                found[path] = [*now, sha256_of(path)]
    if any(kept.get(path) != entry for path, entry in found.items()):
        with contextlib.suppress(OSError, InputError):  # a results folder that only may be read
            write_record(CACHE, {**kept, **found})
    return [found[path][2] for path, _ in files]


def seen_by(record: Path, rows: Iterable[Mapping[str, str]], kind: str, key: str) -> Seen | None:
    """Return what a job has read, from its record and the rows of its index; None where it has not run yet.

    `kind`: image, label or instances, as the columns are named. `key` is the column that a file's row is known by.
    """
    try:
        state = read_json(record)["state"]
        files = [
            Known(row[key], row[kind], (int(row[f"{kind}_bytes"]), int(row[f"{kind}_ctime_ns"])), row[f"{kind}_sha256"])
            for row in rows
        ]
    except (InputError, KeyError, ValueError, TypeError):
        return None
    return Seen(state, files)
