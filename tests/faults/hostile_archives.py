"""Archives (.npz weights, stored predictions) whose members escape, lie about their size, or unpack without end."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from faults.fault import ROOT  # noqa: F401  it puts the modules on the path
from faults.hostile import Attack
from segbench.models.checkpoint import read_arrays
from segbench.scoring.predictions import Entry, Predictions, digest_of, key_of

NAMES = ("../../pwned", "/etc/cron.d/pwned", "..\\pwned", "a/../../pwned", "pwned\n.npy", "-rf", "con")


def attacks(folder: Path, trap: Path) -> Iterator[Attack]:
    """Weights first, then predictions."""
    escaping = {name: _npy(np.zeros(2, np.float32)) for name in NAMES}
    for number, (name, data) in enumerate(escaping.items()):
        yield _attack(
            folder / f"n{number}.npz", f"npz member {name!r} stays inside", {f"{name}.npy": data}, read_arrays, None
        )
    objects = io.BytesIO()
    np.save(objects, np.array([print], object), allow_pickle=True)
    weights = {
        "array of objects": ({"a.npy": objects.getvalue()}, "not an .npz"),
        "unpacks to 17 GiB": ({"a.npy": b"\0"}, "more than the"),
        "shape of 10**15": ({"a.npy": _header("(1000000000000000,)")}, "not an .npz"),
        "negative shape": ({"a.npy": _header("(-5,)")}, "not an .npz"),
        "header that is code": ({"a.npy": _header("__import__('os').system('touch pwned')")}, "not an .npz"),
        "header of 100 kB of brackets": ({"a.npy": _header("(" * 60_000)}, "not an .npz"),
        "no array": ({"a.txt": b"hello"}, ""),
        "empty": ({}, "holds no arrays"),
    }
    for name, (members, said) in weights.items():
        claim = 17 << 30 if name.startswith("unpacks") else 0
        yield _attack(folder / f"{name[:8]}.npz", f"npz: {name}", members, read_arrays, said, claim)
    bomb = zstandard.ZstdCompressor().compress(b"\0" * 200_000_000)
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(b"\0" * 100)
    stored = {
        "no index": {},
        "index that is a list": {"index.json": b"[]", "keys": b""},
        "index of 100,000 brackets": {"index.json": b"[" * 100_000, "keys": b""},
        "negative height": _stored(unsized, height=-4),
        "height that is a text": _stored(unsized, height="x"),
        "10**6×10**6 pixels": _stored(bomb, height=10**6, width=10**6),
        "infinite height": _stored(bomb, height=1e999),
        "frame of 200 MB for 4×4": _stored(bomb),
        "frame without its size": _stored(unsized),
        "keys of half a number": _stored(unsized) | {"keys": b"abc"},
        "part that is a list": _stored(unsized) | {"0.json": b"[1]"},
        "part without frames": {key: data for key, data in _stored(unsized).items() if key != "0.zst"},
        "frame beyond the part": _stored(unsized) | {"0.zst": b""},
    }
    for name, members in stored.items():
        path = folder / f"stored-{name[:9]}.zip"
        yield _attack(path, f"predictions: {name}", members, _first, "damaged", kind=zipfile.ZIP_STORED)
    packed = {"index.json": b" " * 200_000_000, "keys": b""}
    yield _attack(folder / "packed.zip", "predictions: index of 200 MB in 200 kB", packed, _first, "is compressed")


def _first(path: Path) -> object:
    return Predictions.open(path)["a"]


def _attack(
    path: Path,
    name: str,
    members: dict[str, bytes],
    reader: Callable[[Path], object],
    said: str | None,
    claim: int = 0,
    kind: int = zipfile.ZIP_DEFLATED,
) -> Attack:
    def act() -> object:
        with zipfile.ZipFile(path, "w", kind) as archive:
            for member, data in members.items():
                archive.writestr(member, data)
            if claim:
                archive.filelist[0].file_size = claim
        return reader(path)

    return Attack(name, act, said)


def _npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _header(shape: str) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x02\x00" + len(text).to_bytes(4, "little") + text + b"\0" * 16


def _stored(frame: bytes, **facts: object) -> dict[str, bytes]:
    """The members of predictions of one image, `a`, with its frame and these facts in the index."""
    index = {"height": 4, "width": 4, "dtype": "uint8", "maps": True, "parts": 1, **facts}
    entry = Entry(digest="", frame_digest=digest_of(frame), start=0, size=len(frame))
    part = json.dumps({"a": entry}).encode()
    keys = key_of("a").to_bytes(8, "little")
    return {"index.json": json.dumps(index).encode(), "keys": keys, "0.json": part, "0.zst": frame}
