"""Derive what the report says of rows beyond table.csv: labels, speed-ups, the Pareto front, warnings.

A row is a dict as `table.rows.read_rows` makes it. The report's own keys are `id`, `label`, `native`, `eligible`,
`front`, `speed_up`, `over_other` and `over_fp32` (each a `Speed` or None). Nothing here is rounded.
"""

from __future__ import annotations

import unicodedata
from typing import Any, cast

from segbench.report.answer import Claims, fastest_fp32_elsewhere, native_of, own_fp32, speed_up
from segbench.report.paired_miou import PairedMiou
from segbench.table.row import Row
from segbench.timing import flags

Facts = dict[str, Any]  # a `Row` with the report's own keys; code asks for its keys by variable names


def claims_of(of_table: list[Row], paired_miou: PairedMiou) -> tuple[list[Facts], Claims]:
    """Return copies of the table's rows with the report's own keys, in their order, and what can be claimed of them."""
    rows: list[Facts] = [{**row} for row in of_table]
    claims = Claims(cast(list[Row], rows), paired_miou)
    titles = {row["model"]: row["title"] for row in rows}
    doubled = [title for title in titles.values() if list(titles.values()).count(title) > 1]
    eligible, front = ({id(row) for row in found} for found in (claims.eligible(), claims.front()))
    for number, (row, as_row) in enumerate(zip(rows, claims.rows, strict=True)):
        name = isolated(row["model"] if row["title"] in doubled else row["title"])
        own = [one for one in claims.rows if one["model"] == row["model"]]
        native, good = native_of(own), claims.eligible(own)
        row |= {"id": f"r{number}", "label": f"{name} · {row['variant']}"}
        row |= {"native": native is row, "eligible": id(row) in eligible, "front": id(row) in front}
        row |= {
            "speed_up": speed_up(as_row, native, claims),
            "over_other": speed_up(as_row, fastest_fp32_elsewhere(as_row, good), claims),
            "over_fp32": speed_up(as_row, own_fp32(as_row, good), claims),
        }
    return rows, claims


def isolated(name: str) -> str:
    """Isolate `name`, so that marks of writing direction in it do not affect what follows (Unicode's FSI … PDI)."""
    turns = any(unicodedata.bidirectional(c) in {"LRE", "RLE", "LRO", "RLO", "LRI", "RLI", "FSI"} for c in name)
    return f"\u2068{name}\u2069" if turns else name


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
