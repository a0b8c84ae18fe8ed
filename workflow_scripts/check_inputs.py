"""Check that a data set fits a model: image sizes against the input size, classes against the class map."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from segbench.errors import InputError
from segbench.files import read_json, write_record
from segbench.models.record import read_entry
from segbench.process.lifetime import command


def check_inputs(model: str, entry: dict[str, Any], dataset: dict[str, Any]) -> None:
    """Raise InputError naming the key to change when `entry` and `dataset` do not fit."""
    where = f"model_catalogue.{model}"
    wanted = (entry["input"]["height"], entry["input"]["width"])
    sizes = [(height, width) for height, width, _ in dataset["sizes"]]
    other = [size for size in sizes if size != wanted]
    if other and entry["preprocessing"]["resize"] == "none":
        raise InputError(
            f"{where}.input: {wanted[0]}×{wanted[1]} (height×width), but data set {dataset['dataset']!r} has images of"
            f" {other[0][0]}×{other[0][1]}; set that size, or {where}.preprocessing.resize: stretch"
        )
    classes = len(dataset["classes"])
    if entry["class_map"] is None:
        if entry["class_count"] not in (classes, classes + 1):  # one more: an output for "none of them"
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
    parser.add_argument("--dataset", type=Path, required=True, help="dataset.json of the validation split")
    parser.add_argument("--model", required=True, help="name of the model's entry")
    parser.add_argument("--entry", type=read_entry, required=True, help="JSON, or its file: the model's entry")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write when all is well")
    args = parser.parse_args()
    check_inputs(args.model, args.entry, read_json(args.dataset))
    write_record(args.out, {"model": args.model, "fits": True})


if __name__ == "__main__":
    main()
