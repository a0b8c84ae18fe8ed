"""Export a Paddle model at its fixed input shape: logits, argmax and a cast to 8 bits in one graph."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from segbench.errors import InputError
from segbench.files import as_fetched, atomic, scratch
from segbench.models import architectures, inference_model, paddleseg_network
from segbench.models.checkpoint import read_arrays
from segbench.models.fold_paddle import count_constants
from segbench.models.paddle_files import count_parameters, has_loop, quantized_in_program, without_call_stacks
from segbench.models.record import check_class_map, entry_parser, write_model
from segbench.process.lifetime import command

PACKAGES = ("paddlepaddle", "paddlepaddle-gpu", "paddleseg")


def export(
    model: str, entry: dict[str, Any], checkpoint: Path | None, pdmodel: Path, pdiparams: Path
) -> tuple[int, list[str]]:
    """Write the inference model: float32 1×3×H×W in, uint8 1×H×W class indices out. Returns its parameter count, and
    notes for its record.

    The same entry and checkpoint give the same bytes, on any machine. Raises InputError naming `model` when class map,
    checkpoint, class_count or input size do not fit.
    """
    check_class_map(model, entry)
    with scratch(pdmodel.with_suffix(".export")) as folder:
        prefix = folder / "model"
        if entry["kind"] == "paddle_inference":
            assert checkpoint is not None  # the configuration wants weights for this kind
            notes = inference_model.export(model, entry, checkpoint, prefix)
        else:
            notes = _export_layer(model, entry, checkpoint, prefix)
        program = inference_model.for_cpu_inference(without_call_stacks(prefix.with_suffix(".pdmodel").read_bytes()))
        with atomic(pdiparams) as temporary:
            prefix.with_suffix(".pdiparams").rename(temporary)
    with atomic(pdmodel) as temporary:
        temporary.write_bytes(program)
    return count_parameters(program) - count_constants(program), notes


def _export_layer(model: str, entry: dict[str, Any], checkpoint: Path | None, prefix: Path) -> list[str]:
    height, width = entry["input"]["height"], entry["input"]["width"]
    where = f"model_catalogue.{model}"
    if checkpoint is None and entry["weights"] != "random":
        raise InputError(f"{where}.weights: not 'random', so --checkpoint is needed")
    with architectures.fresh_names():
        try:
            layer = architectures.build(entry, height, width)
        except InputError as error:
            raise InputError(f"{where}.{error}") from None
        if checkpoint is not None:
            architectures.load(layer, read_arrays(checkpoint), model)
        print(f"{model}: tracing at {height}×{width}", flush=True)
        traced = prefix.with_name("traced")
        if "network" not in entry:
            small = entry.get("head") == "small_argmax"
            with architectures.constant_shapes():
                notes = _trace(where, entry, layer, traced if small else prefix, as_class_map=not small)
            if not small:
                return notes
        else:
            notes = _trace_network(where, entry, layer, traced)
        # Sizes, grids and masks are folded, as those of an exported file are.
        only = {**entry, "output": None}
        return notes + inference_model.export(model, only, traced.with_suffix(".pdmodel"), prefix)


def _trace_network(where: str, entry: dict[str, Any], layer: Any, prefix: Path) -> list[str]:
    """Save the logits of a network of PaddleSeg's.

    Where Paddle cannot trace it, or keeps a loop, it is traced once more with known sizes as numbers. Not all networks
    take these.
    """

    def traced() -> list[str]:
        return _trace(where, entry, layer, prefix, as_class_map=False)

    try:
        notes = traced()
    except InputError as refused:
        try:
            with architectures.constant_shapes():
                return traced()
        except InputError:
            raise refused from None
    if has_loop(prefix.with_suffix(".pdmodel").read_bytes()):
        with suppress(InputError), architectures.constant_shapes():
            notes = traced()
    return notes


def _trace(where: str, entry: dict[str, Any], layer: Any, prefix: Path, as_class_map: bool) -> list[str]:
    """Save the network at a fixed input size, with or without argmax and cast. Returns a note where another output than
    the first, the one of PaddleSeg's class maps, is taken."""
    import paddle

    class Logits(paddle.nn.Layer):
        """The scores of one output."""

        def __init__(self, network: Any, number: int) -> None:
            super().__init__()
            self.network, self.number = network, number

        def forward(self, image: Any) -> Any:
            """Float32 1×3×H×W to float32 1×C×H×W."""
            return self.network(image)[self.number]

    class ClassMap(Logits):
        """Class index of the highest score, 1×H×W uint8."""

        def forward(self, image: Any) -> Any:
            """Float32 1×3×H×W to uint8 1×H×W."""
            # int32 first: the one type that every engine's argmax has.
            return self.network(image)[self.number].argmax(axis=1, dtype="int32").cast("uint8")

    number = entry.get("output") or 0
    if not isinstance(number, int):
        raise InputError(f"{where}.output: {number!r}: outputs of this kind of model have numbers only, 0 is the first")
    seen: list[list[int]] = []
    hook = layer.register_forward_post_hook(lambda _, inputs, outputs: seen.extend(list(one.shape) for one in outputs))
    whole = ClassMap(layer, number) if as_class_map else Logits(layer, number)
    whole.eval()
    shape = paddle.static.InputSpec(list(inference_model.input_shape(entry)), "float32", "image")
    try:
        paddle.jit.save(paddle.jit.to_static(whole, input_spec=[shape], full_graph=True), str(prefix))
    except (Exception, SystemExit) as error:
        _check_outputs(where, entry, number, seen)
        if "network" not in entry:
            raise
        said = paddleseg_network.last_words(error)
        raise InputError(f"{where}.config: its network cannot be exported: {said}") from None
    finally:
        hook.remove()
    _check_outputs(where, entry, number, seen)
    return [f"the network has {len(seen)} outputs, of which output {number} is taken"] if number else []


def _check_outputs(where: str, entry: dict[str, Any], number: int, shapes: list[list[int]]) -> None:
    """Raise InputError where the network, whose outputs have these shapes, has no logits at `number`."""
    wanted = [1, entry["class_count"], entry["input"]["height"], entry["input"]["width"]]
    if shapes and not 0 <= number < len(shapes):
        raise InputError(f"{where}.output: {number}, but the network has {len(shapes)} outputs; 0 is the first")
    if shapes and not inference_model.can_be(shapes[number], wanted):
        raise InputError(f"{where}.output: output {number} of the network is {shapes[number]}; wanted: logits {wanted}")


@command
def main() -> None:
    """Parse the command line and export."""
    parser = entry_parser(__doc__)
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
        count, notes = export(args.model, args.entry, args.checkpoint, args.pdmodel, args.pdiparams)
        quantized = quantized_in_program(args.pdmodel.read_bytes())
        return {"parameter_count": count, "notes": notes, **({"quantized": quantized} if quantized else {})}

    files = {"model.pdmodel": args.pdmodel, "model.pdiparams": args.pdiparams}
    write_model(args.json, args.model, args.entry, checkpoints, files, PACKAGES, work)


if __name__ == "__main__":
    main()
