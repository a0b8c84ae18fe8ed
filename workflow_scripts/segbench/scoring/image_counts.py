"""Keep what the IoU of each image is made of, small enough for a score.json: the bootstrap's material."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from segbench.scoring.confusion import Matrix

MAX_ROWS = 4096  # some 2 MB with 19 classes, and enough for any interval


class Packed(TypedDict):
    """The counts as score.json has them. Both arrays are little-endian, compressed by zlib, in base64."""

    images: int
    keys: str  # uint64, ascending
    counts: str  # int64, 3×K for each key


@dataclass
class ImageCounts:
    """Counts 3×K, as `iou_counts` makes them, by the key of the image (`predictions.key_of`).

    Of more images than `MAX_ROWS`, those with equal remainders of their keys share a row, and the bootstrap draws such
    groups. Which images share a row depends on the set of images alone, so shards add up to the whole.
    """

    images: int = 0
    rows: dict[int, Matrix] = field(default_factory=dict)

    def add(self, key: int, counts: Matrix) -> None:
        """Add an image."""
        self.images += 1
        if self.images == MAX_ROWS + 1:
            before, self.rows = self.rows, {}
            for image, of_image in before.items():
                self._put(image, of_image)
        self._put(key, counts)

    def _put(self, key: int, counts: Matrix) -> None:
        row = key % MAX_ROWS if self.images > MAX_ROWS else key
        self.rows[row] = self.rows[row] + counts if row in self.rows else counts

    def arrays(self) -> tuple[npt.NDArray[np.uint64], Matrix]:
        """Return the keys, ascending, and their counts N×3×K. There must be an image."""
        keys = sorted(self.rows)
        return np.array(keys, np.uint64), np.stack([self.rows[key] for key in keys])

    def total(self) -> Matrix:
        """Return the counts 3×K of all images. There must be an image."""
        return np.sum(list(self.rows.values()), axis=0, dtype=np.int64)

    def packed(self) -> Packed | None:
        """Return what score.json holds; None without images."""
        if not self.rows:
            return None
        keys, counts = self.arrays()
        return {"images": self.images, "keys": _text(keys), "counts": _text(counts)}

    @classmethod
    def unpacked(cls, packed: Packed) -> ImageCounts:
        """Read what `packed` returned."""
        keys = np.frombuffer(_bytes(packed["keys"]), "<u8")
        counts = np.frombuffer(_bytes(packed["counts"]), "<i8").reshape(len(keys), 3, -1)
        return cls(packed["images"], dict(zip(keys.tolist(), counts, strict=True)))

    @classmethod
    def merged(cls, parts: Iterable[ImageCounts]) -> ImageCounts:
        """Return the counts of all images of `parts`, no two of which have an image in common."""
        parts = list(parts)
        whole = cls(sum(part.images for part in parts))
        for part in parts:
            for key, counts in part.rows.items():
                whole._put(key, counts)
        return whole


def _text(array: npt.NDArray[np.integer]) -> str:
    little = array.astype(array.dtype.newbyteorder("<"))
    return base64.b64encode(zlib.compress(little.tobytes())).decode()


def _bytes(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))
