"""Export a Paddle model at its fixed input shape: logits, argmax and a cast to 8 bits in one graph."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from segbench.errors import InputError
from segbench.files import as_fetched, atomic, scratch
from segbench.models import architectures, inference_model
from segbench.models.checkpoint import read_arrays
from segbench.models.paddle_files import count_parameters, without_call_stacks
from segbench.models.record import check_class_map, write_model
from segbench.process.lifetime import command

PACKAGES = ("paddlepaddle", "paddlepaddle-gpu", "paddleseg")


def export(model: str, entry: dict[str, Any], checkpoint: Path | None, pdmodel: Path, pdiparams: Path) -> int:
    """Write the inference model: float32 1×3×H×W in, uint8 1×H×W class indices out. Returns its parameter count.

    The same entry and checkpoint give the same bytes, on any machine. Raises InputError naming `model` when class map,
    checkpoint, class_count or input size do not fit.
    """
    check_class_map(model, entry)
    with scratch(pdmodel.with_suffix(".export")) as folder:
        prefix = folder / "model"
        if entry["kind"] == "paddle_inference":
            assert checkpoint is not None  # the configuration wants weights for this kind
            inference_model.export(model, entry, checkpoint, prefix)
        else:
            _export_layer(model, entry, checkpoint, prefix)
        program = without_call_stacks(prefix.with_suffix(".pdmodel").read_bytes())
        with atomic(pdiparams) as temporary:
            prefix.with_suffix(".pdiparams").rename(temporary)
    with atomic(pdmodel) as temporary:
        temporary.write_bytes(program)
    return count_parameters(program)


def _export_layer(model: str, entry: dict[str, Any], checkpoint: Path | None, prefix: Path) -> None:
    height, width = entry["input"]["height"], entry["input"]["width"]
    if checkpoint is None and entry["weights"] != "random":
        raise InputError(f"model_catalogue.{model}.weights: not 'random', so --checkpoint is needed")
    with architectures.fresh_names():
        try:
            layer = architectures.build(entry, height, width)
        except InputError as error:
            raise InputError(f"model_catalogue.{model}.{error}") from None
        if checkpoint is not None:
            architectures.load(layer, read_arrays(checkpoint), model)
        print(f"{model}: tracing at {height}×{width}", flush=True)
        _trace(layer, height, width, prefix)


def _trace(layer: Any, height: int, width: int, prefix: Path) -> None:
    import paddle

    class ClassMap(paddle.nn.Layer):
        """Class index of the highest score, 1×H×W uint8."""

        def __init__(self, network: Any) -> None:
            super().__init__()
            self.network = network

        def forward(self, image: Any) -> Any:
            """Float32 1×3×H×W to uint8 1×H×W."""
            # int32 first: the one type that every engine's argmax has.
            return self.network(image)[0].argmax(axis=1, dtype="int32").cast("uint8")

    whole = ClassMap(layer)
    whole.eval()
    shape = paddle.static.InputSpec([1, 3, height, width], "float32", "image")
    with architectures.constant_shapes():
        paddle.jit.save(paddle.jit.to_static(whole, input_spec=[shape], full_graph=True), str(prefix))


@command
def main() -> None:
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="name of the entry")
    parser.add_argument("--entry", type=json.loads, required=True, help="JSON: the entry of model_catalogue")
    parser.add_argument("--checkpoint", type=Path, help="its weights; none for random ones")
    parser.add_argument("--pdmodel", type=Path, required=True, help="file to write")
    parser.add_argument("--pdiparams", type=Path, required=True, help="file to write")
    parser.add_argument("--json", type=Path, required=True, help="model.json to write")
    args = parser.parse_args()
    # X.pdiparams stands beside a .pdmodel only.
    checkpoints = [args.checkpoint, args.checkpoint.with_suffix(".pdiparams")] if args.checkpoint else []

    def work() -> dict[str, Any]:
        for path in checkpoints:
            as_fetched(path)
        count = export(args.model, args.entry, args.checkpoint, args.pdmodel, args.pdiparams)
        return {"parameter_count": count}

    files = {"model.pdmodel": args.pdmodel, "model.pdiparams": args.pdiparams}
    write_model(args.json, args.model, args.entry, checkpoints, files, PACKAGES, work)


if __name__ == "__main__":
    main()
