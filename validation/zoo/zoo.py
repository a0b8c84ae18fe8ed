"""Run a network of every family of PaddleSeg's through the workflow: which engines take it, and do they agree?

families.yaml lists the networks. Each becomes a configuration of PaddleSeg's with random weights, and an entry of kind
`paddleseg` in a copy of the workflow, which runs it on two drawn images: on the four CPU engines in FP32, and on three
in INT8. Nothing is downloaded. Then the table has the agreement with native Paddle, and below it the reason of every
cell that did not run. In INT8 a row counts if it ran, since the agreement of random networks says nothing there.

Families are run one by one. `--folder` keeps each one's rows, so that an interrupted validation goes on where it
stopped. A family's models and engines are deleted when its rows are kept.
"""

from __future__ import annotations

import argparse
import math
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from segbench.config.schema import Config
from segbench.process.lifetime import command
from segbench.table.csv import read_table
from segbench.table.markdown import table
from segbench.table.row import Row

from validation.common import copy_workflow, leave

FAMILIES = Path(__file__).with_name("families.yaml")
SIZE = [128, 256]  # height, width
CLASSES = 19
NATIVE = "paddle-fp32"
FP32 = (NATIVE, "paddle_onednn-fp32", "onnxruntime-fp32", "openvino-fp32")
INT8 = ("paddle_onednn-int8", "onnxruntime-int8", "openvino-int8")
VARIANTS = (*FP32, *INT8)
BOUND = Config.model_fields["agreement_bounds"].default["fp32"]
CALIBRATION_IMAGES = 4
SHARED = ("data",)  # what the families' runs have in common below results/


def network(family: dict[str, Any]) -> dict[str, Any]:
    """Return PaddleSeg's configuration of a family's network."""
    return {
        "model": family["model"],
        "train_dataset": {"type": "Dataset", "num_classes": CLASSES},
        "val_dataset": {"transforms": [{"type": "Normalize"}]},
    }


def overlay(name: str, family: dict[str, Any], package: Path | None, stage_s: float) -> dict[str, Any]:
    """Return the configuration of one family's run. A clone of PaddleSeg is named where the family needs one."""
    height, width = family.get("size", SIZE)
    model: dict[str, Any] = {"kind": "paddleseg", "config": f"zoo/{name}.yml", "weights": "random"}
    if family.get("newer") and package:
        model["package"] = str(package.absolute())
    dataset = f"zoo_{height}x{width}"
    drawn = {"height": height, "width": width, "train": 2 * CALIBRATION_IMAGES, "val": 2, "seed": 0}
    short = {"images_per_round": 1, "round_min_s": 0, "extra_s": 0, "max_repeats": 0}
    return {
        "dataset": dataset,
        "models": [entry_name(name)],
        "variants": list(VARIANTS),
        "rounds": 1,
        "timing": {**short, "warm_up": {"min_runs": 0, "max_runs": 0}},
        "calibration": {"images": CALIBRATION_IMAGES, "max_drop": None},
        "limits": {"stage_s": stage_s},
        "dataset_catalogue": {dataset: {"kind": "cityscapes", "generate": drawn}},
        "model_catalogue": {entry_name(name): {**model, "input": {"height": height, "width": width}}},
    }


def entry_name(name: str) -> str:
    """Return the name of a family's entry. The catalogue has entries of its own that are named like families."""
    return f"zoo_{name}"


def kept_rows(folder: Path, name: str) -> Path:
    """Return the file that keeps a family's rows."""
    return folder / "kept" / f"{name}.csv"


def run(folder: Path, name: str, written: dict[str, Any]) -> None:
    """Run one family, unless its rows are kept. A run without a table keeps its log alone."""
    kept = kept_rows(folder, name)
    log = kept.with_suffix(".log")
    if kept.exists():
        return
    kept.parent.mkdir(exist_ok=True)
    (folder / "config" / "zoo.yaml").write_text(yaml.safe_dump(written))
    made = folder / "results" / "table.csv"
    made.unlink(missing_ok=True)
    start = time.monotonic()
    # The folder is this script's own: a lock in it is left from a run that was killed.
    workflow = [sys.executable, "-m", "snakemake", "--nolock", "--configfile", "config/zoo.yaml", "--"]
    workflow.append("results/table.csv")
    with open(log, "w", encoding="utf-8") as stream:
        subprocess.run(workflow, cwd=folder, check=False, stdout=stream, stderr=subprocess.STDOUT)
    if made.exists():
        made.rename(kept)
        for path in (folder / "results").iterdir():
            if path.name not in SHARED:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    said = "" if kept.exists() else f": no table, see {log}"
    print(f"{name}: {(time.monotonic() - start) / 60:.1f} min{said}", flush=True)


def cell(row: Row) -> str:
    """Return a row's agreement with native Paddle, rounded down; else that it ran; else its status."""
    if row["status"] != "ok":
        return row["status"]
    return "ran" if row["pixel_agreement"] is None else f"{math.floor(row['pixel_agreement'] * 1e5) / 1e5:.5f}"


def reasons(tables: dict[str, list[Row]]) -> list[list[str]]:
    """Return a line for each reason of a family: status, reason, and the variants that it concerns."""
    lines: dict[tuple[str, str, str], list[str]] = {}
    for name, rows in tables.items():
        for row in rows:
            if why := why_not(row):
                lines.setdefault((name, row["status"], why), []).append(row["variant"])
    return [[name, ", ".join(variants), status, why] for (name, status, why), variants in lines.items()]


def why_not(row: Row) -> str:
    """Return why a row is none of those that are wanted; empty where it is one."""
    if row["status"] != "ok":
        return row["reason"]
    if row["precision"] == "int8" or agrees(row):
        return ""
    return "no reference: native Paddle did not run" if row["pixel_agreement"] is None else f"agreement {cell(row)}"


def agrees(row: Row) -> bool:
    """Return whether a row ran and agrees with native Paddle."""
    return row["status"] == "ok" and (row["pixel_agreement"] or 0) >= BOUND


def counts(tables: dict[str, list[Row]]) -> dict[str, int]:
    """Count families by what their rows did."""
    families = [{row["variant"]: row for row in rows} for rows in tables.values()]
    ran = {variant: sum(of[variant]["status"] == "ok" for of in families) for variant in VARIANTS}
    return {
        "families with a table": len(families),
        f"ran on {NATIVE}": ran[NATIVE],
        f"agree on all four FP32 engines (at least {BOUND})": sum(all(agrees(of[v]) for v in FP32) for of in families),
        **{f"ran on {variant}": ran[variant] for variant in INT8},
        "rows with a bug of ours": sum(row["status"] == "bug" for rows in tables.values() for row in rows),
    }


@command
def main() -> None:
    """Run the families, then print the table, the reasons and the counts. Fail where a job of ours crashed."""
    families = yaml.safe_load(FAMILIES.read_text(encoding="utf-8"))["families"]
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("families", nargs="*", metavar="FAMILY", help="families to run (default: all)")
    options.add_argument("--package", type=Path, help="clone of PaddleSeg for networks that the installed one lacks")
    options.add_argument("--stage-s", type=float, default=600, help="seconds of a stage (default: %(default)s)")
    options.add_argument("--again", action="store_true", help="run the families again whose rows are kept")
    options.add_argument("--folder", type=Path, default=Path("results/zoo"), help="folder of the copy")
    options.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder of the JSON record")
    args = options.parse_args()
    if unknown := sorted(set(args.families) - families.keys()):
        options.error(f"unknown families: {', '.join(unknown)}; known: {', '.join(families)}")
    names = args.families or list(families)
    folder = args.folder.absolute()
    copy_workflow(folder)
    (folder / "zoo").mkdir(exist_ok=True)
    for name in names:
        if args.again:
            kept_rows(folder, name).unlink(missing_ok=True)
        (folder / "zoo" / f"{name}.yml").write_text(yaml.safe_dump(network(families[name])))
        run(folder, name, overlay(name, families[name], args.package, args.stage_s))
    tables = {name: read_table(kept_rows(folder, name)) for name in names if kept_rows(folder, name).exists()}
    crashed = [name for name in names if name not in tables]
    found = {**counts(tables), "families without a table": len(crashed)}
    cells = [[name, *map(cell, rows)] for name, rows in tables.items()] + [
        [name, *["no table"] * len(VARIANTS)] for name in crashed
    ]
    why = reasons(tables)
    leave(args.out, "zoo", ["family", *VARIANTS], cells, {"cells": cells, "reasons": why, "counts": found})
    print(f"{table(['family', 'variants', 'status', 'reason'], why)}\n")
    print("\n".join(f"- {what}: {count}" for what, count in found.items()))
    if crashed or found["rows with a bug of ours"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
