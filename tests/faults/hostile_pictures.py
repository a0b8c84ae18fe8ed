"""Images and labels that claim, or unpack to, far more than they are."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from faults.fault import ROOT  # noqa: F401  it puts the modules on the path
from faults.hostile import Attack
from helpers.png import tiff
from segbench.images.labels import read_label
from segbench.images.read import read_image

# OpenCV skips the text of an image; Pillow, which reads labels, has a bound for it.
REFUSED_AS_LABEL = {"PNG with a text part of 200 MB": "cannot be decoded"}


def attacks(folder: Path, trap: Path) -> Iterator[Attack]:
    """Each as an image and as a label, where it makes a difference."""
    huge = (1 << 31) - 1
    pictures = {
        "PNG of 100,000×100,000": (png(100_000, 100_000), "claims to have 100000×100000"),
        "PNG of 2**31×2**31": (png(huge, huge), "claims to have"),
        "PNG of 1×2**31": (png(huge, 1), "claims to have"),
        "PNG of no pixels": (png(0, 0), ""),
        "PNG that unpacks to 200 MB for 8×8": (png(8, 8, b"\0" * 200_000_000), None),
        "PNG with too little data": (png(64, 64, b"\0"), ""),
        "PNG with a text part of 200 MB": (png(8, 8, extra=_text(200_000_000)), None),
        "PNG with a part of 2**31 bytes": (png(8, 8)[:33] + b"\xff\xff\xff\x7fIDAT", ""),
        "PNG with a wrong checksum": (png(8, 8)[:-20] + b"\0" * 20, ""),
        "PNG header only": (b"\x89PNG\r\n\x1a\n", ""),
        "BMP of 100,000×100,000": (bmp(100_000, 100_000), "claims to have 100000×100000"),
        "BMP of negative height": (bmp(100_000, -100_000), "claims to have 100000×100000"),
        "BMP that ends after its header": (bmp(64, 64), "cannot be decoded"),
        "JPEG of 65,535×65,535": (jpeg(), "claims to have 65535×65535"),
        "JPEG with endless markers": (b"\xff\xd8" + b"\xff" * 1_000_000, ""),
        "WebP of nothing": (b"RIFF\x10\0\0\0WEBPVP8 " + b"\0" * 20, "cannot be decoded"),
        "GIF": (b"GIF89a" + b"\xff" * 100, "is no PNG"),
        "TIFF of 100,000×100,000": (tiff(100_000, 100_000), "claims to have 100000×100000"),
        "TIFF with a directory of nonsense": (b"II*\0\x08\0\0\0" + b"\xff" * 200, ""),
        "TIFF that ends after its directory": (tiff(64, 64), ""),
        "SVG that includes a file": (
            b'<svg xmlns="http://www.w3.org/2000/svg"><image href="/etc/passwd"/></svg>',
            "is no",
        ),
        "OpenEXR": (b"v/1\x01" + b"\0" * 100, "is no PNG"),
        "script": (f"#!/bin/sh\ntouch '{trap}'\n".encode(), "is no PNG"),
    }
    for number, (name, (data, said)) in enumerate(pictures.items()):
        for reader in (read_image, lambda path: read_label(path, None)):
            path, kind = folder / f"picture{number}.png", "an image" if reader is read_image else "a label"
            told = REFUSED_AS_LABEL.get(name, said) if kind == "a label" else said
            yield Attack(f"{name}, as {kind}", _reads(reader, path, data), told)


def _reads(reader, path: Path, data: bytes):  # type: ignore[no-untyped-def]
    def act() -> object:
        path.write_bytes(data)
        return reader(path)

    return act


def png(width: int, height: int, rows: bytes | None = None, extra: bytes = b"") -> bytes:
    """A grey PNG file whose header claims this size, with these raw rows."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = rows if rows is not None else b"\0" * ((width + 1) * height if width * height < 10_000 else 10)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _part(b"IHDR", header)
        + extra
        + _part(b"IDAT", zlib.compress(data))
        + _part(b"IEND", b"")
    )


def _part(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _text(size: int) -> bytes:
    return _part(b"zTXt", b"Comment\0\0" + zlib.compress(b" " * size))


def bmp(width: int, height: int) -> bytes:
    """The header of a BMP file of 24 bits."""
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def jpeg() -> bytes:
    """A small JPEG file whose frame header claims 65535×65535."""
    data = bytearray(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    return bytes(data)
