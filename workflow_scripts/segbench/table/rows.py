"""Read one row per model and variant from the results. A figure that was not measured is None."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

from segbench.table.columns import COLUMNS
from segbench.table.control import Control
from segbench.table.row import Row, place_of_reference
from segbench.table.sources import Sources


def read_rows(results: Path, selection: dict[str, Any], only: Collection[str] | None = None) -> list[Row]:
    """Read all rows of a selection (dataset, rounds, models with their titles, variants by name), in its order.

    `only`: the rows that are done, as `model/variant`, where others are not.
    """
    control = control_of(results, selection)
    found = []
    for model in selection["models"]:
        variants = [name for name in selection["variants"] if only is None or f"{model}/{name}" in only]
        found += [Sources(results, selection, model, variant, control=control) for variant in variants]
    by_name = {f"{one.model}/{one.variant}": one for one in found}
    for one in found:
        reference = by_name.get("/".join(place_of_reference(one.model, one.score["reference"])))
        # An mIoU by resized logits and one by resized class maps do not compare.
        same = reference is not None and reference.score["scored_by"] == one.score["scored_by"]
        one.reference = reference if same else None
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


def _row(sources: Sources) -> Row:
    return cast(Row, {column.name: column.read(sources) for column in COLUMNS})
