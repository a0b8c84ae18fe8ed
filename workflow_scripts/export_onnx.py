"""Convert an exported Paddle model to an ONNX model that computes the same, under supervision, since converters
crash.

ONNX Runtime and native Paddle then run a drawn image, each in a process of its own. Where their class maps differ,
there is no twin.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from segbench.arrays import SAME_NETWORK, Float32Image, agreement
from segbench.engines import paddle
from segbench.engines.base import run_once
from segbench.files import atomic, read_json, sha256_of
from segbench.images.drawn import drawn_input
from segbench.machine.cpu import package_version
from segbench.models.onnx_twin import make_twin
from segbench.process.lifetime import command
from segbench.process.limits import Limits, configured_limits
from segbench.process.status import print_end, read_status, run_stage, write_status
from segbench.process.supervise import Outcome, progress, stage
from segbench.runtimes import onnxruntime

PACKAGES = ("paddlepaddle", "paddlepaddle-gpu", "paddle2onnx", "onnx")


def convert(request: dict[str, str]) -> dict[str, Any]:
    """Write the ONNX twin of `request["pdmodel"]`, `["pdiparams"]` to `["out"]`, in the child."""
    import onnx

    progress("converting to ONNX", silent=True)
    model = make_twin(Path(request["pdmodel"]), Path(request["pdiparams"]))
    onnx.save(model, request["out"])
    return {}


def run_twin(request: dict[str, str], image: Float32Image) -> Any:
    """Return ONNX Runtime's class map (H×W) of the twin `request["out"]`. Raises Unsupported where it cannot run it."""
    progress("running the ONNX twin")
    return onnxruntime.class_maps(Path(request["out"]), "ONNX twin")(image)


def run_paddle(request: dict[str, str], image: Float32Image) -> Any:
    """Return native Paddle's class map (H×W) of the model."""
    progress("running native Paddle")
    return run_once(paddle.native_session(Path(request["pdmodel"]), 0, paddle.RunOptions()), image)


RUNNERS = {"twin": run_twin, "paddle": run_paddle}


def work(request: dict[str, str]) -> dict[str, Any]:
    """Convert in the child; or, where `request["run"]` names one of RUNNERS, write its class map to `["class_map"]`."""
    if "run" not in request:
        return convert(request)
    np.save(request["class_map"], RUNNERS[request["run"]](request, drawn_input(read_json(request["model"]))))
    return {}


def compare(request: dict[str, str], limits: Limits, name: str, bound: float = SAME_NETWORK) -> Outcome:
    """Run twin and model on one image in the parent. A model that Paddle itself cannot run says nothing of its twin."""
    maps = {}
    with tempfile.TemporaryDirectory() as folder:
        for run in RUNNERS:
            place = Path(folder) / f"{run}.npy"
            outcome = run_stage(__file__, {**request, "run": run, "class_map": str(place)}, limits, name)
            if outcome.status != "ok" and run == "paddle":
                why = outcome.reason.replace("; ", ", ")  # which ends a note in the table
                return Outcome("ok", result={"notes": [f"its ONNX twin was not compared with Paddle: {why}"]})
            if outcome.status != "ok":
                return outcome
            maps[run] = np.load(place)
    another = "paddle2onnx makes another function of this model"
    if maps["twin"].shape != maps["paddle"].shape:
        sizes = [f"{height}×{width}" for height, width in (maps["twin"].shape, maps["paddle"].shape)]
        return Outcome("unsupported", f"{another}: its class map is {sizes[0]}, native Paddle's {sizes[1]}")
    same = agreement(maps["twin"], maps["paddle"])
    facts = {"agreement": same, "classes": len(np.unique(maps["paddle"]))}
    if same >= bound:
        return Outcome("ok", result=facts)
    said = f"on a drawn image its class map agrees with native Paddle's on {same:.4f} of pixels (bound {bound:g})"
    return Outcome("unsupported", f"{another}: {said}", facts)


def export(
    request: dict[str, str], limits: Limits, out: Path, status: Path | None, bound: float = SAME_NETWORK
) -> Outcome:
    """Convert under supervision in the parent. Where there is no twin, `out` is empty and `status` has the reason.

    The twin is compared with the model where `request["model"]` (model.json) is given: their class maps are equal on a
    share of pixels of at least `bound`.
    """
    name = f"{out.parent.name} ONNX twin"
    with atomic(out) as temporary:
        asked = {**request, "out": str(temporary)}
        outcome = made = run_stage(__file__, asked, limits.of_conversion(), name, [read_status(request["model"])])
        if made.status == "ok" and request["model"]:
            outcome = compare(asked, limits, name, bound)
        if outcome.status != "ok":
            temporary.write_bytes(b"")
    facts = {
        "onnx_bytes": out.stat().st_size,
        "sha256": sha256_of(out),
        "peak_rss_bytes": made.peak_rss_bytes,
        "wall_s": made.wall_s,
        "versions": {package: version for package in PACKAGES if (version := package_version(package))},
    }
    if status:
        write_status(status, name, outcome, facts)
    else:
        print_end(name, outcome)
    return outcome


@command
def main() -> None:
    """Parse the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="", help="model.json of the exported model (none: not compared)")
    parser.add_argument("--pdmodel", type=Path, required=True, help="the exported program")
    parser.add_argument("--pdiparams", type=Path, required=True, help="its parameters")
    parser.add_argument("--out", type=Path, required=True, help="model.onnx to write; empty when there is no twin")
    parser.add_argument("--status", type=Path, help="JSON to write: status and reason; without it no twin is an error")
    parser.add_argument("--bound", type=float, default=SAME_NETWORK, help="share of equal pixels at least")
    args = parser.parse_args()
    request = {"model": args.model, "pdmodel": str(args.pdmodel), "pdiparams": str(args.pdiparams)}
    outcome = export(request, configured_limits(), args.out, args.status, args.bound)
    if outcome.status != "ok" and args.status is None:
        sys.exit(1)


if __name__ == "__main__":
    stage(main, work)
