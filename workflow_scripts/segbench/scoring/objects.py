"""Objects that the reference finds and a variant does not, and the other way round.

An object is a connected component (8-connected) of a class in the label. It is found where at least a share of its
pixels is predicted as its class, and lost where the reference finds it and a variant has less than another share. Two
people who touch in the label are one object, and a person behind a pole is two.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

from segbench.arrays import ClassMap, LabelMap
from segbench.errors import InputError
from segbench.scoring.confusion import classes_of_outputs

SIZES = ("small", "medium", "large")
KEPT = 12  # lost objects of a row that are kept to be shown


@dataclass(frozen=True)
class ObjectSettings:
    """The name of each trainId whose objects count, their least size in pixels, the share of its pixels from which an
    object is found, the share below which it is lost, and the pixels from which it is medium and large.
    """

    classes: Mapping[int, str]
    min_pixels: int
    found: float
    lost_below: float
    sizes: Sequence[int]

    @classmethod
    def of(cls, entry: Mapping[str, Any], classes: Sequence[str]) -> ObjectSettings:
        """Read the `objects` of a data set's entry. Raises InputError for a class that the data set lacks."""
        for name in entry["classes"]:
            if name not in classes:
                raise InputError(f"objects.classes: the data set has no class {name!r}; it has {', '.join(classes)}")
        named = {classes.index(name): name for name in entry["classes"]}
        lost_below = entry["lost_below"] or entry["found"]
        return cls(named, entry["min_pixels"], entry["found"], lost_below, entry["sizes"])

    def size(self, pixels: int) -> str:
        """Return whether an object is small, medium or large."""
        return SIZES[sum(pixels >= bound for bound in self.sizes)]


class ObjectCounts(TypedDict):
    """Numbers of objects: labelled, found by the reference, found by the variant, found by the reference and missed by
    the variant (lost), and the other way round (gained).
    """

    labelled: int
    reference: int
    own: int
    lost: int
    gained: int


ByClass = dict[str, dict[str, ObjectCounts]]  # by class and size


class LostObject(NamedTuple):
    """An object that the reference finds and the variant misses: where it is, and the share that each of them hits.

    `box` is x, y, width and height in pixels of the label.
    """

    image_id: str
    name: str
    pixels: int
    box: list[int]
    reference: float
    own: float


class Seen(NamedTuple):
    """An object of a label: its class, pixels and box, and how many of its pixels have its class in either map."""

    name: str
    pixels: int
    box: list[int]
    reference: int
    own: int


@dataclass
class Objects:
    """Counts the objects of a data set's labels, image by image. `class_map` is the model's: see `confusion.fold`.

    `counts` is None as long as there is no image.
    """

    settings: ObjectSettings
    class_count: int
    class_map: Any = None
    counts: ByClass | None = None
    lost: list[LostObject] = field(default_factory=list)

    def seen(self, label: LabelMap, reference: ClassMap, own: ClassMap) -> list[Seen]:
        """Return the objects of an H×W label of trainIds, and what two raw class maps of its size have there.

        They are made of runs: pixels of a row, one behind the other, that are alike in all three maps.
        """
        counted = np.isin(np.arange(256), list(self.settings.classes))
        of_outputs = classes_of_outputs(self.class_count, self.class_map)
        width, maps = label.shape[1], [one.ravel() for one in (label, reference, own)]
        ends = np.zeros(label.shape, np.bool_)
        ends[:, -1] = True
        for one in maps:
            ends.ravel()[:-1] |= one[1:] != one[:-1]
        last = np.flatnonzero(ends)
        first = np.append(0, last[:-1] + 1)
        kept = counted[maps[0][last]]
        first, last = first[kept], last[kept]
        train_ids, lengths = maps[0][last], last - first + 1
        roots, part = components(first, last, train_ids, width)
        sizes = np.bincount(part, lengths)
        hits = [np.bincount(part, lengths * (of_outputs[one[last]] == train_ids)) for one in maps[1:]]
        (top, left), (bottom, right) = (np.divmod(of[roots], width) for of in (first, last))
        np.maximum.at(bottom, part, last // width)
        np.minimum.at(left, part, first % width)
        np.maximum.at(right, part, last % width)
        boxes = np.stack([left, top, right - left + 1, bottom - top + 1], 1)
        large = np.flatnonzero(sizes >= self.settings.min_pixels)
        names = (self.settings.classes[train_id] for train_id in train_ids[roots[large]].tolist())
        numbers = (of[large].astype(int).tolist() for of in (sizes, boxes, *hits))
        return list(itertools.starmap(Seen, zip(names, *numbers, strict=True)))

    def add(self, image_id: str, seen: Iterable[Seen]) -> None:
        """Add the objects of an image."""
        if self.counts is None:
            of_none: Any = {size: dict.fromkeys(ObjectCounts.__annotations__, 0) for size in SIZES}
            self.counts = {name: copy.deepcopy(of_none) for name in self.settings.classes.values()}
        for one in seen:
            of, needed = self.counts[one.name][self.settings.size(one.pixels)], self.settings.found * one.pixels
            least = self.settings.lost_below * one.pixels
            reference, own = one.reference >= needed, one.own >= needed
            lost, gained = reference and one.own < least, own and one.reference < least
            of["labelled"] += 1
            of["reference"] += reference
            of["own"] += own
            of["lost"] += lost
            of["gained"] += gained
            if lost:
                of_reference, of_own = one.reference / one.pixels, one.own / one.pixels
                self.lost.append(LostObject(image_id, one.name, one.pixels, one.box, of_reference, of_own))
        self.lost = worst(self.lost)


def components(
    first: npt.NDArray[np.intp], last: npt.NDArray[np.intp], values: npt.NDArray[np.uint8], width: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the first run of each component, ascending, and the number of the component of each run, from 0 on.
    Components are 8-connected.

    A run has one value from its first pixel to its last. They are places in a map of this `width`, line by line, and
    ascend. A run ends with its line at the latest.
    """
    count = len(first)
    start, end = (places + places // width * 2 for places in (first, last))  # two more columns part the lines
    low = np.searchsorted(end, start + width + 1)  # the first run of the next line that touches the run or lies behind
    high = np.searchsorted(start, end + width + 3, "right")
    touched = high - low
    one = np.repeat(np.arange(count), touched)
    other = np.arange(len(one)) + np.repeat(low - np.cumsum(touched) + touched, touched)
    beside = np.flatnonzero(end[:-1] + 1 == start[1:])
    one, other = np.append(one, beside), np.append(other, beside + 1)
    same = values[one] == values[other]
    one, other = one[same], other[same]
    root = np.arange(count)
    while (apart := root[one] != root[other]).any():
        one, other = one[apart], other[apart]
        pair = root[one], root[other]
        np.minimum.at(root, np.maximum(*pair), np.minimum(*pair))
        while ((nearer := root[root]) != root).any():
            root = nearer
    roots, part = np.unique(root, return_inverse=True)
    return roots, part


def worst(lost: Iterable[LostObject]) -> list[LostObject]:
    """Return the lost objects that cost most pixels, at most KEPT."""
    return sorted(lost, key=lambda one: (one.pixels * (one.own - one.reference), one.image_id, one.box))[:KEPT]


def added(parts: Iterable[ByClass]) -> ByClass | None:
    """Return the sum of counts of the same classes; None of none."""
    whole: Any = None
    for part in parts:
        if whole is None:
            whole = copy.deepcopy(part)
            continue
        for name, size in itertools.product(part, SIZES):
            for key, number in part[name][size].items():
                whole[name][size][key] += number
    return whole


def by_class(counts: ByClass, key: str) -> dict[str, int]:
    """Return one of the numbers for each class, over all sizes."""
    return {name: sum(sizes[size][key] for size in SIZES) for name, sizes in counts.items()}  # type: ignore[literal-required]
