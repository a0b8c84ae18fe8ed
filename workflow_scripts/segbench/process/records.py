"""Find the records of results/ by how their jobs ended, in the order of the chain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from segbench.errors import InputError
from segbench.files import read_json

PATTERNS = (
    "data/{dataset}/*/images.json",
    "data/{dataset}/*/dataset.json",
    "data/{dataset}/*/decoded.json",
    "data/{dataset}/*/brightness.json",
    "models/{model}/checkpoint.*.json",
    "models/{model}/model.json",
    "models/{model}/onnx.json",
    "models/{model}/shapes.json",
    "data/{dataset}/checks/{model}.json",
    "calibration/{dataset}/{model}/*/status.json",
    "calibration/{dataset}/{model}/*/layers*.json",
    "engines/{dataset}/{model}/wrong_passes.json",
    "engines/{dataset}/{model}/*/status.json",
    "engines/{dataset}/{model}/*/logits/status.json",
    "references/{dataset}/{model}/*/status.json",
    "predictions/{dataset}/{model}/*/*/status.json",
    "runs/{dataset}/{model}/*/*/*/status.json",
    "control/{dataset}/{model}/*/*/*/status.json",
    "scores/{dataset}/{model}/*.json",
    "scores/{dataset}/{model}/*/*.json",
    "preprocessing/{dataset}/{model}.json",
    "pictures/{dataset}/{model}/*.json",
    "pairs/{dataset}/{model}/*.json",
    "loadgen/{dataset}/{model}/*.json",
    "mixed_precision/{dataset}/{model}/*.json",
    "mixed_precision/{dataset}/{model}/*/*.json",
    "mixed_precision/{dataset}/{model}/*/*/*.json",
    "mixed_precision/{dataset}/{model}/*/*/calibration/status.json",
    "layers/{dataset}/{model}/*.json",
    "cold_start/{dataset}/{model}/*.json",
    "stages/{dataset}/{model}/*.json",
    "diverge/{dataset}/{model}/*.json",
)


def records(
    results: Path, wanted: Callable[[str], bool], dataset: str = "*", models: Iterable[str] = ("*",)
) -> Iterator[tuple[Path, str, str]]:
    """Yield path, status and reason of each record below `results` whose status is `wanted`, each once."""
    for pattern in PATTERNS:
        found = {path for model in models for path in results.glob(pattern.format(dataset=dataset, model=model))}
        for path in sorted(found):
            try:
                record = read_json(path)
            except InputError:
                continue  # a damaged record is told by its readers
            if wanted(record.get("status", "ok")):
                yield path, record["status"], record["reason"]
