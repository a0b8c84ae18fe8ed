"""Convert an exported Paddle model to an ONNX model that computes the same, under supervision, since converters
crash.

ONNX Runtime and native Paddle then run a drawn image. Where their class maps differ, there is no twin.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from segbench.arrays import SAME_NETWORK, agreement
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
    """Write the ONNX twin of `request["pdmodel"]`, `["pdiparams"]` to `["out"]`, in the child. Where `["model"]` is
    given, write ONNX Runtime's class map (H×W) of a drawn image to `["class_map"]`.

    Raises Unsupported where there is no twin, or ONNX Runtime cannot run it.
    """
    import onnx

    progress("converting to ONNX", silent=True)
    model = make_twin(Path(request["pdmodel"]), Path(request["pdiparams"]))
    onnx.save(model, request["out"])
    if request["model"]:
        progress("running the ONNX twin")
        predict = onnxruntime.class_maps(Path(request["out"]), "ONNX twin")
        np.save(request["class_map"], predict(drawn_input(read_json(request["model"]))))
    return {}


def run_paddle(request: dict[str, str]) -> dict[str, Any]:
    """Write native Paddle's class map (H×W) of the same image to `request["class_map"]`, in a child of its own."""
    progress("running native Paddle")
    session = paddle.native_session(Path(request["pdmodel"]), 0, paddle.RunOptions())
    np.save(request["class_map"], run_once(session, drawn_input(read_json(request["model"]))))
    return {}


WORK = {"convert": convert, "run_paddle": run_paddle}


def work(request: dict[str, str]) -> dict[str, Any]:
    """Do in the child what `request["do"]` names."""
    return WORK[request["do"]](request)


def compare(request: dict[str, str], twin: Path, limits: Limits, name: str, bound: float = SAME_NETWORK) -> Outcome:
    """Run the model on the image whose class map by the twin is in the file `twin`, and compare. A model that Paddle
    itself cannot run says nothing of its twin.
    """
    native = twin.with_name("paddle.npy")
    outcome = run_stage(__file__, {**request, "do": "run_paddle", "class_map": str(native)}, limits, name)
    if outcome.status != "ok":
        why = outcome.reason.replace("; ", ", ")  # which ends a note in the table
        return Outcome("ok", result={"notes": [f"its ONNX twin was not compared with Paddle: {why}"]})
    maps = {"twin": np.load(twin), "paddle": np.load(native)}
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
    with atomic(out) as temporary, tempfile.TemporaryDirectory() as folder:
        twin = Path(folder) / "twin.npy"
        asked = {**request, "do": "convert", "out": str(temporary), "class_map": str(twin)}
        outcome = made = run_stage(__file__, asked, limits.of_conversion(), name, [read_status(request["model"])])
        if made.status == "ok" and request["model"]:
            outcome = compare(asked, twin, limits, name, bound)
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
