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

import cv2
import numpy as np

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
        """Return the objects of an H×W label of trainIds, and what two raw class maps of its size have there."""
        outputs = classes_of_outputs(self.class_count, self.class_map)
        found = []
        for train_id, name in self.settings.classes.items():
            mask = (label == train_id).view(np.uint8)
            left, top, width, height = cv2.boundingRect(mask)
            if not width:
                continue
            around = np.s_[top : top + height, left : left + width]
            is_class = (outputs == train_id).view(np.uint8)
            _, parts, boxes, _ = cv2.connectedComponentsWithStats(mask[around], connectivity=8)
            for number, (x, y, w, h, pixels) in enumerate(boxes.tolist()):
                if number and pixels >= self.settings.min_pixels:  # 0 is the background
                    part = parts[y : y + h, x : x + w] == number
                    here = np.s_[top + y : top + y + h, left + x : left + x + w]
                    hits = [
                        np.count_nonzero(cv2.LUT(one[here], is_class).view(np.bool_) & part) for one in (reference, own)
                    ]
                    found.append(Seen(name, pixels, [left + x, top + y, w, h], *hits))
        return found

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
