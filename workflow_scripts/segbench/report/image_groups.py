"""Say whether a variant loses more on dark images than on bright ones, or on small ones than on large ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from segbench.files import read_json
from segbench.images.index import index_rows
from segbench.report.derived import Facts
from segbench.report.worst_images import compared_counts, index_of
from segbench.scoring import bootstrap
from segbench.scoring.predictions import key_of
from segbench.table.formats import change, span_of_change

COUNT = 3  # groups
KINDS = {"brightness": ("luma", "darkest", "brightest"), "size": ("megapixels", "smallest", "largest")}


class ImageGroups(NamedTuple):
    """What rows lose on images that are dealt into groups by a kind of `KINDS`. Without cells, `said` says why."""

    kind: str
    said: str
    header: Sequence[str] = ()
    cells: Sequence[tuple[str, list[str]]] = ()  # with the row's id


class Change(NamedTuple):
    """A change of mIoU, or a difference of two. NaN and None: nothing is labelled there."""

    value: float
    interval: bootstrap.Interval | None

    def __str__(self) -> str:
        return f"{change(self.value)} ({span_of_change(*self.interval)})" if self.interval else ""


def image_groups(results: Path, rows: list[Facts]) -> list[ImageGroups]:
    """Return what each row that is compared with its reference loses, by brightness and by size of the images.

    Empty where score.json has the images of no such row.
    """
    compared = list(compared_counts(results, rows))
    if not compared:
        return []
    keys = compared[0][1].arrays()[0].tolist()  # of all rows, since all are scored on the same images
    counts = [(row, np.stack([own.arrays()[1], other.arrays()[1]], 1)) for row, own, other in compared]
    index = index_of(results, compared[0][0])
    record = read_json(index.with_name("brightness.json"))
    luma = {key_of(name): value for name, value in record["luma"].items()}
    pixels = {key_of(one["image_id"]): int(one["height"]) * int(one["width"]) / 1e6 for one in index_rows(index)}
    unknown = ImageGroups("brightness", f"it is not known ({record['reason']}).")
    return [_of_kind("brightness", luma, keys, counts) if luma else unknown, _of_kind("size", pixels, keys, counts)]


def dealt(values: npt.NDArray[np.float64]) -> list[npt.NDArray[np.intp]]:
    """Return the places of the values in three groups, by rising value. Equal values stay together; up to three
    different ones are a group each.
    """
    different, ordered = np.unique(values), np.sort(values)
    ends = different
    if len(different) > COUNT:
        ends = np.unique(ordered[[-(-len(values) * part // COUNT) - 1 for part in range(1, COUNT + 1)]])
    if len(ends) == 1 < len(different):  # most have the highest value: the others are a group
        ends = different[-2:]
    group = np.searchsorted(ends, values)
    return [np.flatnonzero(group == number) for number in range(len(ends))]


def _of_kind(
    kind: str, values: Mapping[int, float], keys: list[int], compared: list[tuple[Facts, bootstrap.Counts]]
) -> ImageGroups:
    """Compare the rows on groups of the images, by their values of that kind."""
    of_images, (unit, low, high) = np.array([values[key] for key in keys]), KINDS[kind]
    groups = dealt(of_images)
    if len(groups) == 1:
        return ImageGroups(kind, f"all images have one {kind}.")
    if (least := min(map(len, groups))) < bootstrap.MIN_IMAGES:
        few = f"too few images to compare the {low} with the {high}: a group has {least} of {len(keys)}"
        return ImageGroups(kind, f"{few}, and an interval needs {bootstrap.MIN_IMAGES}.")
    cells = []
    for row, counts in compared:
        found = changes(counts, groups)
        first, last = (round(bound, 4) for bound in found[-1].interval or (0, 0))  # what is not seen is not claimed
        worse = low if last < 0 else high if first > 0 else ""
        cells.append((row["id"], [row["label"], worse, str(found[-1]), *map(str, found[:-1])]))
    ends = [sum(line[1] == end for _, line in cells) for end in (low, high)]
    said = f"{ends[0]} of {len(cells)} rows shown to lose more on the {low} images than on the {high}"
    names = [low, "middle", high] if len(groups) == COUNT else [low, high]
    parts = zip(names, map(of_images.__getitem__, groups), strict=True)
    dealt_so = ", ".join(f"{name} {len(part)} ({_span(part)})" for name, part in parts)
    said += f"; {ends[1]} the other way round. Images by {unit}: {dealt_so}."
    header = ["model and variant", "worse on", f"{low} minus {high}", *names]
    return ImageGroups(kind, said, header, cells)


def _span(values: npt.NDArray[np.float64]) -> str:
    return "–".join(dict.fromkeys(f"{value:.3g}" for value in (values.min(), values.max())))


def changes(counts: bootstrap.Counts, groups: list[npt.NDArray[np.intp]]) -> list[Change]:
    """Return the change of mIoU in each group, from counts N×2×3×K, and last that of the first minus that of the last.

    The counts are the row's and the reference's. No image is in two groups, so each has draws of its own.
    """
    found, drawn = [], []
    for seed, group in enumerate(groups):
        drawn.append(bootstrap.resampled(counts[group], bootstrap.mean_iou_change, seed))
        found.append(_change(float(bootstrap.mean_iou_change(counts[group].sum(0))), drawn[-1], len(group)))
    apart = None if drawn[0] is None or drawn[-1] is None else drawn[0] - drawn[-1]
    return [*found, _change(found[0].value - found[-1].value, apart, min(len(groups[0]), len(groups[-1])))]


def _change(value: float, draws: bootstrap.Values | None, count: int) -> Change:
    return Change(value, None if draws is None else bootstrap.interval_of(draws, count))
