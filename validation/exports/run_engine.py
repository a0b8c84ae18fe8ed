"""Build a variant's engine of an exported model and keep its class maps, in a child process, since engines crash."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "workflow_scripts"))  # the child is run by its path

import numpy as np
from segbench.config.options import Variant
from segbench.engines.base import load
from segbench.models.exported import ExportedModel
from segbench.process.lifetime import command
from segbench.process.limits import Limits
from segbench.process.status import read_status, run_stage
from segbench.process.supervise import Outcome, progress, stage

VARIANTS = {f"{engine}-fp32": Variant(f"{engine}-fp32", engine, "fp32") for engine in ("onnxruntime", "openvino")}


def work(request: dict[str, Any]) -> dict[str, Any]:
    """Build and run in the child: `images` (N×3×H×W, .npy) become `out` (N×H×W)."""
    variant, place = VARIANTS[request["variant"]], Path(request["engine"])
    engine = load(variant.engine)
    progress("building", silent=True)
    engine.build(ExportedModel.open(Path(request["model"])), None, variant, engine.build_options(), place)
    session, maps = engine.open(place, variant, engine.run_options(), threads=1), []
    for image in np.load(request["images"]):
        progress("running")
        session.upload(np.ascontiguousarray(image[None]))
        session.execute()
        session.synchronize()
        maps.append(session.download())
    np.save(request["out"], np.stack(maps))
    return {}


def class_maps(model: Path, variant: str, images: Path, folder: Path) -> tuple[Outcome, Any]:
    """Return how the variant ended, in the parent, and its class maps; None where there are none."""
    engine, out = folder / variant, folder / f"{variant}.npy"
    request = {"model": str(model), "variant": variant, "images": str(images), "engine": str(engine), "out": str(out)}
    outcome = run_stage(__file__, request, Limits(stage_s=600), f"{folder.name} {variant}", [read_status(model)])
    shutil.rmtree(engine, ignore_errors=True)
    return outcome, np.load(out) if outcome.status == "ok" else None


@command
def main() -> None:
    """Parse the command line and run a variant by hand."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("variant", choices=VARIANTS)
    options.add_argument("--model", type=Path, required=True, help="model.json of the exported model")
    options.add_argument("--images", type=Path, required=True, help="float32 N×3×H×W, a .npy file")
    options.add_argument("--folder", type=Path, required=True, help="folder for VARIANT.npy, the class maps")
    args = options.parse_args()
    class_maps(args.model, args.variant, args.images, args.folder)


if __name__ == "__main__":
    stage(main, work)
