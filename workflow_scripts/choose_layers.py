"""Judge what a calibration table costs in mIoU. If that is too much, keep the layers that hurt most in FP32.

ONNX Runtime, or OpenVINO where it builds from the table, runs the Q/DQ model on training images that calibration has
not seen, never on val.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypedDict

from segbench.calibration import qdq
from segbench.calibration.base import needs_reduced_range
from segbench.calibration.judging import Judge, held_out
from segbench.calibration.mixed_precision import Candidate, Predict, first_1_2_4
from segbench.calibration.table import CalibrationTable, read_table
from segbench.errors import InputError, framework_errors
from segbench.files import read_json, sha256_of, write_record
from segbench.machine.cpu import this_machine
from segbench.models.exported import ExportedModel
from segbench.process.lifetime import command
from segbench.process.limits import Limits, configured_limits
from segbench.process.status import read_status, run_stage, write_status
from segbench.process.supervise import progress, stage
from segbench.runtimes import onnxruntime
from segbench.runtimes.openvino import class_maps


class Request(TypedDict):
    """The child's request: paths as texts, and the calibration's settings."""

    model: str
    table: str
    index: str
    dataset: str
    runtime: str
    cache: str
    fp32_layers: str  # JSON file of the layers that are chosen already; "": there is none
    settings: dict[str, Any]


def choose(request: Request) -> dict[str, Any]:
    """Judge the model with all layers in INT8. Above the bound, put layers back to FP32 until it holds.

    Layers that are given are taken as they are.
    """
    if request["fp32_layers"]:
        return {"fp32_layers": read_json(request["fp32_layers"])["fp32_layers"]}
    model, settings = ExportedModel.open(Path(request["model"])), request["settings"]
    judging = held_out(Path(request["index"]), settings["images"], model.facts, read_json(request["dataset"]))
    if settings["max_drop"] is None or not model.facts["has_trained_weights"] or not judging.rows:
        return {"fp32_layers": []}
    table = read_table(Path(request["table"]), model.digest)
    with tempfile.TemporaryDirectory() as folder:
        work = Work(qdq.prepare(model, Path(folder)), table, Path(folder), RUNTIMES[request["runtime"]])
        progress("measuring the loss")
        judge = judging.judge(work.open(work.prepared))
        return judge.choose(candidates(request, work, judge), settings["max_drop"])[1]


class Work:
    """One model with its table in a folder of its own. `open` opens an ONNX file in the runtime that judges."""

    def __init__(self, prepared: Path, table: CalibrationTable, folder: Path, open: Callable[[Path], Predict]) -> None:
        self.prepared, self._table, self._out, self.open = prepared, table, folder / "qdq.onnx", open
        self._reduce_range = needs_reduced_range(this_machine())

    def quantized(self, **which: Any) -> Predict:
        """Return the Q/DQ model's class maps. `which` is passed to `qdq.quantize`."""
        qdq.quantize(self.prepared, self._table, self._out, reduce_range=self._reduce_range, **which)
        return self.open(self._out)


def _onnxruntime(path: Path) -> Predict:
    return onnxruntime.class_maps(path, "Q/DQ model")


def _openvino(path: Path) -> Predict:
    import openvino

    with framework_errors("opening the Q/DQ model", Exception, unsupported=True):
        return class_maps(openvino.Core().read_model(str(path)))


RUNTIMES = {"onnxruntime": _onnxruntime, "openvino": _openvino}  # by name: from network input to class map


def candidates(request: Request, work: Work, judge: Judge) -> Iterator[Candidate]:
    """Yield the model with all layers in INT8, then with the worst 1, 2, 4, … in FP32."""
    yield Candidate([], work.quantized())
    for kept in first_1_2_4(ranking(request, work, judge)):
        yield Candidate(kept, work.quantized(fp32_layers=kept))


def ranking(request: Request, work: Work, judge: Judge) -> list[str]:
    """Return the layers, the worst first. They are kept as a file, so that another bound needs no other pass."""
    facts = [sha256_of(request["table"]), sha256_of(request["index"]), request["runtime"], judge.choosing]
    path = Path(request["cache"]) / f"worst-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]}.json"
    try:
        found: list[str] = read_json(path)["ranking"]
    except InputError:
        found = judge.layers_worst_first(qdq.layers(work.prepared), lambda layer: work.quantized(only=[layer]))
        write_record(path, {"ranking": found})
    return found


def run(request: Request, status: Path, limits: Limits, out: Path) -> None:
    """Choose under supervision in the parent. Where there is no table, record why."""
    name = f"{Path(request['model']).parent.name} mixed precision {out.parent.name} {request['runtime']}"
    calibrated = read_json(status)
    if calibrated["status"] == "ok" and sha256_of(request["table"]) != calibrated["manifest"]["table.json"]:
        raise InputError(f"{request['table']}: damaged (not the recorded SHA-256); delete it and run again")
    outcome = run_stage(__file__, request, limits, name, [read_status(status), read_status(request["fp32_layers"])])
    facts = {"settings": request["settings"], "wall_s": outcome.wall_s, "peak_rss_bytes": outcome.peak_rss_bytes}
    write_status(out, name, outcome, facts)


@command
def main() -> None:
    """Parse the command line and choose."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="model.json of the exported model")
    parser.add_argument("--table", type=Path, required=True, help="table.json of the calibration")
    parser.add_argument("--status", type=Path, required=True, help="status.json beside it")
    parser.add_argument("--index", type=Path, required=True, help="index.csv of the images: calibration's first")
    parser.add_argument("--dataset", type=Path, required=True, help="dataset.json beside it")
    parser.add_argument("--settings", type=json.loads, required=True, help="JSON: images, max_drop")
    parser.add_argument("--runtime", choices=RUNTIMES, required=True, help="what runs the Q/DQ model")
    parser.add_argument("--fp32-layers", default="", help="JSON file of layers to keep in FP32 (none: max_drop)")
    parser.add_argument("--cache", type=Path, required=True, help="folder for rankings of layers")
    parser.add_argument("--out", type=Path, required=True, help="file of the layers to write")
    args = parser.parse_args()
    request: Request = {
        "model": str(args.model), "table": str(args.table), "index": str(args.index), "dataset": str(args.dataset),
        "runtime": args.runtime, "cache": str(args.cache), "fp32_layers": args.fp32_layers, "settings": args.settings,
    }  # fmt: skip
    run(request, args.status, configured_limits(), args.out)


if __name__ == "__main__":
    stage(main, choose)
