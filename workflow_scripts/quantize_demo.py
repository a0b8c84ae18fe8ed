"""Make the Q/DQ model of a demo network that was trained with fake quantisation, which engines take as it is.

The network is exported, its activations' ranges are found on training images, and ONNX Runtime's quantiser writes it
with weights of 7 bits, as it was trained.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import zlib  # noqa: F401  # before paddle 2.6.2, else a later inflate crashes (PaddlePaddle/Paddle#70538)
from pathlib import Path
from typing import Any

import onnx
from segbench.calibration import qdq
from segbench.calibration.images import CalibrationImages
from segbench.calibration.onnxruntime import Options, collect
from segbench.calibration.table import CalibrationTable
from segbench.config.schema import ARCHITECTURES
from segbench.datasets import cityscapes
from segbench.datasets.cityscapes import CLASSES
from segbench.errors import InputError
from segbench.files import atomic, read_json
from segbench.models.architectures import DEMO_PREPROCESSING
from segbench.models.logits import LogitsModel
from segbench.models.onnx_twin import make_twin
from segbench.process.lifetime import command

IMAGES = 32  # as many as `calibration.images` takes


def quantize_demo(architecture: str, weights: Path, data: Path, size: tuple[int, int], out: Path) -> None:
    """Write the Q/DQ model, which ends in logits, to `out`. `data` has the training images, in Cityscapes' layout.

    Raises InputError where there are none.
    """
    facts: dict[str, Any] = {
        "input": {"height": size[0], "width": size[1]}, "class_count": len(CLASSES),
        "preprocessing": DEMO_PREPROCESSING,
    }  # fmt: skip
    entry = {"kind": "narrow", "architecture": architecture, "weights": "trained", "class_map": None, **facts}
    pairs = cityscapes.LAYOUT.pairs(data, "train", {})[:IMAGES]
    if not pairs:
        raise InputError(f"{data}/leftImg8bit/train: no image; make the set with make_demo_set.py")
    rows: Any = [{"image_id": pair.image_id, "image": str(pair.image)} for pair in pairs]
    with tempfile.TemporaryDirectory() as name:
        folder, work = Path(name), Path(name, "work")
        work.mkdir()
        program, parameters = folder / "model.pdmodel", folder / "model.pdiparams"
        export(architecture, entry, weights, folder)
        onnx.save(make_twin(program, parameters), str(folder / "model.onnx"))
        prepared = qdq.prepare(LogitsModel(folder, facts, work), work)
        ranges = collect(prepared, CalibrationImages(rows, facts), Options(), work / "unfinished.npz", work)
        with atomic(out) as temporary:
            qdq.quantize(prepared, CalibrationTable("", {}, {}, {}, ranges), temporary, reduce_range=True)


def export(model: str, entry: dict[str, Any], weights: Path, folder: Path) -> None:
    """Run the script that exports models. It leaves model.pdmodel and model.pdiparams in `folder`."""
    files = {name: str(folder / f"model.{name}") for name in ("pdmodel", "pdiparams", "json")}
    asked = {"model": model, "entry": json.dumps(entry), "checkpoint": str(weights), **files}
    words = [word for name, text in asked.items() for word in (f"--{name}", text)]
    subprocess.run([sys.executable, str(Path(__file__).with_name("export_paddle.py")), *words], check=True)
    record = read_json(files["json"])
    if record["status"] != "ok":
        raise InputError(record["reason"])


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", choices=ARCHITECTURES, required=True)
    parser.add_argument("--weights", type=Path, required=True, help="weights.npz of train_demo.py --fake-quantization")
    parser.add_argument("--data", type=Path, required=True, metavar="ROOT", help="the set that it was trained on")
    parser.add_argument("--height", type=int, default=256, help="of the model's input")
    parser.add_argument("--width", type=int, default=512, help="of the model's input")
    parser.add_argument("--out", type=Path, required=True, help="model.onnx to write")
    return parser.parse_args()


@command
def main() -> None:
    """Parse the command line and quantise."""
    args = parse_arguments()
    quantize_demo(args.architecture, args.weights, args.data, (args.height, args.width), args.out)


if __name__ == "__main__":
    main()
