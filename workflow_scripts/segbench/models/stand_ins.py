"""Name what lies in a weights file's place: a pointer of Git LFS, a page that says an error, nothing."""

from __future__ import annotations

from pathlib import Path

from segbench.errors import InputError

LFS = b"version https://git-lfs.github.com/spec/"  # how its pointers begin (git-lfs: docs/spec.md)
HEAD = 512  # bytes that tell


def refuse_stand_in(path: Path, origin: str) -> None:
    """Raise InputError, calling the file `origin`, where `path` is none of what a person meant to give."""
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        raise InputError(f"{origin}: is empty; fetch it again")
    if head.startswith(LFS):
        raise InputError(f"{origin}: is a pointer of Git LFS, not the file; run 'git lfs pull' where it was cloned")
    is_page = text.startswith((b"<!doctype html", b"<html", b"<?xml"))
    if is_page and b"<net " not in text:  # with which OpenVINO's model begins
        raise InputError(f"{origin}: is a page (HTML or XML), not the file; open it to see what it says")
