"""Keep the decoded images of a split in one file of pixels, and an index with the place and checksum of each image.

The index names images by the SHA-256 of their files, so that it cannot refer to an image that was replaced.
"""

from __future__ import annotations

import os
import shutil
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np

from segbench.arrays import ColourImage
from segbench.errors import InputError
from segbench.files import atomic, read_json, write_record
from segbench.images.index import IndexEntry
from segbench.images.read import read_image

CHANNELS = 3


def pixels_of(index: Path) -> Path:
    """Return the file of pixels beside an index."""
    return index.with_suffix(".bin")


def decoded_bytes(rows: list[IndexEntry]) -> int:
    """Return the bytes that the pixels of these images take."""
    return sum(int(row["height"]) * int(row["width"]) * CHANNELS for row in rows)


def decode(rows: list[IndexEntry], index: Path, jobs: int) -> None:
    """Decode all images on `jobs` threads, and write the index and the pixels.

    Raises InputError when the disk has no room for them, and for an image that is not the one that was indexed.
    """
    need, pixels = decoded_bytes(rows), pixels_of(index)
    pixels.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(pixels.parent).free
    print(f"{pixels}: {len(rows)} decoded images, {in_mb(need)}; its disk has {in_mb(free)} free", flush=True)
    if need >= free:
        raise InputError(
            f"{pixels}: would take {in_mb(need)}, its disk has {in_mb(free)} free; make room, or set"
            " decoded_images: false"
        )
    cv2.setNumThreads(1)  # images are decoded side by side instead
    with atomic(pixels) as temporary, open(temporary, "wb") as stream, ThreadPoolExecutor(max(jobs, 1)) as pool:
        descriptor, starts = stream.fileno(), np.cumsum([0, *(decoded_bytes([row]) for row in rows)]).tolist()
        entries = pool.map(lambda row, start: _decode_to(descriptor, start, row), rows, starts)
        found = {row["image_sha256"]: entry for row, entry in zip(rows, entries, strict=True)}
    write_record(index, {"status": "ok", "reason": "", "images": found})


def in_mb(size: int) -> str:
    """Write `size` bytes in MB."""
    return f"{size / 1e6:,.0f} MB"


def _decode_to(descriptor: int, start: int, row: IndexEntry) -> list[int]:
    """Write one image's pixels at byte `start`. Return its entry of the index: start, height, width, CRC-32."""
    image = read_image(row["image"], row["image_sha256"])
    height, width = image.shape[:2]
    if (height, width) != (int(row["height"]), int(row["width"])):
        raise InputError(f"{row['image']}: has changed since it was indexed; run again")
    data = image.reshape(-1).data
    written = 0
    while written < len(data):
        written += os.pwrite(descriptor, data[written:], start + written)
    return [start, height, width, zlib.crc32(data)]


def _read_into(file: BinaryIO, buffer: memoryview) -> int:
    """Fill `buffer` from the file's position on. Return the number of bytes read."""
    done = 0
    while done < len(buffer) and (count := file.readinto(buffer[done:])):  # type: ignore[attr-defined]
        done += count
    return done


class ImageReader:
    """Read images of an index.csv: from the decoded ones where these are kept, else from the image's file.

    `index` is decoded.json, or None. A reader may be sent to another process, which then opens the pixels itself.

    Pixels are read into one buffer that is reused. The pages of a mapped file would stay and count as the process's
    memory: 3 GB on Cityscapes' 500 images.
    """

    def __init__(self, index: str | Path | None) -> None:
        self._index = Path(index) if index else None
        self._entries: dict[str, list[int]] = read_json(index)["images"] if index else {}
        self._buffer = np.empty(0, np.uint8)

    def __getstate__(self) -> dict[str, Any]:
        return {"_index": self._index, "_entries": self._entries, "_buffer": np.empty(0, np.uint8)}

    @cached_property
    def _file(self) -> BinaryIO:
        assert self._index is not None
        return open(pixels_of(self._index), "rb", buffering=0)

    def __call__(self, row: IndexEntry) -> ColourImage:
        """Return uint8 H×W×3, BGR, valid until the next call. Raises InputError naming the file when it is damaged."""
        entry = self._entries.get(row["image_sha256"])
        if entry is None:
            return read_image(row["image"], row["image_sha256"])
        assert self._index is not None
        start, height, width, checksum = entry
        size = height * width * CHANNELS
        if self._buffer.size < size:
            self._buffer = np.empty(size, np.uint8)
        pixels = self._buffer[:size]
        try:
            self._file.seek(start)
            count = _read_into(self._file, pixels.data)
        except OSError as error:
            raise InputError(f"{pixels_of(self._index)}: {error}; {self._cure}") from None
        if count != size or zlib.crc32(pixels.data) != checksum:
            raise InputError(f"{pixels_of(self._index)}: the pixels of {row['image_id']} are damaged; {self._cure}")
        return pixels.reshape(height, width, CHANNELS)

    @property
    def _cure(self) -> str:
        return f"delete it and {self._index}, and run again"
