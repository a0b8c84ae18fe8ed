"""Convert an exported Paddle model to an ONNX model that computes the same, under supervision, since converters
crash.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from segbench.files import atomic, sha256_of
from segbench.machine.cpu import package_version
from segbench.models.onnx_twin import make_twin
from segbench.process.lifetime import command
from segbench.process.limits import Limits, configured_limits
from segbench.process.status import print_end, read_status, run_stage, write_status
from segbench.process.supervise import Outcome, progress, stage

PACKAGES = ("paddlepaddle", "paddlepaddle-gpu", "paddle2onnx", "onnx")


def convert(request: dict[str, str]) -> dict[str, Any]:
    """Write the ONNX twin of `request["pdmodel"]`, `["pdiparams"]` to `["out"]`, in the child."""
    import onnx

    progress("converting to ONNX")
    model = make_twin(Path(request["pdmodel"]), Path(request["pdiparams"]))
    onnx.save(model, request["out"])
    return {}


def export(request: dict[str, str], limits: Limits, out: Path, status: Path | None, model: str = "") -> Outcome:
    """Convert under supervision in the parent. Where there is no twin, `out` is empty and `status` has the reason."""
    name = f"{out.parent.name} ONNX twin"
    with atomic(out) as temporary:
        outcome = run_stage(__file__, {**request, "out": str(temporary)}, limits, name, [read_status(model)])
        if outcome.status != "ok":
            temporary.write_bytes(b"")
    facts = {
        "onnx_bytes": out.stat().st_size,
        "sha256": sha256_of(out),
        "peak_rss_bytes": outcome.peak_rss_bytes,
        "wall_s": outcome.wall_s,
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
    parser.add_argument("--model", default="", help="model.json of the exported model")
    parser.add_argument("--pdmodel", type=Path, required=True, help="the exported program")
    parser.add_argument("--pdiparams", type=Path, required=True, help="its parameters")
    parser.add_argument("--out", type=Path, required=True, help="model.onnx to write; empty when there is no twin")
    parser.add_argument("--status", type=Path, help="JSON to write: status and reason; without it no twin is an error")
    args = parser.parse_args()
    request = {"pdmodel": str(args.pdmodel), "pdiparams": str(args.pdiparams)}
    outcome = export(request, configured_limits(), args.out, args.status, args.model)
    if outcome.status != "ok" and args.status is None:
        sys.exit(1)


if __name__ == "__main__":
    stage(main, convert)
