"""Say where the time of rows goes and where they part from the reference, as far as either was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segbench.files import read_json
from segbench.report.derived import Facts
from segbench.report.render import data_address


@dataclass(frozen=True)
class Explanation:
    """What was said of a row; `picture` is a data address, empty where there is none."""

    row: Facts
    said: str
    picture: str = ""


def explanations(results: Path, rows: list[Facts]) -> list[Explanation]:
    """Return what explains a row's time by that of another row of the page, in the order of the rows."""
    shown = {(row["model"], row["variant"]) for row in rows}
    found = []
    for row in rows:
        for path in sorted((results / "explain" / row["dataset"] / row["model"]).glob("*.json")):
            record = read_json(path)
            first, second = record["variants"]
            if second == row["variant"] and (row["model"], first) in shown:
                picture = data_address(path.with_suffix(".svg").read_bytes(), "image/svg+xml")
                found.append(Explanation(row, record["said"], picture))
    return found


def partings(results: Path, rows: list[Facts]) -> list[Explanation]:
    """Return where rows part from the reference."""
    paths = [(row, results / "diverge" / row["dataset"] / row["model"] / f"{row['variant']}.json") for row in rows]
    return [Explanation(row, read_json(path)["said"]) for row, path in paths if path.exists()]
