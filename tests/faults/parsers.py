"""The parsers of files that may come from elsewhere: each returns, or raises InputError, whatever the bytes are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import yaml
from faults.fault import ROOT  # noqa: F401  it puts the modules on the path
from segbench.calibration.table import read_table
from segbench.files import read_json
from segbench.images.index import read_index
from segbench.images.labels import read_label
from segbench.images.read import read_image
from segbench.models.checkpoint import read_arrays
from segbench.models.onnx_files import read_onnx
from segbench.planning.check import read_config
from segbench.scoring.predictions import Predictions
from segbench.table.csv import read_table as read_baseline


def read_label_map(path: Path) -> object:
    """A label file through an id map."""
    return read_label(path, {0: 0, 7: 1, -1: 255})


def read_calibration(path: Path) -> object:
    """A calibration table."""
    return read_table(path, "model")


def read_settings(path: Path) -> object:
    """A configuration file of a person's, alone: what it lacks is told."""
    try:
        merged = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError):  # Snakemake's to refuse: it reads the file first
        return None
    return read_config(merged, [str(path)]) if isinstance(merged, dict) else None


PARSERS: dict[str, Callable[[Path], object]] = {
    "image.png": read_image,
    "label.png": read_label_map,
    "weights.npz": read_arrays,
    "weights.pdparams": read_arrays,
    "model.onnx": read_onnx,
    "predictions.zip": Predictions.open,
    "table.csv": read_baseline,
    "index.csv": read_index,
    "record.json": read_json,
    "calibration.json": read_calibration,
    "settings.yaml": read_settings,
}
