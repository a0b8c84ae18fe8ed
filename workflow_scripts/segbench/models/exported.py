"""Open an exported model: its files and its record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.errors import Failed, InputError, Unsupported
from segbench.files import read_json, sha256_of

PADDLE_3 = ("program.json", "program.pdiparams")  # not model.json: that is the record
FILES = {  # of each form of a model, the network first
    "paddle": ("model.pdmodel", "model.pdiparams"),
    "paddle3": PADDLE_3,
    "onnx": ("model.onnx",),
    "openvino": ("model.xml", "model.bin"),
}


TAKES_QUANTIZED = {  # engines that take a quantised model, by its file
    "model.pdmodel": ("paddle_onednn",),
    "model.xml": ("openvino",),
    "model.onnx": ("onnxruntime", "openvino"),
}


@dataclass(frozen=True)
class ExportedModel:
    """An exported model's files: `folder` holds model.json and model.pdmodel + model.pdiparams, program.json +
    program.pdiparams (Paddle 3's form), model.onnx, or model.xml + model.bin (OpenVINO's)."""

    folder: Path
    facts: dict[str, Any]

    @classmethod
    def open(cls, record: Path) -> ExportedModel:
        """Open the model of `record` (model.json). Raises InputError when a file is not the recorded one."""
        facts = read_json(record)
        for name, digest in facts["files"].items():
            if not (record.parent / name).exists() or sha256_of(record.parent / name) != digest:
                raise InputError(f"{record.parent / name}: damaged or missing; delete {record.parent} and run again")
        return cls(record.parent, facts)

    def file(self, name: str) -> Path | None:
        """Return the file of that name, or None where this kind of model has none."""
        path = self.folder / name
        return path if path.exists() else None

    @property
    def digest(self) -> str:
        """Return one hash of the exported files' hashes. A calibration belongs to it."""
        return hashlib.sha256(json.dumps(self.facts["files"], sort_keys=True).encode()).hexdigest()

    @property
    def quantized(self) -> dict[str, int]:
        """Return how many operators, by name, round activations to 8 bits; none of a model of floats."""
        found: dict[str, int] = self.facts.get("quantized", {})
        return found

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Return the input shape: 1, 3, height, width."""
        return 1, 3, int(self.facts["input"]["height"]), int(self.facts["input"]["width"])


@contextmanager
def operators_named(model: ExportedModel) -> Iterator[None]:
    """Name the model's operators of other domains in a reason why it does not run. Engines often name what follows."""
    try:
        yield
    except (Unsupported, Failed) as error:
        if foreign := model.facts.get("foreign_operators"):
            raise type(error)(f"the graph has {', '.join(foreign)}; {error}") from error
        raise


def refuse_quantized(model: ExportedModel) -> None:
    """Raise Unsupported for a model that is quantised already, where one of floats is wanted."""
    if model.quantized:
        named = ", ".join(f"{count} {name}" for name, count in model.quantized.items())
        takes = next(taken for name, taken in TAKES_QUANTIZED.items() if model.file(name))
        raise Unsupported(
            f"the model is quantised already ({named}) and computes in 8 bits: choose"
            f" {' or '.join(f'{engine}-int8-model' for engine in takes)}, or give the model that it was made from"
        )


def paddle_files(model: ExportedModel) -> list[Path]:
    """model.pdmodel and model.pdiparams. Raises Unsupported for a model that is an ONNX file or a Paddle 3 model."""
    if model.file(PADDLE_3[0]):
        raise Unsupported("this is a Paddle 3 model (.json), which paddle3 and paddle3_onednn alone read")
    files = [model.file("model.pdmodel"), model.file("model.pdiparams")]
    if None in files:
        whose = "of OpenVINO" if model.file("model.xml") else "an ONNX file"
        raise Unsupported(f"this model is {whose}; Paddle engines need a Paddle inference model")
    return [path for path in files if path]


def exact_twin(model: ExportedModel) -> Path | None:
    """Return the ONNX twin of a Paddle model; None where there is none, or it is not the one that was made."""
    record, path = model.folder / "onnx.json", model.folder / "model.onnx"
    if not (record.exists() and path.exists()):
        return None
    made = read_json(record)
    return model.file(path.name) if made["status"] == "ok" and sha256_of(path) == made["sha256"] else None
