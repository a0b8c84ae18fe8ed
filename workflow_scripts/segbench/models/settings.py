"""Complete a model's entry by what its own files say: PaddleSeg's configuration, an export's deploy.yaml, or the folder
of a network of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segbench.errors import InputError
from segbench.models import huggingface_files, paddleseg_files

KEYS = {"paddleseg": "config", "huggingface": "folder"}  # of the entry, that name what completes it


def complete(name: str, entry: dict[str, Any], settings: Path | None) -> tuple[dict[str, Any], list[str]]:
    """Return the entry with every key set, and notes for its record.

    `settings` is the file or folder that says the rest; None: the entry is complete. What the entry gives goes before
    what the file says, but a class count must be the same in both. Raises InputError naming the entry's key and the
    file.
    """
    if settings is None:
        return entry, []
    try:
        if entry["kind"] == "paddleseg":
            return _of_network(entry, settings)
        if entry["kind"] == "huggingface":
            return _of_folder(entry, settings)
        return _with_transforms(entry, paddleseg_files.read_deploy(settings), settings), []
    except InputError as error:
        key = KEYS.get(entry["kind"], "weights")
        raise InputError(f"model_catalogue.{name}.{key}: {error}") from None


def _of_network(entry: dict[str, Any], settings: Path) -> tuple[dict[str, Any], list[str]]:
    from segbench.models import paddleseg_network

    network = paddleseg_files.read_network(settings)
    count = network.class_count
    if count is None and network.dataset:
        count = paddleseg_network.dataset_class_count(network.dataset, entry["package"])
    if count is None and entry["class_count"] is None:
        raise InputError(f"{settings}: says no num_classes; set class_count in the model's entry")
    found = _with_transforms(entry, network.transforms, settings, network.sliding)
    counted = {"class_count": entry["class_count"] if count is None else _same_count(entry, count, settings)}
    notes = [*network.notes, *_window_left_out(found, network.sliding, settings)]
    return {**found, **counted, "network": network.section}, notes


def _window_left_out(entry: dict[str, Any], sliding: paddleseg_files.Sliding | None, settings: Path) -> list[str]:
    """Return a note where the file has a window, and the entry does without one."""
    if sliding is None or entry["preprocessing"].get("window") is not None:
        return []
    height, width = sliding.crop
    other = entry["input"] != {"height": height, "width": width}
    cure = "; it is with an input of that size" if other else ""
    asked = f"a sliding window of {height}×{width} (test_config, height×width)"
    return [f"{settings.name} asks for {asked}, which is not done{cure}"]


def _of_folder(entry: dict[str, Any], folder: Path) -> tuple[dict[str, Any], list[str]]:
    count = _same_count(entry, huggingface_files.read_network(folder).class_count, folder)
    preprocessing, notes = huggingface_files.complete(entry["preprocessing"], folder, _size(entry))
    return {**entry, "class_count": count, "preprocessing": preprocessing}, notes


def _same_count(entry: dict[str, Any], count: int, settings: Path) -> int:
    """Return the number of classes that the files have. Raises InputError where the entry has another."""
    if entry["class_count"] not in (None, count):
        said = f"has {count} classes, but the entry's class_count is {entry['class_count']}; remove it"
        raise InputError(f"{settings}: {said}")
    return count


def _with_transforms(
    entry: dict[str, Any], transforms: Any, settings: Path, sliding: paddleseg_files.Sliding | None = None
) -> dict[str, Any]:
    whole = paddleseg_files.complete(entry["preprocessing"], transforms, settings, _size(entry), sliding)
    return {**entry, "preprocessing": whole}


def _size(entry: dict[str, Any]) -> tuple[int, int]:
    return entry["input"]["height"], entry["input"]["width"]
