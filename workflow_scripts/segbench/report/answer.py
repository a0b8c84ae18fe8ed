"""Answer which variant to ship, claiming no difference that was not shown.

All rules of the answer stand here. The page's script only shows what was computed here: an answer for every accepted
loss at which it changes.

A row is eligible where nothing speaks against its figures (`table.distrust`). One row is faster than another where the
interval of the ratio of their times (`table.verdict.row_ratio`) lies below 1. "The fastest" is therefore a set: the
rows than which none is faster. So is "the best".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from segbench.report.paired_miou import PairedMiou
from segbench.scoring.bootstrap import Interval
from segbench.table import distrust, formats
from segbench.table.row import Row, is_single, value
from segbench.table.verdict import Ratio, row_ratio

ACCEPTED_LOSS = 0.01  # of mIoU; the report begins with it, and its reader can change it


class Measure(NamedTuple):
    """The column that accuracy is judged by, and its name in the report."""

    key: str
    name: str
    note: str


MIOU = Measure("miou", "mIoU", "")
AGREEMENT = Measure(
    "pixel_agreement",
    "agreement",
    "No mIoU was measured (no labels, or random weights): variants are judged by the share of pixels at which they"
    " agree with their own model's reference. That says what a variant changes, not which model is right.",
)
NO_MEASURE = Measure(
    "", "accuracy", "Neither mIoU nor agreement was measured: the fastest is the fastest, whatever it computes."
)


def measure_of(rows: Sequence[Mapping[str, object]]) -> Measure:
    """Choose mIoU where any row has it, else the agreement with the reference, else nothing."""
    return next((m for m in (MIOU, AGREEMENT) if any(value(row, m.key) is not None for row in rows)), NO_MEASURE)


class But(NamedTuple):
    """A row that would be faster than the answer, and why it is not the answer."""

    row: Row
    reasons: list[str]


class Step(NamedTuple):
    """The answer from an accepted loss on.

    `fastest` are the eligible rows within that loss of the best one than which none is faster. The one with the
    smallest time comes first. `but` are rows within that loss that are not eligible, and have a smaller time.
    """

    loss: float
    fastest: list[Row]
    but: list[But]


class Claims:
    """What can be claimed of the rows of one table.

    `measure` is what accuracy is judged by. `first` is the hardware that rows have to be measured on.
    """

    def __init__(self, rows: list[Row], paired_miou: PairedMiou) -> None:
        self.rows, self.measure, self._paired_miou = rows, measure_of(rows), paired_miou
        self.first = distrust.first_hardware(rows)
        self._ratios: dict[tuple[int, int], Ratio | None] = {}

    def reasons(self, row: Row) -> list[str]:
        """Return why a row is not eligible; empty where it is."""
        if row["status"] != "ok":
            return [f"{row['status']}: {row['reason']}"]
        if row["time_s"] is None:
            return ["no image was timed"]
        if not is_single(row):
            return ["it does not run one image after the other (see Throughput)"]
        found = distrust.sentences(row, self.first)
        return [*found, f"its {self.measure.name} is not known"] if self.value(row) is None else found

    def value(self, row: Row) -> float | None:
        """Return the row's accuracy; 0 for all rows where none was measured."""
        return value(row, self.measure.key) if self.measure.key else 0.0

    def eligible(self, rows: list[Row] | None = None) -> list[Row]:
        """Return the rows that nothing speaks against, of `rows` or of all, by rising time."""
        found = (row for row in (self.rows if rows is None else rows) if not self.reasons(row))
        return sorted(found, key=lambda row: row["time_s"])

    def ratio(self, judged: Row, other: Row) -> Ratio | None:
        """Return the ratio of two rows' times."""
        key = id(judged), id(other)
        if key not in self._ratios:
            self._ratios[key] = row_ratio(judged, other)
        return self._ratios[key]

    def faster(self, row: Row, other: Row) -> bool:
        """Return whether `row` was shown to be faster than `other`."""
        ratio = self.ratio(row, other)
        return ratio is not None and ratio.high is not None and ratio.high < 1

    def change(self, row: Row, other: Row) -> Interval | None:
        """Return the 95% interval of how much higher the row's mIoU is, paired over images; None: not known."""
        return self._paired_miou.change(row, other)

    def better(self, row: Row, other: Row) -> bool:
        """Return whether `row` was shown to be more accurate than `other`.

        For mIoU the images are a sample: the 95% interval of the difference, paired over images, has to lie above 0. An
        agreement is a fact of the images that were compared.
        """
        if self.measure == MIOU:
            change = self.change(row, other)
            return change is not None and change.low > 0
        return (self.value(row) or 0.0) > (self.value(other) or 0.0)

    def best(self, rows: list[Row] | None = None) -> list[Row]:
        """Return the eligible rows than which none is more accurate, that with the highest figure first."""
        ordered = sorted(self.eligible(rows), key=lambda row: -(self.value(row) or 0.0))
        return unbeaten(ordered, self.better)

    def front(self) -> list[Row]:
        """Return the Pareto front of the eligible rows, fastest first: those that no other row beats.

        A row beats another where it is faster and the other is not more accurate, or more accurate and the other is
        not faster.
        """

        def beats(row: Row, other: Row) -> bool:
            faster, better = self.faster(row, other), self.better(row, other)
            return (faster and not self.better(other, row)) or (better and not self.faster(other, row))

        return unbeaten(self.eligible(), beats)

    def below(self, row: Row, best: float) -> float | None:
        """Return how far a row's accuracy lies below the best, rounded up to 4 decimals: the loss that accepts it."""
        value = self.value(row)
        return None if value is None else max(0.0, math.ceil(round((best - value) * 1e4, 6)) / 1e4)

    def steps(self, rows: list[Row] | None = None) -> list[Step]:
        """Return the answers for `rows`, or for all, by rising accepted loss. Empty where no row is eligible."""
        rows = self.rows if rows is None else rows
        eligible = self.eligible(rows)
        if not eligible:
            return []
        best = max(self.value(row) or 0.0 for row in eligible)
        losses = {id(row): self.below(row, best) for row in rows}
        alone = [row for row in rows if row["time_s"] and is_single(row)]
        others = sorted((row for row in alone if self.reasons(row)), key=lambda row: row["time_s"])
        found: list[Step] = []
        for loss in sorted({loss for loss in losses.values() if loss is not None}):
            accepted = {place for place, own in losses.items() if own is None or own <= loss}
            within = [row for row in eligible if id(row) in accepted]
            fastest = unbeaten(within, self.faster)
            but = [
                But(row, self.reasons(row))
                for row in others
                if id(row) in accepted and row["time_s"] < fastest[0]["time_s"]
            ]
            if not found or (fastest, but) != (found[-1].fastest, found[-1].but):
                found.append(Step(loss, fastest, but))
        return found


def unbeaten(rows: list[Row], beats: Callable[[Row, Row], bool]) -> list[Row]:
    """Return those of `rows` that none of them beats, in their order: all, should they beat each other in a circle."""
    return [row for row in rows if not any(beats(other, row) for other in rows if other is not row)] or rows


def step_at(steps: list[Step], loss: float) -> Step:
    """Return the answer at an accepted loss: the last that begins at or below it."""
    return [step for step in steps if step.loss <= loss][-1]


class Speed(NamedTuple):
    """How many times faster a row is than another, with the 95% interval of that ratio. None: too few rounds.

    `marks` are those of the other row's time cell.
    """

    over: Row
    value: float
    low: float | None
    high: float | None
    marks: str

    def __str__(self) -> str:
        interval = formats.bounds(self.low, self.high)
        return " ".join(filter(None, (f"{formats.ratio(self.value)}×", interval and f"({interval})", self.marks)))


def speed_up(row: Row, over: Row | None, claims: Claims) -> Speed | None:
    """Return the time of `over` over the row's; None where either was not timed, or both are one row."""
    ratio = claims.ratio(over, row) if over is not None and over is not row else None
    if over is None or ratio is None:
        return None
    return Speed(over, ratio.value, ratio.low, ratio.high, distrust.marks(over, claims.first))


def native_of(rows: list[Row]) -> Row | None:
    """Return the row that a model's speed-ups are over: the unaccelerated one in FP32, else the reference's."""
    timed = [row for row in rows if row["time_s"]]
    plain = (row for row in timed if not row["accelerated"] and row["precision"] == "fp32")
    return next(plain, None) or next((row for row in timed if row["variant"] == row["reference"]), None)


def fastest_fp32_elsewhere(row: Row, rows: Iterable[Row]) -> Row | None:
    """Return the FP32 row with the smallest time of another engine than the row's, among `rows` of its model."""
    others = (one for one in rows if one["precision"] == "fp32" and one["engine"] != row["engine"])
    return min(others, key=lambda one: one["time_s"], default=None)


def own_fp32(row: Row, rows: Iterable[Row]) -> Row | None:
    """Return the FP32 row of the row's own engine, among `rows` of its model; None for a row in FP32."""
    if row["precision"] == "fp32":
        return None
    own = (one for one in rows if one["precision"] == "fp32" and one["engine"] == row["engine"])
    return min(own, key=lambda one: one["time_s"], default=None)


def no_answer(claims: Claims) -> list[tuple[str, str, list[Row]]]:
    """Return why no row is eligible: what speaks against rows, the cure, and the rows."""
    found = []
    for mark, reason in distrust.REASONS.items():
        rows = [row for row in claims.rows if mark in distrust.marks(row, claims.first)]
        if rows:
            found.append((reason.name, reason.cure, rows))
    rest = {
        ("not timed", "The reasons stand under “Rows that could not run”"): lambda row: row["time_s"] is None,
        (f"{claims.measure.name} not known", "Score it too"): lambda row: row["time_s"] and claims.value(row) is None,
    }
    for (name, cure), holds in rest.items():
        if rows := [row for row in claims.rows if holds(row)]:
            found.append((name, cure, rows))
    return found
