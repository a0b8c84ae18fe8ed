"""Picture files byte by byte: those that no library writes."""

from __future__ import annotations

import struct
import zlib

import numpy as np


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(ids: np.ndarray, bits: int, colour_type: int) -> bytes:
    """A PNG file with few bits per pixel, or with a palette: OpenCV cannot write these."""
    height, width = ids.shape
    planes = np.unpackbits(ids[:, :, None], axis=2)[:, :, 8 - bits :].reshape(height, -1)
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in planes)
    palette = chunk(b"PLTE", bytes(range(3 * 2**bits % 256)) or bytes(768)) if colour_type == 3 else b""
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + palette + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(width: int, height: int) -> bytes:
    """The directory of a TIFF file that claims this size, and no pixels."""
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8), (279, 4, 1, 1)]
    return (
        b"II*\0\x08\0\0\0"
        + struct.pack("<H", len(tags))
        + b"".join(struct.pack("<HHII", *tag) for tag in tags)
        + bytes(4)
    )


def big_tiff(pixels: np.ndarray, claims: tuple[int, int] | None = None) -> bytes:
    """An uncompressed BigTIFF file (offsets of 8 bytes) of H×W or H×W×3 pixels of 8 or 16 bits."""
    height, width = claims or pixels.shape[:2]
    count, bits = pixels[0, 0].size, 8 * pixels.itemsize
    body = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    depths = struct.pack(f"<{count}H", *[bits] * count).ljust(8, b"\0")
    tags = [
        (256, 4, 1, struct.pack("<I4x", width)), (257, 16, 1, struct.pack("<Q", height)),
        (258, 3, count, depths), (259, 3, 1, struct.pack("<H6x", 1)),
        (262, 3, 1, struct.pack("<H6x", 2 if count == 3 else 1)), (273, 16, 1, struct.pack("<Q", 16)),
        (277, 3, 1, struct.pack("<H6x", count)), (278, 4, 1, struct.pack("<I4x", height)),
        (279, 16, 1, struct.pack("<Q", len(body))),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHQ", tag, kind, number) + value for tag, kind, number, value in tags)
    head = b"II" + struct.pack("<HHHQ", 43, 8, 0, 16 + len(body))
    return head + body + struct.pack("<Q", len(tags)) + entries + bytes(8)
