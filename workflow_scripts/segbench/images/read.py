"""Read images from disk."""

from __future__ import annotations

import hashlib
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from segbench.arrays import ColourImage
from segbench.errors import InputError

MAX_PIXELS = 1 << 28  # 16384×16384; a small file could claim more and fill the memory
PNG, JPEG, WEBP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF"
# By first bytes: the byte order, and how many bytes an offset has (BigTIFF: 8). Pillow 13.0 cannot read "MM\0+".
TIFF = {b"II*\0": ("<", 4), b"MM\0*": (">", 4), b"II+\0": ("<", 8)}
WIDTH, HEIGHT, BITS = 256, 257, 258  # TIFF's tags
MAX_CHANNELS = 64  # more are no picture
BIT_DEPTH = 24  # byte at which a PNG file has it
ORIENTATION = 0x0112  # EXIF tag


def read_image(path: str | Path, sha256: str | None = None) -> ColourImage:
    """Decode a PNG, JPEG, BMP, WebP or TIFF file to uint8 H×W×3, BGR, turned as its EXIF data say (as PaddleSeg does).

    Raises InputError naming the file when it is too large, cannot be decoded whole, or is not of the given `sha256`.
    """
    data = checked_bytes(path, sha256)
    if (bits := tiff_bits(data) or 8) > 16:
        raise InputError(f"{path}: has {bits} bits a channel; a picture has 8 or 16")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise InputError(f"{path}: cannot be decoded: truncated or damaged")
    return np.asarray(image, np.uint8)


class Form(NamedTuple):
    """What an image file has that `read_image` turns or drops: whether its EXIF data turn or mirror it, its Pillow mode
    ("" where Pillow cannot tell), and where it has 16 bits, how many its values need.
    """

    turned: bool = False
    mode: str = ""
    used_bits: int | None = None


def form_of(path: str | Path) -> Form:
    """Return the form of an image file."""
    from PIL import Image

    try:
        # Of WebP files, OpenCV reads no EXIF data.
        with Image.open(path, formats=("PNG", "JPEG", "BMP", "WEBP", "TIFF")) as image:
            exif = image.format in ("PNG", "JPEG", "TIFF") and image.getexif().get(ORIENTATION, 1) not in (0, 1)
            return Form(exif, image.mode, _used_bits(path))
    except Exception:  # a decoder of hostile bytes may raise anything; `read_image` says what is wrong
        return Form()


def _used_bits(path: str | Path) -> int | None:
    """Return the bits that the values of a file of 16 bits need, of which `read_image` keeps the upper 8 of 16."""
    with open(path, "rb") as stream:
        data = stream.read(BIT_DEPTH + 1)
        data += stream.read() if data[:4] in TIFF or png_bits(data) == 16 else b""
    if (png_bits(data) or tiff_bits(data)) != 16:
        return None
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return None if values is None else int(values.max()).bit_length()


def png_bits(data: bytes) -> int | None:
    """Return the bits of a channel that a PNG file states; None for another file."""
    return data[BIT_DEPTH] if data.startswith(PNG) and len(data) > BIT_DEPTH else None


def tiff_bits(data: bytes) -> int | None:
    """Return the most bits of a channel of a TIFF file's first picture; None for another file."""
    return max(_tiff_tags(data).get(BITS, (1,))) if data[:4] in TIFF else None


def checked_bytes(path: str | Path, sha256: str | None) -> bytes:
    """Return the content of a picture's file. Raises InputError naming it when it is no picture, is larger than
    MAX_PIXELS, is a damaged PNG file, or is not of the given `sha256`.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(f"{path}: has changed since it was indexed; run again")
    width, height = _size(path, data)
    if width * height > MAX_PIXELS:
        raise InputError(f"{path}: claims to have {height}×{width} pixels; at most {MAX_PIXELS} are accepted")
    if data.startswith(PNG) and (fault := _png_fault(data)):
        raise InputError(f"{path}: {fault}")
    return data


def _size(path: str | Path, data: bytes) -> tuple[int, int]:
    """Read width and height from the header, before anything is decoded. Raises InputError for what is no image."""
    if data.startswith(PNG) and data[12:16] == b"IHDR":
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data.startswith(JPEG):
        return _jpeg_size(data)
    if data.startswith(b"BM"):
        return (
            abs(int.from_bytes(data[18:22], "little", signed=True)),
            abs(int.from_bytes(data[22:26], "little", signed=True)),
        )
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return 0, 0  # the format allows at most 16383×16383
    if data[:4] in TIFF:
        tags = _tiff_tags(data)
        return tags.get(WIDTH, (0,))[0], tags.get(HEIGHT, (0,))[0]
    raise InputError(f"{path}: {'is no PNG, JPEG, BMP, WebP or TIFF file' if data else 'is an empty file'}")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Read the size from the frame header (ITU-T T.81, B.2.2). Without one it is 0, 0, and decoding then fails."""
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return 0, 0


def _tiff_tags(data: bytes) -> dict[int, tuple[int, ...]]:
    """Return the numbers of the first directory of a TIFF file by tag (TIFF 6.0, section 2); none where it is cut.

    BigTIFF differs in the lengths of offsets and counts, and has a number type of 8 bytes (16).
    """
    order, length = TIFF[data[:4]]
    offset, entries = (f"{order}I", f"{order}H") if length == 4 else (f"{order}Q", f"{order}Q")
    numbers, step = {3: "H", 4: "I", 16: "Q"}, 4 + 2 * length
    found = {}
    try:
        (at,) = struct.unpack_from(offset, data, length)
        (count,) = struct.unpack_from(entries, data, at)
        start = at + struct.calcsize(entries)
        for place in range(start, min(start + step * count, len(data)), step):
            tag, kind, number = struct.unpack_from(f"{order}HH{offset[1]}", data, place)
            if tag in (WIDTH, HEIGHT, BITS) and kind in numbers and 1 <= number <= MAX_CHANNELS:
                values, own = f"{order}{number}{numbers[kind]}", place + 4 + length
                (far,) = struct.unpack_from(offset, data, own)
                found[tag] = struct.unpack_from(values, data, own if struct.calcsize(values) <= length else far)
    except struct.error:
        return {}
    return found


def _png_fault(data: bytes) -> str:
    """Say what is wrong with a PNG file's chunks, since OpenCV does not check their checksums."""
    view, at = memoryview(data), len(PNG)
    while at + 12 <= len(data):
        kind, end = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            break
        if zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            return f"damaged: the checksum of its part {kind.decode('latin-1')} at byte {at} is wrong"
        if kind == b"IEND":
            return ""
        at = end
    return "truncated: the PNG file has no end"
