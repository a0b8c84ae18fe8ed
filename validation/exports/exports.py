"""Export networks as people do, by PyTorch's two exporters, and run them: do engines give PyTorch's own class maps?

Each network of networks.py has random weights. It is exported by the exporter that is based on TorchScript and by the
newer one (dynamo), with static and with dynamic sizes. The workflow's own scripts take the file as an entry of kind
`onnx` (`fetch_checkpoint`, `export_onnx_model`), and its engines run it on drawn images. Nothing is downloaded.

`--folder` keeps the row of each export, so that an interrupted validation goes on where it stopped. Models and engines
are deleted when a row is kept.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from segbench.arrays import SAME_NETWORK, agreement
from segbench.config.schema import Preprocessing
from segbench.errors import one_line
from segbench.files import read_json, write_json
from segbench.images.drawn import drawn_image
from segbench.images.normalize import Normalizer
from segbench.process.lifetime import command
from segbench.process.status import read_status

from validation.common import ROOT, leave
from validation.exports.networks import CLASSES, NETWORKS, SQUARE, WAYS
from validation.exports.run_engine import VARIANTS, class_maps

HEIGHT, WIDTH = 128, 256
IMAGES = 4
REFUSED = "not exported"  # by PyTorch itself
Row = dict[str, Any]


def draw(path: Path, width: int) -> None:
    """Write the input of networks: drawn images, N×3×H×W."""
    normalizer = Normalizer(Preprocessing().model_dump(), HEIGHT, width)
    np.save(path, np.concatenate([normalizer(drawn_image(HEIGHT, width, seed)).copy() for seed in range(IMAGES)]))


def entry(width: int) -> dict[str, Any]:
    """Return the entry of an export."""
    return {
        "kind": "onnx",
        "weights": {"path": "model.onnx"},
        "input": {"height": HEIGHT, "width": width},
        "preprocessing": Preprocessing().model_dump(),
        "class_count": CLASSES,
        "class_map": None,
        "output": None,
        "output_kind": "auto",
        "threshold": None,
    }


def run(folder: Path, python: Path, images: Path, network: str) -> list[Row]:
    """Export a network in every way and run each export in `folder`. Return their rows."""
    script = str(Path(__file__).with_name("networks.py"))
    with open(folder / "log", "w", encoding="utf-8") as log:
        told = [script, network, "--images", str(images), "--out", str(folder)]
        done = subprocess.run([str(python), *told], stdout=log, stderr=subprocess.STDOUT, check=False)
    rows = []
    for exporter, sizes in WAYS:
        row: Row = {"network": network, "exporter": exporter, "sizes": sizes, "variants": {}, "notes": []}
        rows.append(row | run_export(folder / f"{exporter}-{sizes}", images, done.returncode))
    return rows


def run_export(folder: Path, images: Path, code: int) -> Row:
    """Run the export in `folder`. Return how it ended. `code` is the exit status of PyTorch's process."""
    source, error = folder / "model.onnx", folder / "error.txt"
    if not source.exists() or error.exists():
        said = error.read_text(encoding="utf-8") if error.exists() else f"PyTorch's process ended with status {code}"
        return {"status": REFUSED, "reason": one_line(said, 120)}
    wanted = np.load(folder.parent / "class_maps.npy")
    model = exported(folder, source, wanted.shape[2])
    outcome = read_status(model)
    row: Row = {"status": outcome.status, "reason": outcome.reason, "notes": read_json(model)["notes"], "variants": {}}
    for variant in VARIANTS if outcome.status == "ok" else ():
        ended, found = class_maps(model, variant, images, folder)
        same = None if found is None else agreement(found, wanted)
        row["variants"][variant] = {"status": ended.status, "reason": ended.reason, "agreement": same}
    return {**row, "classes": len(np.unique(wanted))}


def exported(folder: Path, source: Path, width: int) -> Path:
    """Take `source` through the workflow's scripts, for images of that width. Return the exported model's record."""
    checkpoint, record = folder / "checkpoint.onnx", folder / "model" / "model.json"
    record.parent.mkdir()
    steps = {
        "fetch_checkpoint": ["--weights", json.dumps({"path": str(source)}), "--out", checkpoint, "--cache", folder],
        "export_onnx_model": [
            "--model", "mine", "--entry", json.dumps(entry(width)), "--onnx-in", checkpoint,
            "--out", record.with_suffix(".onnx"), "--json", record,
        ],
    }  # fmt: skip
    for name, arguments in steps.items():
        script = str(ROOT / "workflow_scripts" / f"{name}.py")
        subprocess.run([sys.executable, script, *map(str, arguments)], check=True)
    return record


def cell(row: Row, variant: str) -> str:
    """Return the agreement of a variant with PyTorch's class maps, rounded down, else how it ended."""
    ended = row["variants"].get(variant)
    if ended is None or ended["status"] != "ok":
        return str((ended or row)["status"])
    return f"{math.floor(ended['agreement'] * 1e5) / 1e5:.5f}"


def agrees(row: Row) -> bool:
    """Return whether all variants ran and give PyTorch's class maps."""
    return row["status"] == "ok" and all(
        (ended["agreement"] or 0) >= SAME_NETWORK for ended in row["variants"].values()
    )


def why_not(row: Row) -> list[str]:
    """Return what kept a row's variants from giving PyTorch's class maps."""
    if row["status"] != "ok":
        return [row["reason"]]
    ended = row["variants"].items()
    failed = [f"{variant}: {one['reason']}" for variant, one in ended if one["status"] != "ok"]
    low = [f"{variant}: {cell(row, variant)}" for variant, one in ended if (one["agreement"] or 1) < SAME_NETWORK]
    return failed + low


def counts(rows: list[Row]) -> dict[str, int]:
    """Count exports, and networks, by how they ended."""
    made = [row for row in rows if row["status"] != REFUSED]
    networks = {row["network"] for row in made}
    whole = {name for name in networks if all(agrees(row) for row in made if row["network"] == name)}
    return {
        "networks": len({row["network"] for row in rows}),
        "exports that PyTorch made": len(made),
        "exports that PyTorch refused": len(rows) - len(made),
        f"exports that agree on all engines (at least {SAME_NETWORK})": sum(map(agrees, made)),
        "networks all of whose exports agree": len(whole),
    }


@command
def main() -> None:
    """Run the exports, then print the table, the reasons and the counts. Fail where an export does not agree."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("networks", nargs="*", metavar="NETWORK", help="networks to run (default: all)")
    options.add_argument("--python", type=Path, default=ROOT / ".venv-exports/bin/python", help="Python with PyTorch")
    options.add_argument("--again", action="store_true", help="run the exports again whose rows are kept")
    options.add_argument("--folder", type=Path, default=Path("results/exports"), help="folder of the kept rows")
    options.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder of the JSON record")
    args = options.parse_args()
    if unknown := sorted(set(args.networks) - NETWORKS.keys()):
        options.error(f"unknown networks: {', '.join(unknown)}; known: {', '.join(NETWORKS)}")
    if not args.python.exists():
        options.error(f"{args.python}: is not there; run `make env-exports`, or name another by --python")
    folder = args.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for network in args.networks or NETWORKS:
        kept = folder / f"{network}.json"
        if args.again or not kept.exists():
            work = kept.with_suffix("")
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            images = work / "images.npy"
            draw(images, HEIGHT if network in SQUARE else WIDTH)
            write_json(kept, run(work, args.python.absolute(), images, network))
            (work / "log").replace(kept.with_suffix(".log"))
            shutil.rmtree(work)
        rows += read_json(kept)
    cells = [
        [
            row["network"],
            row["exporter"],
            row["sizes"],
            *(cell(row, variant) for variant in VARIANTS),
            "; ".join(why_not(row)),
        ]
        for row in rows
    ]
    found = counts(rows)
    leave(
        args.out,
        "exports",
        ["network", "exporter", "sizes", *VARIANTS, "reason"],
        cells,
        {"rows": rows, "counts": found},
    )
    print("\n".join(f"- {what}: {count}" for what, count in found.items()))
    if not all(agrees(row) for row in rows if row["status"] != REFUSED):
        sys.exit(1)


if __name__ == "__main__":
    main()
