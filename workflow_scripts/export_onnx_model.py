"""Check a user's own ONNX model, fix its input size, and put the argmax into its graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segbench.errors import InputError
from segbench.files import as_fetched, atomic, sha256_of
from segbench.models.onnx_files import count_parameters, read_onnx
from segbench.models.onnx_float32 import to_float32
from segbench.models.onnx_graph import constants_to_initializers, drop_unused, fold, keep_shapes, opset_of
from segbench.models.onnx_input import fix_input
from segbench.models.onnx_operators import foreign_note, foreign_operators, quantized_operators
from segbench.models.onnx_output import append_class_map
from segbench.models.record import check_class_map, entry_parser, write_model
from segbench.process.lifetime import command

MIN_OPSET = 11  # Resize has its coordinate modes from this version on


def export(name: str, entry: dict[str, Any], source: Path) -> tuple[Any, dict[str, Any]]:
    """Return the ONNX model with one 1×3×H×W float32 input and one 1×H×W uint8 output `class_map`, and facts for its
    record: notes, and what replaces a fact of the entry.

    Whatever form input and output have (type, layout, one channel, scores or ids), nodes before and behind the network
    bring them to this one. Raises InputError naming the key or the part of the model at fault.
    """
    check_class_map(name, entry)
    where = f"model_catalogue.{name}"
    model = read_onnx(source)
    _check(model, source)
    _plain_initializers(model)
    quantized = quantized_operators(model)
    foreign = foreign_operators(model)
    notes = [*foreign_note(model, foreign), *to_float32(model)]
    more, facts = fix_input(model, str(source), where, entry)
    fold(model)
    notes += more + append_class_map(model, str(source), where, entry)
    drop_unused(model)
    _check(model, source)
    keep_shapes(model)
    facts |= {"quantized": quantized} if quantized else {}
    return model, {"notes": notes, "foreign_operators": foreign, **facts}


def _check(model: Any, source: Path) -> None:
    import onnx

    try:
        onnx.checker.check_model(model)
        opset = opset_of(model)
    except (onnx.checker.ValidationError, StopIteration) as error:
        raise InputError(f"{source}: not a valid ONNX model ({' '.join(str(error).split())[:200]})") from None
    if opset < MIN_OPSET:
        raise InputError(f"{source}: opset {opset}; wanted: {MIN_OPSET} or later (onnx.version_converter raises it)")


def _plain_initializers(model: Any) -> None:
    """Make weights constants. An engine must not fold weights that are also inputs, as before IR version 4."""
    constants_to_initializers(model)
    names = {tensor.name for tensor in model.graph.initializer}
    images = [value for value in model.graph.input if value.name not in names]
    del model.graph.input[:]
    model.graph.input.extend(images)
    model.ir_version = max(model.ir_version, 4)


@command
def main() -> None:
    """Parse the command line and export."""
    import onnx

    parser = entry_parser(__doc__)
    parser.add_argument("--onnx-in", type=Path, required=True, help="the user's ONNX file")
    parser.add_argument("--out", type=Path, required=True, help="model.onnx to write")
    parser.add_argument("--json", type=Path, required=True, help="model.json to write")
    args = parser.parse_args()

    def work() -> dict[str, Any]:
        model, facts = export(args.model, args.entry, as_fetched(args.onnx_in))
        with atomic(args.out) as temporary:
            onnx.save(model, str(temporary))
        for note in facts["notes"]:
            print(f"{args.model}: {note}")
        return {"parameter_count": count_parameters(model), "source_sha256": sha256_of(args.onnx_in), **facts}

    write_model(args.json, args.model, args.entry, [args.onnx_in], {"model.onnx": args.out}, ("onnx",), work)


if __name__ == "__main__":
    main()
