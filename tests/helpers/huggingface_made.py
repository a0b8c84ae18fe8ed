"""Folders as `save_pretrained` of transformers leaves them, written without it. The weights are a network's no more
than by their form.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

CONFIG = {
    "architectures": ["SegformerForSemanticSegmentation"],
    "id2label": {"0": "road", "1": "car", "2": "sky"},
    "model_type": "segformer",
}
PROCESSOR = {
    "do_normalize": True,
    "do_reduce_labels": False,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "SegformerImageProcessor",
    "image_std": [0.229, 0.224, 0.225],
    "resample": 2,
    "rescale_factor": 1 / 255,
    "size": {"height": 64, "width": 96},
}


def make_folder(folder: Path, config: dict[str, Any] | None = None, processor: dict[str, Any] | None = None) -> Path:
    """Write a folder; `config` and `processor` change keys of its files, and a key of value None is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, made, changed in (
        ("config.json", CONFIG, config), ("preprocessor_config.json", PROCESSOR, processor)
    ):  # fmt: skip
        content = {key: value for key, value in {**made, **(changed or {})}.items() if value is not None}
        (folder / name).write_text(json.dumps(content))
    write_weights(folder / "model.safetensors")
    return folder


def write_weights(path: Path, value: float = 0.5) -> None:
    """Write a safetensors file of one number."""
    header = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + struct.pack("<f", value))


def entry(**other: Any) -> dict[str, Any]:
    """The entry of such a model, as planning gives it to jobs."""
    return {
        "kind": "huggingface", "folder": "net", "weights": None, "input": {"height": 64, "width": 96},
        "class_count": None, "class_map": None, "output": None, "preprocessing": {}, **other,
    }  # fmt: skip
