"""Read images and labels from disk."""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segbench.arrays import ColourImage, LabelMap
from segbench.errors import InputError, one_line

MAX_PIXELS = 1 << 28  # 16384×16384; a small file could claim more and fill the memory
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
BIT_DEPTH = 24  # byte at which a PNG file has it
ORIENTATION = 0x0112  # EXIF tag
LABEL_FORMATS = ("PNG", "BMP", "WEBP")  # Pillow reads many more formats


def read_image(path: str | Path, sha256: str | None = None) -> ColourImage:
    """Decode a PNG, JPEG, BMP or WebP file to uint8 H×W×3, BGR, turned as its EXIF data say (as PaddleSeg reads it).

    Raises InputError naming the file when it is too large, cannot be decoded whole, or is not of the given `sha256`.
    """
    data = _checked_bytes(path, sha256)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise InputError(f"{path}: cannot be decoded: truncated or damaged")
    return np.asarray(image, np.uint8)


def turned_by_exif(path: str | Path) -> bool:
    """Return whether the file's EXIF data say that it is shown turned or mirrored, which `read_image` then does."""
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:  # of WebP files, OpenCV reads no EXIF data
            return image.getexif().get(ORIENTATION, 1) not in (0, 1)
    except Exception:  # a decoder of hostile bytes may raise anything; `read_image` says what is wrong
        return False


def used_bits(path: str | Path) -> int | None:
    """Return the bits that the values of a 16-bit PNG file need, of which `read_image` keeps the upper 8 of 16; None
    for other files.
    """
    with open(path, "rb") as stream:
        head = stream.read(BIT_DEPTH + 1)
    if not head.startswith(PNG) or head[BIT_DEPTH] != 16:
        return None
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return None if values is None else int(values.max()).bit_length()


def read_label(path: str | Path, id_map: Mapping[Any, int] | None, sha256: str | None = None) -> LabelMap:
    """Decode a label file to uint8 H×W trainIds. Ids that `id_map` does not name become 255. Without a map, ids stay.

    In a PNG with a palette, the ids are the palette's indices. With 1, 2 or 4 bits, they are the bits' value. Raises
    InputError naming the file when it has several channels, more than 8 bits, lossy compression, or is not of the given
    `sha256`.
    """
    from PIL import Image  # engines' own environments may lack Pillow, and read no label

    data = _checked_bytes(path, sha256)
    if data.startswith(JPEG):
        raise InputError(f"{path}: a label cannot be a JPEG file: its compression changes class ids; use PNG")
    Image.MAX_IMAGE_PIXELS = None  # MAX_PIXELS was checked already
    try:
        with Image.open(io.BytesIO(data), formats=LABEL_FORMATS) as image:
            mode, channels, values = image.mode, len(image.getbands()), np.asarray(image)
    except Exception as error:  # a decoder of hostile bytes may raise anything
        raise InputError(f"{path}: cannot be decoded: truncated or damaged ({one_line(str(error), 200)})") from None
    bits = data[BIT_DEPTH] if data.startswith(PNG) else 8
    if bits > 8 or mode not in ("1", "L", "P"):
        raise InputError(f"{path}: a label must have one channel of 8 bits, this has {channels} of {max(bits, 8)}")
    label = values.astype(np.uint8, copy=False)
    if mode == "L" and bits < 8:
        label = label // (255 // (2**bits - 1))  # Pillow spreads 2 or 4 bits of grey over 0 to 255
    return label if id_map is None else np.asarray(cv2.LUT(label, id_table(id_map)), np.uint8)


def id_table(id_map: Mapping[Any, int]) -> npt.NDArray[np.uint8]:
    """Return 256 entries: trainId of each raw id, 255 for ids that `id_map` does not name. Raw −1 is stored as 255."""
    table = np.full(256, 255, np.uint8)
    for raw, train_id in id_map.items():
        table[int(raw) % 256] = train_id
    return table


def _checked_bytes(path: str | Path, sha256: str | None) -> bytes:
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
    raise InputError(f"{path}: {'is no PNG, JPEG, BMP or WebP file' if data else 'is an empty file'}")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Read the size from the frame header (ITU-T T.81, B.2.2). Without one it is 0, 0, and decoding then fails."""
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return 0, 0


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
