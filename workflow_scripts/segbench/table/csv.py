"""Write table.csv and read it back, by the declaration of its columns."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, cast

from segbench.errors import InputError
from segbench.table.columns import COLUMNS, NAMES
from segbench.table.row import Row, value

# A comparison needs these columns. Other columns are read where a table has them.
NEEDED = (
    "dataset", "model", "variant", "status", "reason", "precision", "hardware_id", "miou", "pixel_agreement", "time_s",
)  # fmt: skip


def to_csv(rows: list[Row]) -> str:
    """Write `rows` as CSV: an empty cell for None, `true` and `false`, floats in full precision."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(NAMES)
    for row in rows:
        writer.writerow([_cell(value(row, name)) for name in NAMES])
    return stream.getvalue()


def _cell(figure: Any) -> Any:
    if isinstance(figure, bool):
        return "true" if figure else "false"
    if isinstance(figure, dict):
        return json.dumps(figure, ensure_ascii=False)
    return "" if figure is None else figure


def read_table(path: str | Path) -> list[Row]:
    """Read the rows of a table.csv: every column as its kind says, also where the table of another version lacks it.

    Raises InputError when the file is missing, damaged, or no table of SegBench.
    """
    try:
        with open(path, newline="", encoding="utf-8") as stream:
            cells: list[dict[str, str]] = list(csv.DictReader(stream))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; a table.csv of an earlier run is wanted") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table.csv ({error})") from None
    missing = [name for name in NEEDED if not cells or name not in cells[0]]
    if missing:
        raise InputError(f"{path}: is no table.csv of SegBench (no {', '.join(missing)})")
    try:
        return [_row(one) for one in cells]
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error})") from None


def _row(cells: dict[str, str]) -> Row:
    kinds = {column.name: column.kind for column in COLUMNS if column.kind.flat}
    row = {name: kind.parse(cell) if (cell := cells.get(name)) else kind.empty for name, kind in kinds.items()}
    return cast(Row, row)
