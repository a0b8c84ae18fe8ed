"""Keep the class maps of a run in one file: a zip archive with one zstd frame per image, read back lazily.

Images come in parts of a few hundred. A part has its frames one behind the other, and an index with the place of each
frame and two digests. Rounds are compared by the digest of each class map. Damage is found by the digest of each frame
when it is read (20 µs; a digest of the whole map would take longer than scoring it). A run may have millions of images,
so readers and writers hold one part at a time, and a 64-bit key of every other image.

Where images are resized to the network's input, a kept map has the image's size, and not that of the engine's own map.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import zstandard

from segbench.errors import InputError
from segbench.files import atomic
from segbench.images.read import MAX_PIXELS

INDEX = "index.json"  # height and width of the engine's own maps, dtype, whether maps are kept, number of parts
KEYS = "keys"  # `key_of` of every image in the order written, little-endian uint64
PART = 256  # images
LOGITS, CLASS_MAPS = "logits", "class maps"  # what class maps of the images' own size come from: `scored_by`
DAMAGE = (
    *(KeyError, ValueError, TypeError, OSError, EOFError, RuntimeError, MemoryError, OverflowError),
    *(struct.error, zlib.error, zipfile.BadZipFile, zstandard.ZstdError),
)


class Packed(NamedTuple):
    """A class map that is ready to be written: its digest, and its zstd frame where maps are kept."""

    digest: str
    frame: bytes | None


def pack(class_map: npt.NDArray[np.uint8], keep: bool) -> Packed:
    """Compress an H×W map for `PredictionsWriter.add_packed`. Without `keep`, only its digest is made."""
    data = np.ascontiguousarray(class_map)
    frame = zstandard.ZstdCompressor(level=1).compress(data.data) if keep else None
    return Packed(digest_of(data), frame)


class Entry(NamedTuple):
    """An image in its part's index: digests of its class map and of its frame, and the place of the frame.

    `shape` and `own_digest` belong to a map that is not the engine's own: its size, and the digest of the engine's.
    """

    digest: str
    frame_digest: str | None = None
    start: int = 0
    size: int = 0
    shape: Sequence[int] | None = None
    own_digest: str | None = None

    def written(self) -> tuple[Any, ...]:
        """Return the fields that are not left at their defaults for every map."""
        return tuple(self) if self.own_digest else self[:4]


class PredictionsWriter:
    """Write class maps as they come. The file appears when the `with` block ends without an exception.

    With `keep_maps=False` only each map's digest is kept, which shows whether another run computed the same. An image
    may then be added several times. `changed` has the images whose maps differed.
    """

    def __init__(self, path: str | Path, height: int, width: int, keep_maps: bool = True) -> None:
        self._target = atomic(path)
        self._shape, self.keep_maps = (height, width), keep_maps
        self._keys: dict[int, None] = {}
        self._digests: dict[str, str] = {}  # of maps that are not kept
        self.changed: set[str] = set()
        self._parts = 0
        self._entries: dict[str, Entry] = {}  # entries of the part that is not written yet
        self._frames = bytearray()

    def __enter__(self) -> PredictionsWriter:
        self._archive = zipfile.ZipFile(self._target.__enter__(), "w", zipfile.ZIP_STORED)
        return self

    def add(self, image_id: str, class_map: npt.NDArray[np.uint8]) -> None:
        """Add the H×W map of one image. Raises ValueError for another shape or type, or a kept map added twice.

        Where only digests are kept, it may be the maps of an image's windows, one below the other.
        """
        self.check(image_id, class_map, stacked=not self.keep_maps)
        self.add_packed(image_id, pack(class_map, self.keep_maps))

    def add_at_image_size(self, image_id: str, class_map: npt.NDArray[np.uint8], own: npt.NDArray[np.uint8]) -> None:
        """Add a map of any size that stands for the engine's `own`: an H×W map, or those of an image's windows, one
        below the other. Raises ValueError as `add` does.
        """
        self.check(image_id, own, stacked=True)
        digest = digest_of(np.ascontiguousarray(own))
        self.add_packed(image_id, pack(class_map, self.keep_maps), shape=class_map.shape, own_digest=digest)

    def check(self, image_id: str, class_map: npt.NDArray[np.uint8], stacked: bool = False) -> None:
        """Raise ValueError for a map of another shape or type. `stacked`: several may lie one below the other."""
        height, width = self._shape
        lines = len(class_map) if stacked and class_map.ndim and len(class_map) % max(height, 1) == 0 else height
        if class_map.shape != (lines, width) or class_map.dtype != np.uint8:
            raise ValueError(
                f"class map of {image_id}: {class_map.dtype} {class_map.shape}, expected uint8 {self._shape}"
            )

    def add_packed(self, image_id: str, packed: Packed, **of_entry: Any) -> None:
        """Add the result of `pack`. Raises ValueError for a kept map added twice."""
        key = key_of(image_id)
        if not self.keep_maps and self._digests.setdefault(image_id, packed.digest) != packed.digest:
            self.changed.add(image_id)
        if not self.keep_maps and key in self._keys:
            return
        if key in self._keys:
            raise ValueError(f"class map of {image_id} was added before")
        self._keys[key] = None
        if packed.frame is None:
            self._entries[image_id] = Entry(packed.digest, **of_entry)
        else:
            place = len(self._frames), len(packed.frame)
            self._entries[image_id] = Entry(packed.digest, digest_of(packed.frame), *place, **of_entry)
            self._frames += packed.frame
        if len(self._entries) == PART:
            self._write_part()

    def _write_part(self) -> None:
        self._archive.writestr(
            f"{self._parts}.json", json.dumps({name: entry.written() for name, entry in self._entries.items()})
        )
        self._archive.writestr(f"{self._parts}.zst", bytes(self._frames))
        self._parts += 1
        self._entries, self._frames = {}, bytearray()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            if self._entries:
                self._write_part()
            height, width = self._shape
            index = {"height": height, "width": width, "dtype": "uint8", "maps": self.keep_maps, "parts": self._parts}
            self._archive.writestr(KEYS, np.fromiter(self._keys, "<u8", len(self._keys)).tobytes())
            self._archive.writestr(INDEX, json.dumps(index))
        self._archive.close()
        self._target.__exit__(kind, error, trace)


class Predictions:
    """Read what a `PredictionsWriter` wrote. Every kind of damage is an InputError that names file and image."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, index: dict[str, Any], keys: bytes) -> None:
        self._path, self._archive = path, archive
        self.height, self.width, self.has_maps = int(index["height"]), int(index["width"]), bool(index["maps"])
        if index["dtype"] != "uint8" or not _is_size(self.height, self.width):
            raise ValueError(f"{index['dtype']!r} class maps of {self.height}×{self.width}")
        written = np.frombuffer(keys, "<u8")
        self._order = np.argsort(written)
        self._keys = written[self._order]
        self._parts = range(int(index["parts"]))
        self._part, self._entries, self._frames = -1, dict[str, Entry](), b""  # the part that was read last

    @classmethod
    def open(cls, path: str | Path) -> Predictions:
        """Open a predictions file. No class map is read yet."""
        path = Path(path)
        try:
            archive = zipfile.ZipFile(path)
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("a member is compressed, which could make a little fill the memory")
            return cls(path, archive, json.loads(archive.read(INDEX)), archive.read(KEYS))
        except FileNotFoundError:
            raise InputError(f"{path}: no such file") from None
        except DAMAGE as error:
            raise _damaged(path, error) from None

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def ids(self) -> Iterator[str]:
        """Yield the image ids in the order in which they were written."""
        for part in self._parts:
            yield from self._read(part)

    def digest(self, image_id: str) -> str:
        """Return the digest of an image's class map (hexadecimal)."""
        return self._entry(image_id).digest

    def own_digest(self, image_id: str) -> str:
        """Return the digest of the class map that the engine itself made of an image."""
        entry = self._entry(image_id)
        return entry.own_digest or entry.digest

    def shape(self, image_id: str) -> tuple[int, int]:
        """Return height and width of an image's class map."""
        return self._shape(self._entry(image_id))

    def _shape(self, entry: Entry) -> tuple[int, int]:
        if entry.shape is None:
            return self.height, self.width
        try:
            height, width = map(int, entry.shape)
            if not _is_size(height, width):
                raise ValueError(f"a class map of {height}×{width}")
        except DAMAGE as error:
            raise _damaged(self._path, error) from None
        return height, width

    def __contains__(self, image_id: str) -> bool:
        return self._find(image_id) is not None

    def __getitem__(self, image_id: str) -> npt.NDArray[np.uint8]:
        """Return the H×W class map of an image."""
        entry = self._entry(image_id)
        if not self.has_maps:
            raise InputError(f"{self._path}: has digests of class maps only; the accuracy pass keeps class maps")
        height, width = self._shape(entry)
        try:
            frame = self._frames[entry.start : entry.start + entry.size]
            if digest_of(frame) != entry.frame_digest:
                raise ValueError("not what was written")
            size = zstandard.get_frame_parameters(frame).content_size
            if size != height * width:
                raise ValueError(f"{size} bytes instead of {height}×{width}")
            data = zstandard.ZstdDecompressor().decompress(frame)
        except DAMAGE as error:
            raise InputError(
                f"{self._path}: class map of {image_id} is damaged ({error}); delete it and run again"
            ) from None
        return np.frombuffer(data, np.uint8).reshape(height, width)

    def _find(self, image_id: str) -> int | None:
        """Return the number of the part that has the image."""
        key = np.uint64(key_of(image_id))
        at = int(np.searchsorted(self._keys, key))
        return int(self._order[at]) // PART if at < len(self._keys) and self._keys[at] == key else None

    def _entry(self, image_id: str) -> Entry:
        part = self._find(image_id)
        if part is None:
            raise InputError(f"{self._path}: has no class map of {image_id}")
        entries = self._read(part)
        if image_id not in entries:
            raise _damaged(self._path, f"part {part} has no {image_id}")
        return entries[image_id]

    def _read(self, part: int) -> dict[str, Entry]:
        """Return the index of a part. Its frames are in memory then."""
        if part != self._part:
            try:
                found = json.loads(self._archive.read(f"{part}.json"))
                self._entries = {image_id: Entry(*entry) for image_id, entry in found.items()}
                self._frames = self._archive.read(f"{part}.zst")
                self._part = part
            except (*DAMAGE, AttributeError) as error:
                raise _damaged(self._path, error) from None
        return self._entries


def _is_size(height: int, width: int) -> bool:
    return min(height, width) >= 0 and height * width <= MAX_PIXELS


def _damaged(path: Path, why: object) -> InputError:
    return InputError(f"{path}: damaged ({why}); delete it and run again")


def class_map_of(shards: Sequence[Predictions], image_id: str) -> npt.NDArray[np.uint8]:
    """Return the H×W class map of an image from the shard that has it. If none has, the last shard raises the error."""
    return next((one for one in shards if image_id in one), shards[-1])[image_id]


def key_of(image_id: str) -> int:
    """Return 64 bits of an image id. They are all that is held of every image."""
    return int.from_bytes(hashlib.blake2b(image_id.encode(), digest_size=8).digest(), "little")


def digest_of(data: Any) -> str:
    """Return the 128-bit BLAKE2b of a buffer's bytes, in hexadecimal."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()
