"""Build a variant's engine from an exported model and save it: `engine/` and its `status.json` with a manifest."""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

from segbench.engines.base import ExportedModel, Variant, load
from segbench.environment import environment_record
from segbench.errors import InputError, Unsupported, command
from segbench.files import atomic, manifest_of, read_json, sha256_of, write_json
from segbench.machine import this_machine
from segbench.options import parse_options
from segbench.supervise import Limits, Outcome, configured_limits, report, stage, supervise


def build(request: dict[str, Any]) -> dict[str, Any]:
    """In the child: check that the variant can run here, then build into folder `request["out"]`."""
    variant = Variant(**request["variant"])
    engine, machine = load(variant.engine), this_machine()
    support = engine.supports(variant, machine)
    if not support.ok:
        raise Unsupported(support.reason)
    model = open_model(Path(request["model"]))
    if request["twin"] and sha256_of(model.folder / "model.onnx") != read_json(request["twin"])["sha256"]:
        raise InputError(f"{model.folder / 'model.onnx'}: damaged; delete it and run again")
    options = parse_options(engine.build_options, request["options"], f"variant_catalogue.{variant.name}.build")
    table = Path(request["table"]) if request["table"] else None
    report("building")
    started = time.perf_counter()
    facts = engine.build(model, table, variant, options, Path(request["out"]))
    return {"build_s": time.perf_counter() - started, "environment": environment_record(machine, 0), **facts}


def open_model(record: Path) -> ExportedModel:
    """The exported model of `record` (model.json). Raises InputError when a file is not the one recorded in it."""
    facts = read_json(record)
    for name, digest in facts["files"].items():
        if not (record.parent / name).exists() or sha256_of(record.parent / name) != digest:
            raise InputError(f"{record.parent / name}: damaged or missing; delete {record.parent} and run again")
    return ExportedModel(record.parent, facts)


def build_engine(request: dict[str, Any], limits: Limits, engine: Path, status: Path) -> None:
    """In the parent: build under supervision, then move the engine's folder and its status into place."""
    name = f"{Path(request['model']).parent.name} {request['variant']['name']} engine"
    twin = read_json(request["twin"]) if request["twin"] else {"status": "ok"}
    with atomic(engine) as folder:
        if twin["status"] == "ok":
            outcome = supervise(__file__, {**request, "out": str(folder)}, limits, name)
        else:
            outcome = Outcome(twin["status"], f"no ONNX twin: {twin['reason']}")
        folder.mkdir(exist_ok=True)
        manifest = manifest_of(folder) if outcome.status == "ok" else {}
        record = {
            "status": outcome.status,
            "reason": outcome.reason,
            "variant": request["variant"],
            "model": request["model"],
            "engine_bytes": sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) if manifest else None,
            "peak_rss_bytes": outcome.peak_rss_bytes,
            "manifest": manifest,
            **outcome.result,
        }
        if not manifest:
            shutil.rmtree(folder)
            folder.mkdir()
    write_json(status, record)
    print(f"{name}: {outcome.status} {outcome.reason}".strip())


@command
def main() -> None:
    """Parse the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model.json of the exported model")
    parser.add_argument("--variant", type=json.loads, required=True, help="JSON: name, engine, precision")
    parser.add_argument("--options", type=json.loads, default={}, help="JSON: the engine's build options")
    parser.add_argument("--twin", default="", help="onnx.json of the ONNX twin, where the engine builds from it")
    parser.add_argument("--table", default="", help="calibration table (status.json beside it), for INT8")
    parser.add_argument("--engine", type=Path, required=True, help="folder to make")
    parser.add_argument("--status", type=Path, required=True, help="status.json to write")
    a = parser.parse_args()
    request = {"model": str(a.model), "variant": a.variant, "options": a.options}
    request |= {"table": a.table, "twin": a.twin}
    build_engine(request, configured_limits(), a.engine, a.status)


if __name__ == "__main__":
    stage(main, build)
