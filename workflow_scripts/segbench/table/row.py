"""Declare a row's cells that code asks for by name, with their types, so that mypy finds a misspelt name.

A column that no code asks for by name needs no line here, since `COLUMNS` alone declares columns. A test checks that
each name here is a column of that type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

Figure = Any  # a float, or None where it was not measured; code asks before it divides by one


class Row(TypedDict):
    """The row of one model and variant. None: not measured."""

    dataset: str
    model: str
    title: str
    variant: str
    engine: str
    device: str
    accelerated: bool
    precision: str
    calibrator: str | None
    scenario: str
    batch: int | None
    streams: int | None
    base_variant: str
    base_model: str
    input_height: int | None
    input_width: int | None
    status: str
    reason: str
    miou: Figure
    miou_low: Figure
    miou_high: Figure
    miou_labelled: Figure
    miou_delta: Figure
    miou_delta_low: Figure
    miou_delta_high: Figure
    boundary_iou_delta_low: Figure
    boundary_iou_delta_high: Figure
    iiou_delta_low: Figure
    iiou_delta_high: Figure
    pixel_agreement: Figure
    class_agreement: Figure
    lowest_class: str | None
    lowest_class_agreement: Figure
    objects_found: int | None
    objects_lost: int | None
    objects_lost_by_class: Any  # numbers by class name, or None
    agrees: bool | None
    single_agreement: Figure
    reference: str | None
    time_s: Figure
    time_s_low: Figure
    time_s_high: Figure
    time_half_width: Figure
    time_adjusted_s: Figure
    time_adjusted_s_low: Figure
    time_adjusted_s_high: Figure
    smallest_difference: Figure
    round_medians_s: Any  # text, or None
    control: str | None
    round_controls_s: Any  # text, or None
    images_per_s: Figure
    images_per_s_low: Figure
    images_per_s_high: Figure
    latency_s: Figure
    cost_per_million: Figure
    p90_s: Figure
    steady: bool | None
    contended: bool | None
    throttled: bool | None
    repeatable: bool | None
    flags: str
    warnings: str
    notes: str
    threads: int | None
    peak_rss_bytes: int | None
    software_id: str | None
    hardware_id: str | None
    hardware: str | None
    iou_per_class: Any  # IoU by class name, or None


def place_of_reference(model: str, reference: str) -> tuple[str, str]:
    """Return model and variant of the reference of a row of `model`, which names a model where that is another one."""
    sibling, _, variant = reference.rpartition("/")
    return sibling or model, variant


def is_single(row: Row) -> bool:
    """Return whether a row runs one image after the other, as all rows of older versions do."""
    return row["scenario"] not in ("batch", "streams")


def value(row: Mapping[str, object], name: str) -> Any:
    """Return the cell of a column whose name is a variable."""
    return row[name]
