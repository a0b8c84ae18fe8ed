"""Find the graph passes with which Paddle's oneDNN engine computes other class maps than native Paddle.

Both run the same few training images, since some passes are wrong from the second image on. Where the class maps
differ, or oneDNN crashes, passes are left out by bisection. Each trial is a process of its own.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
from segbench.arrays import SAME_NETWORK, agreement
from segbench.calibration.images import CalibrationImages, Entries
from segbench.config.options import Variant
from segbench.engines import paddle, paddle_onednn
from segbench.engines.base import run_once
from segbench.errors import Failed, Unsupported
from segbench.files import read_json
from segbench.images.index import index_rows
from segbench.images.placement import Placer
from segbench.machine.cpu import this_machine
from segbench.models.exported import ExportedModel
from segbench.process.lifetime import command
from segbench.process.limits import Limits, configured_limits
from segbench.process.status import attempt, read_status, run_stage, write_status
from segbench.process.supervise import Outcome, progress, stage
from segbench.runtimes.paddle.passes import guilty_passes

IMAGES = 4
VARIANT = Variant("paddle_onednn-fp32", "paddle_onednn", "fp32")
NATIVE, ONEDNN = "native Paddle", "oneDNN"


class Request(TypedDict):
    """The child's request: paths as texts."""

    model: str
    index: str
    engine: str  # NATIVE or ONEDNN
    left_out: list[str]
    out: str  # class maps to write, N×H×W


def run_images(request: Request) -> dict[str, Any]:
    """Run the images in the child and write their class maps. Return the passes that oneDNN has."""
    support = paddle_onednn.ENGINE.supports(VARIANT, this_machine())
    if not support.ok:
        raise Unsupported(support.reason)
    model = ExportedModel.open(Path(request["model"]))
    rows = fitting_rows(Path(request["index"]), model.facts)
    if not rows:
        raise Failed(f"{request['index']} names no image that fits the model's input")
    progress(f"opening the model by {request['engine']}")
    session, passes = _opened(model.folder / "model.pdmodel", request)
    images = CalibrationImages(rows, model.facts, f"running images by {request['engine']}")
    np.save(request["out"], np.stack([run_once(session, image) for image in images]))
    return {"passes": passes, "images": len(rows)}


def fitting_rows(index: Path, model: dict[str, Any]) -> Entries:
    """Return the first IMAGES rows of an index whose images the model takes. Others may stand there: nothing scores
    them.
    """
    placer = Placer(model["preprocessing"], (model["input"]["height"], model["input"]["width"]))
    rows = (row for row in index_rows(index) if not placer.misfit((int(row["height"]), int(row["width"]))))
    return list(itertools.islice(rows, IMAGES))


def _opened(program: Path, request: Request) -> tuple[paddle.PaddleSession, list[str]]:
    options = paddle_onednn.RunOptions()
    passes = paddle_onednn.fusions(paddle_onednn.onednn_config(program, 0, options, VARIANT))
    if request["engine"] == NATIVE:
        return paddle.native_session(program, 0, options), passes
    return paddle_onednn.onednn_session(program, 0, options, VARIANT, request["left_out"]), passes


class Search:
    """Trials of one model on the same images. Each writes its class maps below `folder`."""

    def __init__(self, model: Path, index: Path, folder: Path, limits: Limits, bound: float) -> None:
        self._model, self._index, self._folder, self._limits, self._bound = model, index, folder, limits, bound
        self.trials = 0

    def run(self, engine: str, left_out: Sequence[str] = ()) -> tuple[Outcome, npt.NDArray[np.uint8] | None]:
        """Run the images by an engine; no class maps where it could not."""
        self.trials += 1
        out = self._folder / f"{self.trials}.npy"
        request: Request = {
            "model": str(self._model), "index": str(self._index), "engine": engine, "left_out": list(left_out),
            "out": str(out),
        }  # fmt: skip
        name = f"{self._model.parent.name} passes, trial {self.trials}"
        outcome = run_stage(__file__, request, self._limits, name)
        return outcome, np.load(out) if outcome.status == "ok" else None

    def find(self) -> Outcome:
        """Compare, and where the class maps differ, or oneDNN crashes, find the passes to leave out.

        The outcome is oneDNN's where it cannot run. A failure of native Paddle is none of oneDNN's.
        """
        native, expected = self.run(NATIVE)
        if expected is None and native.status in ("failed", "refused"):
            return _found([], f"oneDNN was not compared with native Paddle: {native.reason}")
        if expected is None:
            return native
        first, class_maps = self.run(ONEDNN)
        if class_maps is None and not first.reason.startswith("crashed by "):
            return first
        same = 0.0 if class_maps is None else agreement(class_maps, expected)
        if same >= self._bound:
            return _found([], agreement=same)

        def agrees(left_out: Sequence[str]) -> bool:
            found = self.run(ONEDNN, left_out)[1]
            return found is not None and agreement(found, expected) >= self._bound

        guilty = guilty_passes(native.result["passes"], agrees)
        if guilty is None and class_maps is None:
            return first
        told = f"its class maps agree with native Paddle's on {same:.4f} of pixels (bound {self._bound:g})"
        told = told if first.status == "ok" else f"it {first.reason}"
        if guilty is None:
            return _found([], f"oneDNN differs whichever graph passes are left out: {told}", agreement=same)
        names = ", ".join(guilty)
        return _found(guilty, f"slower than it could be: oneDNN leaves out {names}, with which {told}", agreement=same)


def _found(left_out: list[str], warning: str = "", **facts: Any) -> Outcome:
    said = warning.replace("; ", ", ")  # which ends a warning in the table
    return Outcome("ok", result={"left_out": left_out, "warnings": [said] * bool(said), **facts})


def find(model: Path, index: Path, check: str, limits: Limits, out: Path, bound: float = SAME_NETWORK) -> None:
    """Search in the parent, trial by trial, and write the record. `bound`: share of equal pixels at least."""
    found = Outcome("ok")

    def work() -> dict[str, Any]:
        nonlocal found
        with tempfile.TemporaryDirectory() as folder:
            search = Search(model, index, Path(folder), limits, bound)
            # A model that is quantised already has no FP32 row, which alone native Paddle tells about.
            found = _found([]) if read_json(model).get("quantized") else search.find()
        return {"trials": search.trials}

    ended = attempt(work, [read_status(model), read_status(check)])
    outcome = found if ended.status == "ok" else ended
    write_status(out, f"{model.parent.name} passes", outcome, ended.result)


@command
def main() -> None:
    """Parse the command line and search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="model.json of the exported model")
    parser.add_argument("--check", default="", help="the check of data set and model (none: not checked)")
    parser.add_argument("--index", type=Path, required=True, help=f"images.csv; the first {IMAGES} that fit are run")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write: passes to leave out, and why")
    parser.add_argument("--bound", type=float, default=SAME_NETWORK, help="share of equal pixels at least")
    args = parser.parse_args()
    find(args.model, args.index, args.check, configured_limits(), args.out, args.bound)


if __name__ == "__main__":
    stage(main, run_images)
