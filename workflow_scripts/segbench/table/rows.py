"""Read one row per model and variant from the results. A figure that was not measured is None."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from segbench.table.columns import COLUMNS
from segbench.table.control import Control
from segbench.table.row import Row
from segbench.table.sources import Sources


def read_rows(results: Path, selection: dict[str, Any]) -> list[Row]:
    """Read all rows of a selection (dataset, rounds, models with their titles, variants by name), in its order."""
    control = control_of(results, selection)
    found = []
    for model in selection["models"]:
        of_model = [Sources(results, selection, model, variant, control=control) for variant in selection["variants"]]
        reference = next((one for one in of_model if one.score["reference"] == one.variant), None)
        for one in of_model:
            one.reference = reference
        found += of_model
    first = next((one.hardware_id for one in found if one.hardware_id), None)
    for one in found:
        one.first_hardware = first
        one.controls  # noqa: B018  every row's blocks have to be known before the control's mean is
    rows = []
    while found:
        rows.append(_row(found.pop(0)))  # popped, so that the memory of its many images is freed
    return rows


def control_of(results: Path, selection: dict[str, Any]) -> Control | None:
    """Return the control of a selection; None where the selection names none."""
    if not selection.get("control"):
        return None
    name = "/".join(selection["control"])
    return Control(results, selection["dataset"], name, selection.get("average", "median"))


def read_row(results: Path, selection: dict[str, Any], model: str, variant: str) -> Row:
    """Read the row of one model and variant alone. Nothing in it depends on another row."""
    return _row(Sources(results, selection, model, variant))


def _row(sources: Sources) -> Row:
    return cast(Row, {column.name: column.read(sources) for column in COLUMNS})
