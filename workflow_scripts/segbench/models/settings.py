"""Complete a model's entry by what its own files say: PaddleSeg's configuration, or an export's deploy.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segbench.errors import InputError
from segbench.models import paddleseg_files


def complete(name: str, entry: dict[str, Any], settings: Path | None) -> tuple[dict[str, Any], list[str]]:
    """Return the entry with every key set, and notes for its record.

    `settings` is the file that says the rest; None: the entry is complete. What the entry gives goes before what the
    file says, but a class count must be the same in both. Raises InputError naming the entry's key and the file.
    """
    if settings is None:
        return entry, []
    try:
        if entry["kind"] == "paddleseg":
            return _of_network(entry, settings)
        return _with_transforms(entry, paddleseg_files.read_deploy(settings), settings), []
    except InputError as error:
        key = "config" if entry["kind"] == "paddleseg" else "weights"
        raise InputError(f"model_catalogue.{name}.{key}: {error}") from None


def _of_network(entry: dict[str, Any], settings: Path) -> tuple[dict[str, Any], list[str]]:
    from segbench.models import paddleseg_network

    network = paddleseg_files.read_network(settings)
    count = network.class_count
    if count is None and network.dataset:
        count = paddleseg_network.dataset_class_count(network.dataset, entry["package"])
    given = entry["class_count"]
    if count is None and given is None:
        raise InputError(f"{settings}: says no num_classes; set class_count in the model's entry")
    if count is not None and given not in (None, count):
        raise InputError(f"{settings}: has {count} classes, but the entry's class_count is {given}; remove it")
    found = _with_transforms(entry, network.transforms, settings, network.sliding)
    notes = [*network.notes, *_window_left_out(found, network.sliding, settings)]
    return {**found, "class_count": given or count, "network": network.section}, notes


def _window_left_out(entry: dict[str, Any], sliding: paddleseg_files.Sliding | None, settings: Path) -> list[str]:
    """Return a note where the file has a window, and the entry does without one."""
    if sliding is None or entry["preprocessing"].get("window") is not None:
        return []
    height, width = sliding.crop
    other = entry["input"] != {"height": height, "width": width}
    cure = "; it is with an input of that size" if other else ""
    asked = f"a sliding window of {height}×{width} (test_config, height×width)"
    return [f"{settings.name} asks for {asked}, which is not done{cure}"]


def _with_transforms(
    entry: dict[str, Any], transforms: Any, settings: Path, sliding: paddleseg_files.Sliding | None = None
) -> dict[str, Any]:
    size = entry["input"]["height"], entry["input"]["width"]
    whole = paddleseg_files.complete(entry["preprocessing"], transforms, settings, size, sliding)
    return {**entry, "preprocessing": whole}
