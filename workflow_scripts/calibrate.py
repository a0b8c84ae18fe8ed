"""Calibrate a model for INT8 with training images: make a calibration table, a quantised model, or TensorRT's tables.

A calibration of a table that was stopped goes on within seconds of where it stopped.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any, TypedDict

from segbench.calibration.base import TABLE, Task, load, needs_reduced_range
from segbench.calibration.images import CalibrationImages, split_rows
from segbench.calibration.judging import held_out
from segbench.config.options import parse_options
from segbench.errors import InputError, Unsupported
from segbench.files import atomic, manifest_of, read_json
from segbench.machine.cpu import this_machine
from segbench.machine.environment import environment_record
from segbench.models.exported import ExportedModel, operators_named, refuse_quantized
from segbench.process.lifetime import command
from segbench.process.limits import Limits, configured_limits
from segbench.process.status import read_status, run_stage, write_status
from segbench.process.supervise import progress, stage


class Request(TypedDict):
    """The child's request: paths as texts, the calibrator's entry and its settings from the configuration."""

    model: str
    index: str
    dataset: str
    cache: str
    calibrator: dict[str, Any]
    settings: dict[str, Any]
    shapes: str
    passes: str
    fp32_layers: str  # JSON file of the layers that stay in FP32; "": those that `max_drop` asks for
    out: str  # folder to fill; the parent names it


def calibrate(request: Request) -> dict[str, Any]:
    """Calibrate in the child, and write the result to folder `request["out"]`."""
    entry, settings, machine = request["calibrator"], request["settings"], this_machine()
    calibrator = load(entry["library"])
    if missing := calibrator.missing():
        raise Unsupported(missing)
    where = f"calibrator_catalogue.{entry['name']}.options"
    given = read_json(request["fp32_layers"]) if request["fp32_layers"] else {}
    options = parse_options(calibrator.options, given.get("options") or entry["options"], where)
    model, dataset = ExportedModel.open(Path(request["model"])), read_json(request["dataset"])
    refuse_quantized(model)
    index = Path(request["index"])
    rows, judging = split_rows(index, settings["images"])[0], held_out(index, settings["images"], model.facts, dataset)
    if len(rows) < settings["images"]:
        print(f"calibrating with all {len(rows)} training images; calibration.images asks for {settings['images']}")
    task = Task(
        model=model,
        images=CalibrationImages(rows, model.facts),
        held_out=judging,
        max_drop=settings["max_drop"] if model.facts["has_trained_weights"] and judging.rows and not given else None,
        reduce_range=needs_reduced_range(machine),
        cache=Path(request["cache"]),
        left_out=tuple(read_json(request["passes"])["left_out"]) if request["passes"] else (),
        fp32_layers=tuple(given.get("fp32_layers", ())),
    )
    task.cache.mkdir(parents=True, exist_ok=True)
    progress("opening the model")
    with operators_named(model):
        facts = calibrator.calibrate(task, options, Path(request["out"]))
    record = {"model_digest": model.digest, "image_count": len(rows), "reduce_range": task.reduce_range}
    return {**record, "environment": environment_record(machine, 0), **facts}


def run(request: Request, twin: str, limits: Limits, result: Path, status: Path, check: str = "") -> None:
    """Calibrate under supervision in the parent, and move the result (a table, or a folder) and its status into
    place.
    """
    name = f"{Path(request['model']).parent.name} calibration {request['calibrator']['name']}"
    before = [read_status(request["model"]), read_status(check)]
    beside = [read_status(request[key]) for key in ("shapes", "passes", "fp32_layers")]
    upstream = [*before, read_status(twin, "no ONNX twin"), *beside]
    calibrator = load(request["calibrator"]["library"])
    is_table = calibrator.leaves_table
    with atomic(result.with_name(f"{result.name}.folder") if is_table else result) as folder:
        folder.mkdir()
        outcome = run_stage(
            __file__, {**request, "out": str(folder)}, limits, name, upstream, calibrator.child_variables()
        )
        good = outcome.status == "ok"
        facts = {
            "calibrator": request["calibrator"],
            "settings": request["settings"],
            "peak_rss_bytes": outcome.peak_rss_bytes,
            "wall_s": outcome.wall_s,
            "manifest": manifest_of(folder) if good else {},
        }
        if not good:
            shutil.rmtree(folder)
            folder.mkdir()
        if is_table:
            with atomic(result) as table:
                shutil.copyfile(folder / TABLE, table) if good else table.write_bytes(b"")
    if is_table:
        shutil.rmtree(result.with_name(f"{result.name}.folder"))
    write_status(status, name, outcome, facts)


@command
def main() -> None:
    """Parse the command line and calibrate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="model.json of the exported model")
    parser.add_argument("--check", default="", help="the check of data set and model (none: not checked)")
    parser.add_argument("--twin", default="", help="onnx.json of the ONNX twin, where the calibrator reads it")
    parser.add_argument("--shapes", default="", help="shapes.json of the model, where the calibrator wants it")
    parser.add_argument("--passes", default="", help="wrong_passes.json of the model, where its judge leaves them out")
    parser.add_argument("--fp32-layers", default="", help="JSON file of layers to keep in FP32 (none: max_drop)")
    parser.add_argument("--index", type=Path, required=True, help="index.csv of the images: calibration's first")
    parser.add_argument("--dataset", type=Path, required=True, help="dataset.json beside it")
    parser.add_argument("--calibrator", type=json.loads, required=True, help="JSON: name, library, options")
    parser.add_argument("--settings", type=json.loads, required=True, help="JSON: images, seed, max_drop")
    parser.add_argument("--cache", type=Path, required=True, help="folder for unfinished work")
    parser.add_argument(
        "--result", type=Path, required=True, help="table.json, or the folder of the calibrator's result"
    )
    parser.add_argument("--status", type=Path, required=True, help="status.json to write")
    args = parser.parse_args()
    if "images" not in args.settings:
        raise InputError("--settings: has no key images")
    request: Request = {
        "model": str(args.model), "index": str(args.index), "dataset": str(args.dataset), "cache": str(args.cache),
        "calibrator": args.calibrator, "settings": args.settings, "shapes": args.shapes,
        "passes": args.passes, "fp32_layers": args.fp32_layers, "out": "",
    }  # fmt: skip
    run(request, args.twin, configured_limits(), args.result, args.status, args.check)


if __name__ == "__main__":
    stage(main, calibrate)
