"""Folders and file names that loop, escape, or mean something to a shell or a parser."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from faults.fault import ROOT  # noqa: F401  it puts the modules on the path
from faults.hostile import Attack
from fetch_checkpoint import fetch
from helpers.made import make_folder_dataset
from index_images import Checked, index_images
from segbench.datasets.listing import listed

NAMES = (
    "a b.png", "-rf.png", "--help.png", "$(touch pwned).png", "`touch pwned`.png", "a'b\".png", "a;b&c|d.png",
    "ümläut 道路.png", "a\nb.png", "a,b.png", '"a","b".png', "{x}.png", "*.png", "%s.png", "a\tb.png", "\u202egnp.png",
    "a\\b.png", "..png.png", "=cmd().png", "x" * 200 + ".png",
)  # fmt: skip


def attacks(folder: Path, trap: Path) -> Iterator[Attack]:
    """Names that have to work, then what has to be refused."""
    for number, name in enumerate(NAMES):
        yield Attack(f"image named {name[:20]!r}", _named(folder / f"set{number}", name), None)
    globs = {
        "/etc/*": "images", "../*.png": "images", "**/../../*": "images", "": "images", "[": "images", "\0": "images",
        "val/\n*.png": "images",
    }  # fmt: skip
    for number, (pattern, said) in enumerate(globs.items()):
        yield Attack(f"images at {pattern!r}", _globbed(folder / f"glob{number}", pattern), said)
    yield Attack("folder that contains itself", _loop(folder / "loop"), None)
    for number, kind in enumerate(("loop", "folder", "device", "pipe")):
        yield Attack(f"weights at a {kind}", _weights(folder / f"weights{number}", kind), "weights.path")


def _entry(root: Path, images: str, labels: str | None) -> dict[str, object]:
    splits = {"val": {"images": images, "labels": labels}}
    rest = {"classes": ["a", "b", "c", "d"], "ignore_index": 255, "id_map": None}
    return {"kind": "folder", "root": str(root), "splits": splits, **rest}


def _indexed(entry: dict[str, object]) -> list[Checked]:
    return index_images(listed("made", "val", entry), "made", "val", 1)


def _named(root: Path, name: str) -> Callable[[], object]:
    def act() -> object:
        make_folder_dataset(root, count=1)
        for part in ("val", "labels"):
            os.rename(root / part / "scene 00.png", root / part / name)
        checked = _indexed(_entry(root, "val/*.png", "labels/*.png"))
        assert str(checked[0].image).endswith(name) and "/" not in checked[0].image_id
        return checked

    return act


def _globbed(root: Path, pattern: str) -> Callable[[], object]:
    def act() -> object:
        make_folder_dataset(root / "inner", count=1)
        return _indexed(_entry(root / "inner", pattern, None))

    return act


def _loop(root: Path) -> Callable[[], object]:
    def act() -> object:
        make_folder_dataset(root, count=1)
        os.symlink("..", root / "val" / "again")
        os.symlink("self", root / "val" / "self")
        return _indexed(_entry(root, "**/scene*.png", None))

    return act


def _weights(folder: Path, kind: str) -> Callable[[], object]:
    def act() -> object:
        folder.mkdir()
        path = folder / "w.npz"
        if kind == "loop":
            os.symlink("w.npz", path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "device":
            os.symlink("/dev/zero", path)
        elif kind == "pipe":
            os.mkfifo(path)
        fetch({"path": str(path)}, folder / "out.npz", folder / "cache")
        return path

    return act
