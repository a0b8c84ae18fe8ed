"""Check that a data set fits a model: image sizes against the input size, classes against the class map."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from segbench.errors import InputError
from segbench.files import read_json
from segbench.images.placement import Placer
from segbench.models.record import outcome_of, read_entry
from segbench.process.lifetime import command
from segbench.process.status import attempt, read_status, write_status


def check_inputs(model: str, entry: dict[str, Any], dataset: dict[str, Any]) -> None:
    """Raise InputError naming the key to change when `entry` and `dataset` do not fit."""
    where = f"model_catalogue.{model}"
    wanted = (entry["input"]["height"], entry["input"]["width"])
    placer = Placer(entry["preprocessing"], wanted)
    faults = (placer.misfit((height, width)) for height, width, _ in dataset["sizes"])
    if fault := next(filter(None, faults), ""):
        raise InputError(f"{where}.input: data set {dataset['dataset']!r} has images of {fault}")
    if dataset["status"] != "ok":  # its labels were refused: no class is known, and nothing will be scored
        return
    classes = len(dataset["classes"])
    if entry["class_map"] is None:
        if entry["class_count"] == classes + 1:
            # Some networks have background first, others an output for none of the classes last: no guess is safe.
            ids = list(range(classes)) if classes <= 20 else ["0", "…"]
            first, last = (f"[{', '.join(map(str, ids_of))}]" for ids_of in ((255, *ids), (*ids, 255)))
            raise InputError(
                f"{where}.class_count: {entry['class_count']}, but {dataset['dataset']!r} has {classes} classes: which"
                f" output is none of them? Give {where}.class_map: {last} if it is the last one, {first} if it is the"
                " first (background)"
            )
        if entry["class_count"] != classes:
            raise InputError(
                f"{where}.class_count: {entry['class_count']}, but {dataset['dataset']!r} has {classes}"
                f" classes; give {where}.class_map, the trainId of each output (255 for none)"
            )
        return
    wrong = sorted({number for number in entry["class_map"] if number >= classes and number != dataset["ignore_index"]})
    if wrong:
        raise InputError(
            f"{where}.class_map: {wrong[0]} is no class of data set {dataset['dataset']!r};"
            f" allowed: 0 to {classes - 1}, and {dataset['ignore_index']} for none"
        )


@command
def main() -> None:
    """Parse the command line and check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", default="", help="images.json of the validation split: whether it was refused")
    parser.add_argument("--dataset", type=Path, required=True, help="dataset.json of the validation split")
    parser.add_argument("--model", required=True, help="name of the model's entry")
    parser.add_argument("--entry", type=read_entry, required=True, help="JSON, or its file: the model's entry")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write: whether they fit, or why not")
    args = parser.parse_args()

    def work() -> dict[str, Any]:
        check_inputs(args.model, args.entry, {"status": "ok", **read_json(args.dataset)})
        return {}

    outcome = attempt(work, [outcome_of(args.entry), read_status(args.images)])
    write_status(args.out, f"check of {args.model}", outcome, {"model": args.model})


if __name__ == "__main__":
    main()
