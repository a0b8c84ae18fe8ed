"""Make model.json, which every later stage reads of an exported model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segbench.errors import InputError
from segbench.files import read_json, sha256_of
from segbench.machine.cpu import package_version


def read_entry(text: str) -> dict[str, Any]:
    """Return a model's complete entry from an argument of a command: JSON, or the path of a file of it."""
    entry: dict[str, Any] = json.loads(text) if text.startswith("{") else read_json(text)
    return entry


def model_record(
    name: str,
    entry: dict[str, Any],
    files: dict[str, Path],
    parameter_count: int | None,
    packages: tuple[str, ...],
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the facts of the exported `files` (by the name that they have in results/models/{name}/).

    `parameter_count`: trained values in the exported graph. `packages`: distributions that made the files, to record
    their versions. `notes`: what a person should know of the export; those of the entry's files come first.
    """
    return {
        "model": name,
        "kind": entry["kind"],
        "input": entry["input"],
        "preprocessing": entry["preprocessing"],
        "class_count": entry["class_count"],
        "class_map": entry["class_map"],
        "has_trained_weights": entry["weights"] != "random",
        "parameter_count": parameter_count,
        "exported_bytes": sum(path.stat().st_size for path in files.values()),
        "files": {key: sha256_of(path) for key, path in files.items()},
        "versions": {package: version for package in packages if (version := package_version(package))},
        "notes": [*entry.get("notes", []), *notes],
    }


def check_class_map(name: str, entry: dict[str, Any]) -> None:
    """Raise InputError when the entry's class map has not one trainId per output channel."""
    class_map = entry["class_map"]
    if class_map is not None and len(class_map) != entry["class_count"]:
        raise InputError(
            f"model_catalogue.{name}.class_map: has {len(class_map)} entries, but class_count is"
            f" {entry['class_count']}; give one trainId per output channel, 255 for none"
        )
