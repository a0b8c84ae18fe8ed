"""Derive what the report says of rows beyond table.csv: native row, speed-up, loss, Pareto front, the answer.

A row is a dict as `table.rows.read_rows` makes it. The report's own keys are `id`, `label`, `native`, `speed_up`,
`speed_up_low`, `speed_up_high`, `front`. Nothing here is rounded.
"""

from __future__ import annotations

import unicodedata
from typing import Any, NamedTuple

from segbench.table.row import Row
from segbench.timing import flags

Facts = dict[str, Any]  # a `Row` with the report's own keys; code asks for its keys by variable names
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


def measure_of(rows: list[Facts]) -> Measure:
    """Choose mIoU where any row has it, else the agreement with the reference, else nothing."""
    return next((m for m in (MIOU, AGREEMENT) if any(row[m.key] is not None for row in rows)), NO_MEASURE)


def with_facts(of_table: list[Row]) -> list[Facts]:
    """Return copies of the table's rows with the report's own keys, in their order."""
    rows: list[Facts] = [{**row} for row in of_table]
    titles = {row["model"]: row["title"] for row in rows}
    doubled = [title for title in titles.values() if list(titles.values()).count(title) > 1]
    natives = {model: native_of([row for row in rows if row["model"] == model]) for model in _models(rows)}
    front = {id(row) for row in pareto_front(rows, measure_of(rows).key)}
    for number, row in enumerate(rows):
        name = isolated(row["model"] if row["title"] in doubled else row["title"])
        native = natives[row["model"]]
        row |= {"id": f"r{number}", "label": f"{name} · {row['variant']}"}
        row |= {"native": native is row, "front": id(row) in front, **speed_up(row, native)}
    return rows


def isolated(name: str) -> str:
    """Isolate `name`, so that marks of writing direction in it do not affect what follows (Unicode's FSI … PDI)."""
    turns = any(unicodedata.bidirectional(c) in {"LRE", "RLE", "LRO", "RLO", "LRI", "RLI", "FSI"} for c in name)
    return f"\u2068{name}\u2069" if turns else name


def native_of(rows: list[Facts]) -> Facts | None:
    """Return the row that a model's speed-ups are over: the unaccelerated one in FP32, else the reference's."""
    timed = [row for row in rows if row["time_s"]]
    plain = (row for row in timed if not row["accelerated"] and row["precision"] == "fp32")
    return next(plain, None) or next((row for row in timed if row["variant"] == row["reference"]), None)


def speed_up(row: Facts, native: Facts | None) -> dict[str, float | None]:
    """Return native time over row time, with bounds from the opposite ends of both 95% intervals where both have
    one.
    """
    found: dict[str, float | None] = dict.fromkeys(("speed_up", "speed_up_low", "speed_up_high"))
    if native is None or not row["time_s"]:
        return found
    found["speed_up"] = native["time_s"] / row["time_s"]
    if native is not row and row["time_s_low"] and native["time_s_low"]:
        found["speed_up_low"] = native["time_s_low"] / row["time_s_high"]
        found["speed_up_high"] = native["time_s_high"] / row["time_s_low"]
    return found


def pareto_front(rows: list[Facts], key: str) -> list[Facts]:
    """Return the rows that no other is both faster and better than, fastest first. Rows need a time and `key`."""
    front: list[Facts] = []
    known = [row for row in rows if key and row["time_s"] and row[key] is not None]
    for row in sorted(known, key=lambda r: (r["time_s"], -r[key])):
        if not front or row[key] > front[-1][key]:
            front.append(row)
    return front


def fastest_within(rows: list[Facts], key: str, loss: float) -> Facts | None:
    """Return the fastest row whose `key` is at most `loss` below the best one's. Without a key, return the fastest
    of all.
    """
    timed = [row for row in rows if row["time_s"] and (not key or row[key] is not None)]
    if not timed:
        return None
    best = max(row[key] for row in timed) if key else 0
    # 1e-12, since 0.61 - 0.60 is a little more than 0.01 in floating point.
    return min((r for r in timed if not key or best - r[key] <= loss + 1e-12), key=lambda r: r["time_s"])


def best_of(rows: list[Facts], key: str) -> Facts | None:
    """Return the row with the highest `key`, or the fastest of equal ones."""
    timed = [row for row in rows if key and row["time_s"] and row[key] is not None]
    return max(timed, key=lambda row: (row[key], -row["time_s"]), default=None)


def warnings_of(row: Facts) -> list[str]:
    """Return the reasons to distrust a row's figures, one sentence each."""
    if row["status"] != "ok":
        return []
    found = [*filter(None, row["warnings"].split(flags.SEPARATOR)), *flags.sentences_of(row)]
    if row["time_s"] is None:
        return [*found, "no image was timed"]
    if row["time_s_low"] is None:
        found.append("fewer than three rounds: no interval")
    missing = [name for name in ("p90", "p99") if row[f"{name}_s"] is None]
    return [*found, f"too few samples for {' and '.join(missing)}"] if missing else found


def warnings(rows: list[Facts]) -> list[tuple[str, list[Facts]]]:
    """Return every warning with its rows. Warnings of fewest rows come first, since they say most."""
    found: dict[str, list[Facts]] = {}
    for row in rows:
        for warning in warnings_of(row):
            found.setdefault(warning, []).append(row)
    return sorted(found.items(), key=lambda pair: len(pair[1]))


def _models(rows: list[Facts]) -> list[str]:
    return list(dict.fromkeys(row["model"] for row in rows))
