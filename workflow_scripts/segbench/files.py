"""Files that are whole or absent: temporary names, moves into place, JSON and SHA-256."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from segbench.errors import InputError

SNAKEMAKES_OWN = ".snakemake_timestamp"  # Snakemake puts it into every directory output


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary sibling of `path` (a file or folder to be made); move it into place on success only."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        for unfinished in path.parent.glob(f".{glob.escape(temporary.name)}.*"):  # of a child that was killed
            shutil.rmtree(unfinished) if unfinished.is_dir() else unfinished.unlink()
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all; NaN is refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file of ours. Raises InputError naming the file when it is missing or damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error}); delete it and run again") from None


def sha256_of(path: Path | str) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _sha256(stream)


def _sha256(stream: Any) -> str:
    """As `hashlib.file_digest`, for Python 3.10."""
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def manifest_of(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below `folder`, by its path relative to it, in sorted order."""
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
