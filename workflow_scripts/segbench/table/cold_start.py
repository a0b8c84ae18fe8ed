"""Summarise how long rows take from nothing to their first class map, by condition of the caches."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from segbench.table import formats
from segbench.table.cells import precision_of
from segbench.timing.conditions import COLD, IN_WORDS, WARM
from segbench.timing.intervals import Interval, interval_of_rounds

HEADER = [
    *("variant", "start", "framework s", "engine s", "first image s", "first mask s", "× warm", "images until steady"),
    "still cached",
]
Record = dict[str, Any]  # of time_starts.py


class Starts(NamedTuple):
    """The starts of a row in one condition. `over_warm` has the ratio of `first_mask_s` to the warm start of the same
    round, for each round.
    """

    model: str
    variant: str
    condition: str
    starts: list[Record]
    over_warm: list[float]

    def median(self, key: str) -> float:
        """Return the median over rounds."""
        return statistics.median(start[key] for start in self.starts)

    @property
    def is_unchecked(self) -> bool:
        """Whether it is not known of every cold start that its files were dropped."""
        return self.condition == COLD and any(start["still_cached"] is None for start in self.starts)

    @property
    def in_words(self) -> str:
        """Return the condition in words, with a mark where it is unchecked."""
        return IN_WORDS[self.condition] + (", unchecked" if self.is_unchecked else "")

    @property
    def interval(self) -> Interval:
        """Return the interval of `first_mask_s`, as the table has it of a time."""
        return interval_of_rounds([start["first_mask_s"] for start in self.starts])


def starts_of(model: str, record: Record) -> list[Starts]:
    """Return the starts of a row by condition; none where it could not run."""
    if record["status"] != "ok":
        return []
    by: dict[str, dict[int, Record]] = {}
    for start in record["starts"]:
        by.setdefault(start["condition"], {})[start["round"]] = start
    warm, found = by[WARM], list[Starts]()
    for condition in (name for name in IN_WORDS if name in by):
        ratios = [start["first_mask_s"] / warm[number]["first_mask_s"] for number, start in by[condition].items()]
        found.append(Starts(model, record["variant"]["name"], condition, list(by[condition].values()), ratios))
    return found


def cells(starts: Starts) -> list[str]:
    """Return the cells of one condition of a row, in the columns of `HEADER`."""
    cached, framework = ([one[key] for one in starts.starts] for key in ("still_cached", "framework_s"))
    ratio = ""
    if starts.condition != WARM:
        of_ratio = interval_of_rounds(starts.over_warm)
        width = precision_of(of_ratio.half_width, of_ratio.low, of_ratio.high)
        ratio = f"{statistics.median(starts.over_warm):.2f} {width}"
    return [
        starts.variant,
        starts.in_words,
        formats.seconds(None if None in framework else statistics.median(framework)),
        formats.seconds(statistics.median(one["open_s"] - (one["framework_s"] or 0.0) for one in starts.starts)),
        formats.seconds(starts.median("first_image_s")),
        first_mask(starts),
        ratio,
        _until_steady(starts),
        "" if None in cached else formats.percent(statistics.median(cached)),
    ]


def first_mask(starts: Starts) -> str:
    """Write the median of `first_mask_s` with its interval."""
    half, (low, high, _) = starts.interval.half_width, starts.interval
    return f"{formats.seconds(starts.median('first_mask_s'), half)} {precision_of(half, low, high)}"


def _until_steady(starts: Starts) -> str:
    """Write the median number of images until the times were steady; with a sign where any start had not become it."""
    runs = statistics.median(start["warm_up_runs"] for start in starts.starts)
    settled = all(start["warm_up_settled"] for start in starts.starts)
    return f"{runs:g}" if settled else f"> {runs:g}"


def sentence(model: str, found: Sequence[Starts]) -> str:
    """Say which variant of a model gives the first class map soonest, warm and cold, and which cannot be told from it.

    Empty where there is no start.
    """
    said = []
    for condition in (WARM, COLD):
        of = sorted((one for one in found if one.condition == condition), key=lambda one: one.median("first_mask_s"))
        if of:
            best, *others = of
            highest = best.interval.high
            near = [one.variant for one in others if highest is None or (one.interval.low or 0.0) <= highest]
            among = f" (not told apart from it: {', '.join(near)})" if near else ""
            said.append(f"{best.in_words}, {best.variant}, after {first_mask(best)} s{among}")
    return f"The first class map of {model} comes soonest from: {'; '.join(said)}." if said else ""


def missing(records: Sequence[Record]) -> list[str]:
    """Return a line for each row that could not run, or whose cold start is missing or unchecked."""
    lines = []
    for record in records:
        name = record["variant"]["name"]
        if record["status"] != "ok":
            lines.append(f"{name}: {record['status']}: {record['reason']}")
        elif record["cold_reason"]:
            lines.append(f"{name}: no cold start: {record['cold_reason']}")
        elif record.get("unchecked_reason"):  # older records have none
            lines.append(f"{name}: cold start unchecked: {record['unchecked_reason']}")
    return lines
