"""Build a variant's engine from an exported model, and save `engine/` and its `status.json` with a manifest."""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, TypedDict

from segbench.calibration.base import OF_MODEL, TABLE, layers_file, open_calibration
from segbench.config.options import Variant, parse_options
from segbench.engines.base import first_no, has_scenario, load
from segbench.errors import InputError, Unsupported
from segbench.files import atomic, manifest_of, read_json, sha256_of, write_json
from segbench.machine.cpu import this_machine
from segbench.machine.environment import environment_record
from segbench.models.exported import ExportedModel, operators_named, refuse_quantized
from segbench.models.logits import LogitsModel, calibration_with_logits
from segbench.process.lifetime import command
from segbench.process.limits import Limits, configured_limits
from segbench.process.status import read_status, run_stage, write_status
from segbench.process.supervise import Outcome, progress, stage
from segbench.runtimes.paddle.passes import LEFT_OUT


class Request(TypedDict):
    """The child's request: paths as texts ("": there is none), the variant and its build options."""

    model: str
    variant: dict[str, Any]
    options: dict[str, Any]
    calibration: str
    fp32_layers: str  # JSON file of the layers that stay in FP32 in place of those beside a table
    twin: str
    shapes: str
    passes: str
    logits: bool  # whether the engine ends in logits, for the accuracy pass, and not in a class map
    out: str  # folder to fill; the parent names it


def build(request: Request) -> dict[str, Any]:
    """Check in the child that the variant can run here, then build into folder `request["out"]`."""
    variant = Variant(**request["variant"])
    variant = variant.single if request["logits"] else variant  # logits are made image by image, and not timed
    engine, machine = load(variant.engine), this_machine()
    support = first_no(has_scenario(engine, variant), engine.can_build(variant, machine))
    if not support.ok:
        raise Unsupported(support.reason)
    model = ExportedModel.open(Path(request["model"]))
    if request["twin"] and sha256_of(model.folder / "model.onnx") != read_json(request["twin"])["sha256"]:
        raise InputError(f"{model.folder / 'model.onnx'}: damaged; delete it and run again")
    options = parse_options(engine.build_options, request["options"], f"variant_catalogue.{variant.name}.build")
    table = open_calibration(request["calibration"], model)
    check_quantized(model, variant, table)
    progress("building")
    out = Path(request["out"])
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=out.name) as work, operators_named(model):
        if table and request["fp32_layers"]:
            table = table_with_layers(table, Path(request["fp32_layers"]), engine.table_judge, Path(work) / "layers")
        if request["logits"] or model.facts.get("head") == "logits":
            model = LogitsModel(model.folder, model.facts, Path(work))
            table = table and calibration_with_logits(table, Path(work), model.facts["class_count"])
        facts = engine.build(model, table, variant, options, out)
    if request["twin"]:
        facts["notes"] = [*read_json(request["twin"]).get("notes", []), *facts.get("notes", [])]
    if request["passes"]:
        found = read_json(request["passes"])
        facts["warnings"] = found.get("warnings", [])
        if found["left_out"]:
            write_json(out / LEFT_OUT, found["left_out"])
    return {"build_s": time.perf_counter() - started, "environment": environment_record(machine, 0), **facts}


def check_quantized(model: ExportedModel, variant: Variant, calibration: Path | None) -> None:
    """Raise Unsupported where a quantised model is to run in another precision or to be quantised again, and where a
    model of floats is to run in INT8 as it is.
    """
    if not is_of_model(variant.precision, calibration):
        refuse_quantized(model)
    elif not model.quantized:
        raise Unsupported(
            f"no operator of the model computes in 8 bits: choose {variant.engine}-int8, which calibrates it, or"
            f" {variant.engine}-fp32"
        )


def is_of_model(precision: str, calibration: Any) -> bool:
    """Return whether a variant's INT8 is the model's own: it has no calibration."""
    return precision == "int8" and not calibration


def table_with_layers(calibration: Path, layers: Path, judge: str, out: Path) -> Path:
    """Copy a calibration's table to folder `out`, and put the layers there that stay in FP32."""
    out.mkdir()
    shutil.copyfile(calibration / TABLE, out / TABLE)
    write_json(out / layers_file(judge), {"fp32_layers": read_json(layers)["fp32_layers"]})
    return out


def how_calibrated(status: str, judge: str, precision: str, fp32_layers: str = "") -> Outcome:
    """Return how a calibration and the following choice of layers ended, and their costs; ok where there is none.

    `judge` is the runtime that chose the layers, unless the file `fp32_layers` has them.
    """
    if not status:
        return Outcome("ok", result={"calibrator": OF_MODEL} if is_of_model(precision, status) else {})
    layers = Path(fp32_layers) if fp32_layers else Path(status).with_name(layers_file(judge))
    records = [read_json(path) for path in (Path(status), layers) if path.exists()]
    worst = next((record for record in records if record["status"] != "ok"), records[0])
    peaks = [record["peak_rss_bytes"] for record in records if record.get("peak_rss_bytes")]
    facts = {
        "calibrator": records[0]["calibrator"]["name"],
        "calibration_s": sum(record.get("wall_s", 0.0) for record in records),
        "calibration_rss_bytes": max(peaks, default=None),
        "calibration_drop": records[-1].get("drop"),
        "calibration_drop_high": records[-1].get("drop_high"),
        "max_drop": records[-1].get("max_drop"),
        "calibration_warnings": records[-1].get("warnings", []),
    }
    return Outcome(worst["status"], worst["reason"], facts)


def build_engine(request: Request, limits: Limits, engine: Path, status: Path, check: str = "") -> None:
    """Build under supervision in the parent, then move the engine's folder and its status into place."""
    name = f"{Path(request['model']).parent.name} {request['variant']['name']} engine"
    name += " with logits" if request["logits"] else ""
    plugin = load(request["variant"]["engine"])
    calibrated = how_calibrated(
        request["calibration"], plugin.table_judge, request["variant"]["precision"], request["fp32_layers"]
    )
    before = [read_status(request["model"]), read_status(check)]
    beside = [read_status(request[key]) for key in ("shapes", "passes")]
    upstream = [*before, *beside, calibrated, read_status(request["twin"], "no ONNX twin")]
    with atomic(engine) as folder:
        variables = plugin.child_variables()
        outcome = run_stage(__file__, {**request, "out": str(folder)}, limits, name, upstream, variables)
        folder.mkdir(exist_ok=True)
        manifest = manifest_of(folder) if outcome.status == "ok" else {}
        facts = {
            "variant": request["variant"],
            "model": request["model"],
            "engine_bytes": sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) if manifest else None,
            "peak_rss_bytes": outcome.peak_rss_bytes,
            "manifest": manifest,
            **calibrated.result,
        }
        if not manifest:
            shutil.rmtree(folder)
            folder.mkdir()
    write_status(status, name, outcome, facts)


@command
def main() -> None:
    """Parse the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model.json of the exported model")
    parser.add_argument("--check", default="", help="the check of data set and model (none: not checked)")
    parser.add_argument("--variant", type=json.loads, required=True, help="JSON: name, engine, precision")
    parser.add_argument("--options", type=json.loads, default={}, help="JSON: the engine's build options")
    parser.add_argument("--twin", default="", help="onnx.json of the ONNX twin, where the engine builds from it")
    parser.add_argument("--shapes", default="", help="shapes.json of the model, where the engine wants it")
    parser.add_argument("--passes", default="", help="wrong_passes.json of the model, where the engine leaves them out")
    parser.add_argument("--calibration", default="", help="status.json of the calibration, for INT8")
    parser.add_argument(
        "--fp32-layers", default="", help="JSON file of the layers that stay in FP32 (none: those beside the table)"
    )
    parser.add_argument("--logits", action="store_true", help="end in logits, for the accuracy of resized images")
    parser.add_argument("--engine", type=Path, required=True, help="folder to make")
    parser.add_argument("--status", type=Path, required=True, help="status.json to write")
    args = parser.parse_args()
    request: Request = {
        "model": str(args.model), "variant": args.variant, "options": args.options,
        "calibration": args.calibration, "fp32_layers": args.fp32_layers, "twin": args.twin, "shapes": args.shapes,
        "passes": args.passes, "logits": args.logits, "out": "",
    }  # fmt: skip
    build_engine(request, configured_limits(), args.engine, args.status, args.check)


if __name__ == "__main__":
    stage(main, build)
