"""Segment images as Hugging Face transformers does it: the part of compare.py that needs torch and transformers.

Its image processor resizes and normalises, a convolution stands for the network, its post-processing makes class maps.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image


def class_maps(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Return each image's input and class map of its own size by name."""
    import torch
    from transformers.models.segformer.image_processing_pil_segformer import SegformerImageProcessorPil

    network = np.load(folder / "network.npz")
    weight, bias = torch.from_numpy(network["weight"]), torch.from_numpy(network["bias"])
    processor = SegformerImageProcessorPil(**settings)
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.png")):
        picture = Image.open(path).convert("RGB")
        image = processor(picture, return_tensors="pt").pixel_values
        logits = torch.nn.functional.conv2d(image, weight, bias, stride=4, padding=1)
        outputs = SimpleNamespace(logits=logits)
        (made,) = processor.post_process_semantic_segmentation(outputs, target_sizes=[picture.size[::-1]])
        found |= {f"{path.stem} input": image.numpy()[0], f"{path.stem} map": made.numpy().astype(np.uint8)}
    return found


def main() -> None:
    """Parse the command line and segment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", type=json.loads, help="JSON: by folder, the settings of its image processor")
    for name, asked in parser.parse_args().settings.items():
        np.savez(Path(name) / "theirs.npz", **class_maps(Path(name), asked))


if __name__ == "__main__":
    main()
