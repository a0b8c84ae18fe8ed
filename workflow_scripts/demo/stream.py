"""Random integers: the same on every machine, and of a stream of its own for every image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")


class Stream:
    """Numbers drawn from the raw words of PCG64, whose stream NumPy promises never to change (its `.integers` may)."""

    def __init__(self, *key: int) -> None:
        self._source = np.random.PCG64(np.random.SeedSequence(key))
        self._words: list[int] = []

    def _word(self) -> int:
        """32 random bits. Taken in bulk: one call for each would cost more than the drawing."""
        if not self._words:
            self._words = (self._source.random_raw(1024) >> np.uint64(32)).tolist()
        return self._words.pop()

    def between(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + (self._word() * (high - low + 1) >> 32)

    def chance(self, percent: int) -> bool:
        """True in `percent` of 100 cases."""
        return self._word() * 100 >> 32 < percent

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, each as likely as any other."""
        return options[self._word() * len(options) >> 32]

    def array(self, low: int, high: int, *shape: int) -> npt.NDArray[np.int64]:
        """Whole numbers from `low` to `high`, both included, int64 of `shape`."""
        words = self._source.random_raw(int(np.prod(shape))) >> np.uint64(32)
        return (low + (words * np.uint64(high - low + 1) >> np.uint64(32)).astype(np.int64)).reshape(shape)

    def noise(self, *shape: int) -> npt.NDArray[np.uint8]:
        """Uniform bytes, uint8 of `shape`."""
        count = int(np.prod(shape))
        return self._source.random_raw((count + 7) // 8).view(np.uint8)[:count].reshape(shape)
