"""The calibration table: one JSON file with the range of every quantised activation, and the origin of the ranges."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segbench.errors import InputError
from segbench.files import read_json, write_json

FORMAT = 1


@dataclass(frozen=True)
class CalibrationTable:
    """`ranges`: lowest and highest value by tensor name of the prepared ONNX model (`qdq.prepare`)."""

    model: str  # `ExportedModel.digest`
    images: dict[str, str]  # SHA-256 by image id
    method: dict[str, Any]
    versions: dict[str, str]
    ranges: dict[str, tuple[float, float]]


def write_table(path: Path, table: CalibrationTable) -> None:
    """Write the table as JSON, whole or not at all."""
    write_json(path, {"format": FORMAT, **asdict(table)})


def read_table(path: Path, model: str) -> CalibrationTable:
    """Read a table, and check that it belongs to the model of digest `model`.

    Raises InputError, naming the file and the tensor, when it is damaged, of another format or of another model.
    """
    content = read_json(path)
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise InputError(f"{path}: is no calibration table of format {FORMAT}; delete it and run again")
    if content.keys() != CalibrationTable.__dataclass_fields__.keys():
        raise InputError(f"{path}: its keys are {sorted(content)}; delete it and run again")
    if content["model"] != model:
        raise InputError(f"{path}: is the table of another model (its files differ); delete it and run again")
    for tensor, limits in content["ranges"].items():
        good = isinstance(limits, list) and len(limits) == 2 and all(isinstance(v, (int, float)) for v in limits)
        if not good or not all(map(math.isfinite, limits)) or limits[0] > limits[1]:
            raise InputError(f"{path}: tensor {tensor!r} has the range {limits}; delete the table and run again")
    content["ranges"] = {tensor: (low, high) for tensor, (low, high) in content["ranges"].items()}
    return CalibrationTable(**content)
