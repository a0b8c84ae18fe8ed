"""A baseline on the disk: a table.csv, or a folder that `update_baseline` wrote and that can be timed again.

The folder has a run's table.csv and, for each row that ran, what its engine is opened with: `engines/` and `models/` as
under results/, and the record baseline.json.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from segbench.files import read_json

RECORD = "baseline.json"
Key = tuple[str, str, str]  # data set, model, variant


class KeptRow(TypedDict):
    """A row whose engine was kept: an entry of `rows` in baseline.json."""

    dataset: str
    model: str
    variant: dict[str, str]  # name, engine, precision
    options: dict[str, Any]  # of the engine's run
    code: str  # digest of the engine's modules


class Kept(NamedTuple):
    """A kept row and the folder of its baseline."""

    folder: Path
    row: KeptRow


def table_of(baseline: str | Path) -> Path:
    """Return the path of a baseline's table."""
    path = Path(baseline)
    return path if path.suffix == ".csv" else path / "table.csv"


def engine_of(folder: Path, key: Key) -> Path:
    """Return the folder of a row's engine, which has `engine/` and status.json, below results/ or a baseline."""
    return folder.joinpath("engines", *key)


def model_of(folder: Path, key: Key) -> Path:
    """Return the model.json of a row, below results/ or a baseline."""
    return folder / "models" / key[1] / "model.json"


def kept_rows(baselines: Iterable[str]) -> dict[Key, Kept]:
    """Return all kept rows. Where several baselines have a row, the first one's counts.

    Raises InputError where a record is damaged.
    """
    found: dict[Key, Kept] = {}
    for folder in map(Path, baselines):
        if (folder / RECORD).exists():
            rows: list[KeptRow] = read_json(folder / RECORD)["rows"]
            for row in rows:
                found.setdefault((row["dataset"], row["model"], row["variant"]["name"]), Kept(folder, row))
    return found
