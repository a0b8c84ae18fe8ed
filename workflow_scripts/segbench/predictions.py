"""Class maps of a run in one file: a zip archive with one zstd frame per image, read back lazily.

`index.json` in it has height, width, dtype and the digest of each class map, by which rounds are compared, and of each
frame, by which damage is found when it is read (20 µs; a digest of the whole map would take longer than scoring it).
"""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

from segbench.errors import InputError
from segbench.files import atomic

INDEX = "index.json"
DAMAGE = (
    *(KeyError, ValueError, TypeError, OSError, EOFError, RuntimeError),
    *(struct.error, zlib.error, zipfile.BadZipFile, zstandard.ZstdError),
)


class PredictionsWriter:
    """Writes class maps as they come; the file appears when the `with` block ends without an exception.

    With `keep_maps=False` only each map's digest is kept: enough to see whether a later round computed the same.
    """

    def __init__(self, path: str | Path, height: int, width: int, keep_maps: bool = True) -> None:
        self._target = atomic(path)
        self._shape, self._keep = (height, width), keep_maps
        self._digests: dict[str, str] = {}
        self._frames: dict[str, str] = {}
        self._compressor = zstandard.ZstdCompressor(level=1)

    def __enter__(self) -> PredictionsWriter:
        self._archive = zipfile.ZipFile(self._target.__enter__(), "w", zipfile.ZIP_STORED)
        return self

    def add(self, image_id: str, class_map: npt.NDArray[np.uint8]) -> None:
        """Add the H×W map of one image. Raises ValueError for another shape or type, or an image added twice."""
        if class_map.shape != self._shape or class_map.dtype != np.uint8:
            raise ValueError(
                f"class map of {image_id}: {class_map.dtype} {class_map.shape}, expected uint8 {self._shape}"
            )
        if image_id in self._digests:
            raise ValueError(f"class map of {image_id} was added before")
        data = np.ascontiguousarray(class_map)
        self._digests[image_id] = digest_of(data)
        if self._keep:
            frame = self._compressor.compress(data.data)
            self._frames[image_id] = digest_of(frame)
            self._archive.writestr(f"{image_id}.zst", frame)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            height, width = self._shape
            index = {"height": height, "width": width, "dtype": "uint8", "maps": self._keep}
            self._archive.writestr(INDEX, json.dumps({**index, "digests": self._digests, "frames": self._frames}))
        self._archive.close()
        self._target.__exit__(kind, error, trace)


class Predictions:
    """Reads what a `PredictionsWriter` wrote. Every kind of damage is an InputError that names file and image."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, index: dict[str, Any]) -> None:
        self._path, self._archive = path, archive
        self._digests: dict[str, str] = dict(index["digests"])
        self._frames: dict[str, str] = dict(index["frames"])
        self.height, self.width, self.has_maps = int(index["height"]), int(index["width"]), bool(index["maps"])
        if index["dtype"] != "uint8":
            raise ValueError(f"dtype {index['dtype']!r}")

    @classmethod
    def open(cls, path: str | Path) -> Predictions:
        """Open a predictions file; no class map is read yet."""
        path = Path(path)
        try:
            archive = zipfile.ZipFile(path)
            return cls(path, archive, json.loads(archive.read(INDEX)))
        except FileNotFoundError:
            raise InputError(f"{path}: no such file") from None
        except DAMAGE as error:
            raise InputError(f"{path}: damaged ({error}); delete it and run again") from None

    @property
    def ids(self) -> list[str]:
        """Image ids, in the order they were written."""
        return list(self._digests)

    def digest(self, image_id: str) -> str:
        """Digest of an image's class map (hexadecimal)."""
        return self._digests[image_id]

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._digests

    def __getitem__(self, image_id: str) -> npt.NDArray[np.uint8]:
        """The H×W class map of an image."""
        if image_id not in self._digests:
            raise InputError(f"{self._path}: has no class map of {image_id}")
        if not self.has_maps:
            raise InputError(f"{self._path}: has digests of class maps only; class maps are kept by the first round")
        try:
            frame = self._archive.read(f"{image_id}.zst")
            if digest_of(frame) != self._frames[image_id]:
                raise ValueError("not what was written")
            size = zstandard.get_frame_parameters(frame).content_size
            if size != self.height * self.width:
                raise ValueError(f"{size} bytes instead of {self.height}×{self.width}")
            data = zstandard.ZstdDecompressor().decompress(frame)
        except DAMAGE as error:
            raise InputError(
                f"{self._path}: class map of {image_id} is damaged ({error}); delete it and run again"
            ) from None
        return np.frombuffer(data, np.uint8).reshape(self.height, self.width)


def digest_of(data: Any) -> str:
    """128-bit BLAKE2b of a buffer's bytes, in hexadecimal."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def class_map_of(shards: Sequence[Predictions], image_id: str) -> npt.NDArray[np.uint8]:
    """The H×W class map of an image from the shard that has it; without one the last tells that it has none."""
    return next((one for one in shards if image_id in one), shards[-1])[image_id]
