"""Measure what a data set of many images costs before and after inference: planning, and scoring.

Planning is a dry run of the default models and variants on a synthetic index. Nothing else of the data set exists.
Scoring is the workflow's own job on tiny class maps with a reference. Each gets wall and CPU seconds and peak memory.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from segbench.files import write_json
from segbench.scoring.predictions import PredictionsWriter

from validation.common import ROOT, leave, parser

PARTS = ("Snakefile", "rules", "workflow_scripts", "config", "profiles", "envs", "resources", "report")
DATASET = "synthetic"
CLASSES = ["road", "car", "person", "sky"]
HEIGHT, WIDTH = 4, 8


def copy_workflow(folder: Path) -> Path:
    """Copy the workflow without results, with an overlay for the synthetic data set."""
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)
    catalogue = {DATASET: {"kind": "cityscapes", "root": "nowhere"}}
    (folder / "overlay.yaml").write_text(yaml.safe_dump({"dataset": DATASET, "dataset_catalogue": catalogue}))
    return folder


def write_data(folder: Path, count: int) -> Path:
    """Write index, summary, and class maps of a run and a reference for `count` images that share one label file."""
    data = folder / "results" / "data" / DATASET / "val"
    data.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    label, maps = (
        random.integers(0, len(CLASSES), shape, np.uint8) for shape in ((HEIGHT, WIDTH), (16, HEIGHT, WIDTH))
    )
    cv2.imwrite(str(folder / "label.png"), label)
    names = [f"city_{number:07d}_leftImg8bit" for number in range(count)]
    with open(data / "index.csv", "w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(("image_id", "image", "label", "height", "width", "image_sha256"))
        table.writerows((name, f"images/{name}.png", folder / "label.png", HEIGHT, WIDTH, "0" * 64) for name in names)
    facts = {"classes": CLASSES, "ignore_index": 255, "id_map": None, "labelled": True, "count": count}
    write_json(data / "dataset.json", facts)
    for shift, file in enumerate(("predictions", "reference")):
        with PredictionsWriter(folder / f"{file}.zip", HEIGHT, WIDTH) as writer:
            for number, name in enumerate(names):
                writer.add(name, maps[(number + shift * (number % 100 == 0)) % 16])
    write_json(folder / "run.json", {"status": "ok", "reason": ""})
    write_json(folder / "model.json", {"class_map": None, "has_trained_weights": True})
    return data


def measured(command: list[str], folder: Path) -> dict[str, Any]:
    """Return wall and CPU seconds and peak resident memory of a command. Raises RuntimeError with its output."""
    with open(folder / "printed", "w+", encoding="utf-8") as printed:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=printed, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.perf_counter() - start
        if process.returncode:
            printed.seek(0)
            raise RuntimeError(f"{command} failed:\n{printed.read()[-2000:]}")
    cpu_s = usage.ru_utime + usage.ru_stime
    return {"wall_s": wall_s, "cpu_s": cpu_s, "peak_rss_bytes": usage.ru_maxrss * 1024}


def planning(folder: Path, shards: int) -> dict[str, Any]:
    """Measure a dry run of the whole."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules", "--configfile", "overlay.yaml"]
    return measured([*command, "--config", f"shards={shards}"], folder)


def scoring(folder: Path, data: Path) -> dict[str, Any]:
    """Measure the job of one variant."""
    files: dict[str, Any] = {
        "predictions": "predictions.zip",
        "run-status": "run.json",
        "model": "model.json",
        "out": "score.json",
    }
    files |= {"reference": "reference.zip", "dataset": data / "dataset.json", "index": data / "index.csv"}
    options = [f"--{key}={folder / file}" for key, file in files.items()]
    more = ["--reference-name=paddle-fp32", "--agreement-bound=0.9", "--jobs=2"]
    return measured([sys.executable, str(ROOT / "workflow_scripts" / "score.py"), *options, *more], folder)


def main() -> None:
    """Parse the command line and measure."""
    parsing = parser(__doc__, shards=(10, "shards of the last planning"))
    parsing.add_argument(
        "--counts", type=int, nargs="+", default=[10**3, 10**4, 10**5, 10**6], help="numbers of images"
    )
    a = parsing.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = copy_workflow(Path(name))
        for count in a.counts:
            # A child measures: a process counts as its own peak what its parent held when it started.
            with get_context("spawn").Pool(1) as pool:
                data = pool.apply(write_data, (folder, count))
            figures = {"planning": planning(folder, 1), "scoring": scoring(folder, data)}
            found += [{"images": count, "shards": 1, "what": what, **figure} for what, figure in figures.items()]
        found.append({"images": a.counts[-1], "shards": a.shards, "what": "planning", **planning(folder, a.shards)})
    cells = [
        [
            *(row[name] for name in ("what", "images", "shards")),
            *(f"{row[name]:.1f}" for name in ("wall_s", "cpu_s")),
            f"{row['peak_rss_bytes'] / 1e6:.0f}",
        ]
        for row in sorted(found, key=lambda row: (row["what"], row["shards"], row["images"]))
    ]
    leave(a.out, "many_images", ["what", "images", "shards", "wall s", "CPU s", "peak MB"], cells, {"figures": found})


if __name__ == "__main__":
    main()
