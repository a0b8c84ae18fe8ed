"""Copy trained demo models from results/training/ to resources/, and write their SHA-256 into the models file."""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path

from segbench.errors import InputError
from segbench.files import atomic, read_json, sha256_of, write_text
from segbench.process.lifetime import command

RECORDS = {"training.json": "json", "log.csv": "csv"}


def accept(training: Path, resources: Path, models: Path) -> dict[str, float]:
    """Copy the trained models. Return the validation mIoU by architecture.

    Raises InputError when nothing is trained, or when `models` has no entry that reads a copied file.
    """
    found = {path.parent.name: read_json(path) for path in sorted(training.glob("*/training.json"))}
    if not found:
        raise InputError(f"{training}: has no trained model; run: snakemake demo_models")
    text = models.read_text(encoding="utf-8")
    for architecture in found:
        quantized = (training / architecture / "model.onnx").exists()  # its weights are in there, in 8 bits
        kept = {"model.onnx": "onnx"} if quantized else {"weights.npz": "npz"}
        for name, suffix in {**kept, **RECORDS}.items():
            with atomic(resources / f"{architecture}.{suffix}") as temporary:
                shutil.copyfile(training / architecture / name, temporary)
        weights = resources / f"{architecture}.{next(iter(kept.values()))}"
        entry = re.compile(rf"(path: {re.escape(weights.as_posix())}, sha256: )(null|[0-9a-f]+)")
        if not entry.search(text):
            raise InputError(f"{models}: no entry with 'path: {weights.as_posix()}, sha256: …'")
        text = entry.sub(rf"\g<1>{sha256_of(weights)}", text)
    write_text(models, text)
    return {architecture: record["val_miou"] for architecture, record in found.items()}


@command
def main() -> None:
    """Parse the command line and copy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--training", type=Path, default=Path("results/training"), help="where they were trained")
    parser.add_argument("--resources", type=Path, default=Path("resources/demo_models"), help="where they go")
    parser.add_argument("--models", type=Path, default=Path("config/models.yaml"), help="file with their SHA-256")
    args = parser.parse_args()
    for architecture, miou in accept(args.training, args.resources, args.models).items():
        print(f"{architecture}: val mIoU {miou:.4f}")


if __name__ == "__main__":
    main()
