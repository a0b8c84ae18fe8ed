"""Write files so that each is whole or absent, and check files by seal and SHA-256."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from segbench.errors import DISK_FULL_ERRORS, InputError

SNAKEMAKES_OWN = ".snakemake_timestamp"  # Snakemake writes this file into every directory output
SEAL = "seal"  # key under which a record keeps its place and digest


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary sibling of `path` (a file or folder to be made); move it into place on success only.

    Raises InputError naming `path` where the disk is full. Leftovers of a killed process are removed first. That is
    safe, since one job at a time makes a file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in DISK_FULL_ERRORS:
            raise InputError(_full(path, size_of(temporary))) from None
        raise
    finally:
        _sweep(path)


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """Yield an empty folder whose temporary name is made of `path`. It is removed at the end, or by the next job."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    folder = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    folder.mkdir()
    try:
        yield folder
    finally:
        _sweep(path)


def _sweep(path: Path) -> None:
    """Remove the temporary siblings of `path`, and the temporary files that a child process made beside them."""
    name = re.compile(rf"\.+{re.escape(path.name)}(\.[0-9a-f]{{8}}\.tmp)+")
    for unfinished in path.parent.iterdir():
        if name.match(unfinished.name):
            shutil.rmtree(unfinished, ignore_errors=True) if unfinished.is_dir() else unfinished.unlink(missing_ok=True)


def _full(path: Path, written: int) -> str:
    free = shutil.disk_usage(path.parent).free
    # A child's temporary file may be named after its parent's.
    path = path.with_name(re.sub(r"^\.+(.+?)(\.[0-9a-f]{8}\.tmp)+$", r"\1", path.name))
    return (
        f"{path}: the disk is full: more than {written} bytes are needed, {free} are free in {path.parent};"
        " make room and run again"
    )


def need_room(path: Path, size: int) -> None:
    """Raise InputError naming `path` where a file of `size` bytes does not fit on its disk."""
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise InputError(f"{path}: {size} bytes are needed, {free} are free in {path.parent}; make room and run again")


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files of a folder; 0 where there is none."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def stamp(path: Path | str) -> tuple[int, int]:
    """Return the bytes of a file and the date of its last change in ns. A link's are those of its target.

    It is the date that the system keeps (ctime). `cp -p`, tar and zip set the other one (mtime), and files of one
    network have equal sizes, so that two of them could not be told apart by it.
    """
    status = os.stat(path)
    return status.st_size, status.st_ctime_ns


def source_record(path: Path) -> dict[str, Any]:
    """Return what a job keeps of a file outside results/ that it has read, as planning looks for it (`seen_by`)."""
    size, date = stamp(path)
    return {"source": str(path), "source_bytes": size, "source_ctime_ns": date, "source_sha256": sha256_of(path)}


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with atomic(path) as temporary:
        data = text.encode()
        need_room(Path(path), len(data))
        temporary.write_bytes(data)


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all. NaN is refused, since JSON has no NaN."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def write_record(path: Path | str, record: Mapping[str, Any]) -> None:
    """Write JSON with a seal. By the seal, `read_json` finds damage and records that were moved to another place."""
    write_json(path, {**record, SEAL: {"place": str(_place(path)), "sha256": _digest(record)}})


def read_json(path: Path | str) -> Any:
    """Read a JSON file that SegBench wrote, and drop its seal.

    Raises InputError naming the file when it is missing, damaged, or the record of another place.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({error}); delete it and run again") from None
    if value in (None, {}):
        raise InputError(f"{path}: is empty; delete it and run again")
    if isinstance(value, dict) and SEAL in value:
        _check_seal(path, value.pop(SEAL), value)
    return value


def _check_seal(path: Path | str, seal: Any, record: dict[str, Any]) -> None:
    if not isinstance(seal, dict) or seal.get("sha256") != _digest(record):
        raise InputError(f"{path}: damaged (its content is not what was written); delete it and run again")
    place = PurePath(str(seal.get("place")))
    if Path(path).absolute().parts[-len(place.parts) :] != place.parts:
        raise InputError(f"{path}: is the record of {place}; delete it and run again")


def _place(path: Path | str) -> PurePath:
    """Return the path below the results folder, which may itself be moved. Elsewhere, return the file's name alone."""
    parts = PurePath(path).parts
    below = len(parts) - parts[::-1].index("results") if "results" in parts else -1
    return PurePath(*parts[below:])


def _digest(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(record)).encode()).hexdigest()


def sha256_of(path: Path | str) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _sha256(stream)


def _sha256(stream: Any) -> str:
    """Do what `hashlib.file_digest` does, which Python 3.10 lacks."""
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def check_file(path: Path, digest: str | None) -> Path:
    """Return `path`. Raises InputError when its SHA-256 is not `digest`. None: no digest was recorded, so none is
    checked.
    """
    if digest is not None and (not path.exists() or sha256_of(path) != digest):
        raise InputError(f"{path}: damaged or missing (not the recorded SHA-256); delete it and run again")
    return path


def record_beside(path: Path) -> Path:
    """Return the path of the record beside a file: the file's name followed by `.json`."""
    return path.with_name(f"{path.name}.json")


def as_fetched(path: Path) -> Path:
    """Return `path` after checking its SHA-256 against the record beside it. One without a record is the user's own."""
    record = record_beside(path)
    return check_file(path, read_json(record)["sha256"] if record.exists() else None)


def checked(path: Path, status: dict[str, Any]) -> Path:
    """Return `path` after checking it against the manifest in `status`, the status.json of its run."""
    return check_file(path, status.get("manifest", {}).get(path.name))


def manifest_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below `folder`, by relative path, in sorted order."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != SNAKEMAKES_OWN)
    return {str(path.relative_to(folder)): sha256_of(path) for path in files}


def check_manifest(folder: Path, manifest: dict[str, str]) -> None:
    """Raise InputError naming the first file below `folder` that is missing, changed or not in `manifest`."""
    found = manifest_of(folder)
    for name in sorted(manifest.keys() | found.keys()):
        if name not in found:
            raise InputError(f"{folder / name}: missing; delete {folder} and run again")
        if found[name] != manifest.get(name):
            raise InputError(
                f"{folder / name}: damaged (its SHA-256 is not the recorded one); delete {folder} and run again"
            )


def stage_files(files: list[Path], out: Path) -> None:
    """Copy `files` into folder `out`. Copies are private, so that no stage can harm another stage's file."""
    out.mkdir(parents=True, exist_ok=True)
    for path in files:
        shutil.copyfile(path, out / path.name)


def link_files(files: list[Path], out: Path) -> None:
    """Put `files` into folder `out` as hard links, which need no room; as copies where the disk has no links.

    This is for an engine's folder alone: no engine writes into its files, and a model that is exported again is a new
    file, so that the link keeps what the engine was built from.
    """
    out.mkdir(parents=True, exist_ok=True)
    for path in files:
        try:
            os.link(path, out / path.name)
        except OSError:  # another disk, one without links, or another user's file
            shutil.copyfile(path, out / path.name)
