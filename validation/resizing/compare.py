"""Compare resized images, class maps and mIoU with Hugging Face transformers' own processor and post-processing.

`PYTHONPATH=workflow_scripts python -m validation.resizing.compare --python ENV/bin/python` with the interpreter of an
environment that has torch and transformers. Drawn images of differing sizes are labelled by what the network makes of
them at their own size.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from segbench.images.drawn import drawn_image
from segbench.images.normalize import Normalizer, class_map_of_logits, enlarged_class_map
from segbench.scoring.confusion import fold, pair_counts, scores
from segbench.table.markdown import table

BY_TRANSFORMERS = Path(__file__).with_name("by_transformers.py")
CLASSES = 7
Picture = npt.NDArray[np.uint8]
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
ANY_SIZES = [(64, 96), (120, 80), (97, 131), (200, 160), (75, 75)]
ONE_RATIO = [(60, 90), (120, 180), (80, 120), (200, 300), (100, 150)]
# Pillow's numbers of its filters
FILTERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "area": 4}


class Case(NamedTuple):
    """What transformers' processor is asked for, the same as our `resize`, and the sizes of input and images."""

    theirs: dict[str, Any]
    ours: dict[str, Any]
    size: tuple[int, int]
    sizes: list[tuple[int, int]]


def cases() -> dict[str, Case]:
    """Return the cases by name."""
    found = {
        f"stretch, {name}": Case(
            {"size": {"height": 64, "width": 80}, "resample": number},
            {"kind": "stretch", "interpolation": name},
            (64, 80),
            ANY_SIZES,
        )
        for name, number in FILTERS.items()
    }
    short = {"kind": "short_side", "size": 48}
    found["short side"] = Case({"size": {"shortest_edge": 48}}, short, (48, 72), ONE_RATIO)
    both = {"size": {"shortest_edge": 48, "longest_edge": 60}}
    found["short side, long side bounded"] = Case(both, {**short, "max_long_side": 60}, (40, 60), ONE_RATIO)
    return found


def compare(python: str, images: int, place: Path) -> list[list[str]]:
    """Return a line for each case. Files are written below `place`."""
    asked, drawn = {}, {}
    for number, (name, case) in enumerate(cases().items()):
        folder = place / str(number)
        folder.mkdir()
        drawn[name] = {f"{n:03}": drawn_image(*case.sizes[n % len(case.sizes)], seed=n) for n in range(images)}
        for key, picture in drawn[name].items():
            cv2.imwrite(str(folder / f"{key}.png"), picture)
        write_weights(folder)
        asked[str(folder)] = {"image_mean": MEAN, "image_std": STD, "do_reduce_labels": False} | case.theirs
    subprocess.run([python, str(BY_TRANSFORMERS), json.dumps(asked)], check=True)
    lines = []
    for path, (name, case) in zip(map(Path, asked), cases().items(), strict=True):
        with np.load(path / "theirs.npz") as made:
            lines.append([name, *line(case, drawn[name], dict(made), path)])
    return lines


def line(case: Case, pictures: dict[str, Picture], expected: dict[str, Any], folder: Path) -> list[str]:
    """Return how far the inputs differ, the share of pixels with equal classes, and both mIoUs."""
    plain = {"channel_order": "rgb", "scale": 1 / 255, "mean": MEAN, "std": STD, "resize": "none"}
    prepare = Normalizer({**plain, "resize": {**case.ours, "convention": "transformers"}}, *case.size)
    session = network(folder)
    apart, ours, theirs, labels = 0.0, [], [], []
    for key, picture in pictures.items():
        image, shape = prepare(picture), (picture.shape[0], picture.shape[1])
        apart = max(apart, float(np.abs(image[0] - expected[f"{key} input"]).max()))
        logits = session.run(None, {"image": image})[0]
        ours.append(class_map_of_logits(list(logits), prepare.place(shape), *shape))
        theirs.append(expected[f"{key} map"])
        own_size = session.run(None, {"image": Normalizer(plain, *shape)(picture)})[0]
        labels.append(enlarged_class_map(own_size[0], *shape))
    equal = np.mean(np.concatenate([(a == b).ravel() for a, b in zip(ours, theirs, strict=True)]))
    return [f"{apart:.1e}", f"{equal:.6f}", f"{miou(labels, ours):.6f}", f"{miou(labels, theirs):.6f}"]


def write_weights(folder: Path) -> None:
    """Write the weights of a convolution."""
    random = np.random.default_rng(0)
    weight = random.normal(size=(CLASSES, 3, 3, 3)).astype(np.float32)
    np.savez(folder / "network.npz", weight=weight, bias=random.normal(size=CLASSES).astype(np.float32))


def network(folder: Path) -> onnxruntime.InferenceSession:
    """Return that convolution, whose logits have a quarter of the input's size."""
    with np.load(folder / "network.npz") as made:
        stored = [numpy_helper.from_array(made[name], name) for name in ("weight", "bias")]
    node = helper.make_node("Conv", ["image", "weight", "bias"], ["logits"], strides=[4, 4], pads=[1, 1, 1, 1])
    values = [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, None, None])]
    results = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, CLASSES, None, None])]
    graph = helper.make_graph([node], "quarter", values, results, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def miou(labels: list[Picture], maps: list[Picture]) -> float:
    """Return the mIoU over the classes that occur."""
    counts = np.sum([pair_counts(*pair) for pair in zip(labels, maps, strict=True)], axis=0)
    return float(scores(fold(counts, CLASSES, 255)).miou or 0)


def main() -> None:
    """Parse the command line, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="interpreter that has torch and transformers")
    parser.add_argument("--images", type=int, default=20, help="number of drawn images")
    args = parser.parse_args()
    header = ["case", "inputs differ by", "equal pixels", "mIoU", "mIoU of transformers"]
    with tempfile.TemporaryDirectory() as place:
        print(table(header, compare(args.python, args.images, Path(place))))


if __name__ == "__main__":
    main()
