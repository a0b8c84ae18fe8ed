"""Make model.json, which every later stage reads of an exported model."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from segbench.errors import InputError
from segbench.files import read_json, record_beside, sha256_of, write_text
from segbench.machine.cpu import package_version
from segbench.process.status import Outcome, attempt, read_status, write_status


def read_entry(text: str) -> dict[str, Any]:
    """Return a model's complete entry from an argument of a command: JSON, or the file that rule read_settings left."""
    entry: dict[str, Any] = json.loads(text) if text.startswith("{") else read_json(text)
    return entry


def entry_parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options of every script that exports: the entry's name, and the entry."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--model", required=True, help="name of the entry")
    parser.add_argument("--entry", type=read_entry, required=True, help="JSON, or its file: the complete entry")
    return parser


def outcome_of(entry: dict[str, Any]) -> Outcome:
    """Return how rule read_settings ended that completed `entry`; ok for an entry that needed none."""
    return Outcome(entry.get("status", "ok"), entry.get("reason", ""))


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
        **({"head": entry["head"]} if "head" in entry else {}),
        "has_trained_weights": entry["weights"] != "random",
        "parameter_count": parameter_count,
        "exported_bytes": sum(path.stat().st_size for path in files.values()),
        "files": {key: sha256_of(path) for key, path in files.items()},
        "versions": {package: version for package in packages if (version := package_version(package))},
        "notes": [*entry.get("notes", []), *notes],
    }


def write_model(
    record: Path, name: str, entry: dict[str, Any], checkpoints: list[Path], files: dict[str, Path],
    packages: tuple[str, ...], work: Callable[[], Mapping[str, Any]],
) -> None:  # fmt: skip
    """Export a model by `work`, which writes `files` and returns the parameter count, notes and further facts. Write
    its record.

    Where its entry or a checkpoint was refused, or `work` fails, the files are empty and the record says why.
    """
    fetched = [beside for path in checkpoints if (beside := record_beside(path)).exists()]
    outcome = attempt(work, [outcome_of(entry), *map(read_status, fetched)])
    good = outcome.status == "ok"
    for path in () if good else files.values():
        write_text(path, "")
    count = outcome.result.pop("parameter_count", None)
    notes = [note for path in fetched if good for note in read_json(path).get("notes", ())]
    notes += outcome.result.pop("notes", ())
    facts = model_record(name, entry, files if good else {}, count, packages, notes)
    write_status(record, f"{name} export", outcome, {**facts, "exported_bytes": facts["exported_bytes"] or None})


def check_class_map(name: str, entry: dict[str, Any]) -> None:
    """Raise InputError when the entry's class map has not one trainId per output channel."""
    class_map = entry["class_map"]
    if class_map is not None and len(class_map) != entry["class_count"]:
        raise InputError(
            f"model_catalogue.{name}.class_map: has {len(class_map)} entries, but class_count is"
            f" {entry['class_count']}; give one trainId per output channel, 255 for none"
        )
