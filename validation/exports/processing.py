"""Compare a whole run of models from folders with transformers' own processing: class maps and mIoU of images.

Networks of transformers' semantic-segmentation heads are saved with their image processors (folders.py). The workflow
takes the folders as entries of kind `huggingface`. The images are drawn, of differing sizes, and so are their labels.
transformers' class maps are those of its processor, the network, and its post-processing at the size of each image.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import yaml
from segbench.arrays import SAME_NETWORK, agreement
from segbench.images.drawn import drawn_image
from segbench.images.index import index_rows
from segbench.process.lifetime import command
from segbench.scoring.predictions import Predictions
from segbench.table.csv import read_table

from validation.common import ROOT, copy_workflow, leave
from validation.exports.folders import CLASSES, HEIGHT, NETWORKS, SQUARE, WIDTH

SIZES = [(HEIGHT, WIDTH), (200, 300), (61, 143), (240, 131), (97, 161), (150, 150), (320, 520), (33, 47)]
VARIANTS = ["onnxruntime-fp32", "openvino-fp32"]
DATASET = "drawn"
MIOU_BOUND = 1e-3  # what pixels that rounding moves may change
Maps = dict[str, npt.NDArray[np.uint8]]


def draw(folder: Path) -> Maps:
    """Write images and labels of SIZES. Return the labels."""
    labels = {}
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number, (height, width) in enumerate(SIZES):
        image = drawn_image(height, width, number)
        label = (cv2.GaussianBlur(image, (9, 9), 0)[:, :, 1] // (256 // CLASSES + 1)).astype(np.uint8)
        labels[f"{number:02d}"] = label
        cv2.imwrite(str(folder / "images" / f"{number:02d}.png"), image)
        cv2.imwrite(str(folder / "labels" / f"{number:02d}.png"), label)
    return labels


def overlay(folder: Path, python: Path, names: list[str]) -> dict[str, Any]:
    """Return the configuration of the run."""
    short = {"images_per_round": 1, "round_min_s": 0, "extra_s": 0, "max_repeats": 0}
    split = {"images": "images/*.png", "labels": "labels/*.png"}
    data = {
        "kind": "folder", "root": str(folder / DATASET), "splits": {"val": split},
        "classes": [f"class {number}" for number in range(CLASSES)],
    }  # fmt: skip
    sizes = {name: {"height": HEIGHT, "width": HEIGHT if name in SQUARE else WIDTH} for name in names}
    return {
        "dataset": DATASET,
        "models": [entry_name(name) for name in names],
        "variants": VARIANTS,
        "rounds": 1,
        "timing": {**short, "warm_up": {"min_runs": 0, "max_runs": 0}},
        "interpreters": {"huggingface": str(python)},
        "dataset_catalogue": {DATASET: data},
        "model_catalogue": {
            entry_name(name): {"kind": "huggingface", "folder": str(folder / "folders" / name), "input": sizes[name]}
            for name in names
        },
    }


def entry_name(name: str) -> str:
    """Return the name of a network's entry, which no other entry has."""
    return f"folder_{name}"


def miou(maps: Maps, labels: Maps) -> float:
    """Return the mean IoU over the classes that are labelled or predicted."""
    pairs = np.concatenate([labels[name].ravel().astype(int) * CLASSES + maps[name].ravel() for name in labels])
    matrix = np.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)
    hits, either = np.diag(matrix), matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
    return float(np.mean(hits[either > 0] / either[either > 0]))


def class_maps(results: Path, name: str, variant: str) -> Maps:
    """Return the class maps that the run has kept, by the name of the image's file."""
    kept = Predictions.open(results / "predictions" / DATASET / entry_name(name) / variant / "0" / "predictions.zip")
    rows = index_rows(results / "data" / DATASET / "val" / "images.csv")
    return {Path(row["image"]).stem: kept[row["image_id"]] for row in rows}


@command
def main() -> None:
    """Save, run and compare. Fail where a class map or an mIoU is not that of transformers."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("networks", nargs="*", metavar="NETWORK", help="networks to run (default: all)")
    options.add_argument("--python", type=Path, default=ROOT / ".venv-torch/bin/python", help="Python with PyTorch")
    options.add_argument("--folder", type=Path, default=Path("results/folders"), help="folder of the copy")
    options.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder of the JSON record")
    args = options.parse_args()
    names = args.networks or list(NETWORKS)
    if unknown := sorted(set(names) - NETWORKS.keys()):
        options.error(f"unknown networks: {', '.join(unknown)}; known: {', '.join(NETWORKS)}")
    if not args.python.exists():
        options.error(f"{args.python}: is not there; run `make env-torch`, or name another by --python")
    folder, python = args.folder.absolute(), args.python.absolute()
    copy_workflow(folder)
    labels = draw(folder / DATASET)
    saved = folder / "folders"
    saved.mkdir(exist_ok=True)
    script = str(Path(__file__).with_name("folders.py"))
    told = ["--images", str(folder / DATASET / "images"), "--out", str(saved)]
    subprocess.run([str(python), script, *names, *told], check=True)
    (folder / "config" / "folders.yaml").write_text(yaml.safe_dump(overlay(folder, python, names)))
    workflow = [sys.executable, "-m", "snakemake", "--nolock", "--configfile", "config/folders.yaml", "--"]
    subprocess.run([*workflow, "results/table.csv"], cwd=folder, check=True)
    rows = {(row["model"], row["variant"]): row for row in read_table(folder / "results" / "table.csv")}
    cells, right = [], True
    for name in names:
        wanted: Maps = dict(np.load(saved / f"{name}.npz"))
        theirs = miou(wanted, labels)
        for variant in VARIANTS:
            row = rows[entry_name(name), variant]
            if row["status"] != "ok":
                cells.append([name, variant, row["status"], "", "", f"{theirs:.4f}", row["reason"]])
                right = False
                continue
            found = class_maps(folder / "results", name, variant)
            same = [agreement(found[image], wanted[image]) for image in wanted]
            pixels = np.average(same, weights=[one.size for one in wanted.values()])
            right = right and bool(pixels >= SAME_NETWORK) and abs(row["miou"] - theirs) <= MIOU_BOUND
            cells.append(
                [name, variant, f"{pixels:.5f}", f"{min(same):.5f}", f"{row['miou']:.4f}", f"{theirs:.4f}", ""]
            )
    header = ["network", "variant", "agreement", "least of an image", "mIoU", "mIoU of transformers", "reason"]
    leave(args.out, "folders", header, cells, {"cells": cells})
    if not right:
        sys.exit(1)


if __name__ == "__main__":
    main()
