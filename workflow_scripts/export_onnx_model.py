"""Check a user's own ONNX model, fix its input size, and put the argmax into its graph."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from segbench.errors import InputError
from segbench.files import as_fetched, atomic, sha256_of
from segbench.models.onnx_files import count_parameters, read_onnx
from segbench.models.onnx_twin import (
    CLASS_MAP,
    RESIZE,
    constants_to_initializers,
    drop_unused,
    fold,
    infer,
    keep_shapes,
    shapes_of,
)
from segbench.models.record import check_class_map, write_model
from segbench.process.lifetime import command

INTEGERS = ("INT64", "INT32", "UINT8")
MIN_OPSET = 11  # Resize has its coordinate modes from this version on


def export(name: str, entry: dict[str, Any], source: Path) -> tuple[Any, list[str]]:
    """Return the ONNX model with one 1×3×H×W float32 input and one 1×H×W uint8 output `class_map`, and notes for its
    record.

    Logits (1×C×h×w) get a bilinear Resize where they are not of the input's size, ArgMax over C and a cast. An integer
    class map (1×H×W or 1×1×H×W) gets only the cast. Raises InputError naming the key or the part of the model at fault.
    """
    check_class_map(name, entry)
    where = f"model_catalogue.{name}"
    model = read_onnx(source)
    _check(model, source)
    _fix_input(model, source, where, entry)
    _choose_output(model, source, where, entry["output"])
    _plain_initializers(model)
    drop_unused(model)
    fold(model)
    notes = _append_argmax(model, source, where, entry)
    _check(model, source)
    keep_shapes(model)
    return model, notes


def _check(model: Any, source: Path) -> None:
    import onnx

    try:
        onnx.checker.check_model(model)
        opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    except (onnx.checker.ValidationError, StopIteration) as error:
        raise InputError(f"{source}: not a valid ONNX model ({' '.join(str(error).split())[:200]})") from None
    if opset < MIN_OPSET:
        raise InputError(f"{source}: opset {opset}; wanted: {MIN_OPSET} or later (onnx.version_converter raises it)")


def _fix_input(model: Any, source: Path, where: str, entry: dict[str, Any]) -> None:
    """Check that there is one float32 image input, and give it the entry's size."""
    from onnx import TensorProto

    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise InputError(f"{source}: has {len(inputs)} inputs ({names}); a segmentation model has one, the image")
    tensor = inputs[0].type.tensor_type
    height, width = entry["input"]["height"], entry["input"]["width"]
    shape = [dim.dim_value or -1 for dim in tensor.shape.dim]
    shown = f"{source}: input {inputs[0].name!r} is {TensorProto.DataType.Name(tensor.elem_type)} {shape}"
    if tensor.elem_type != TensorProto.FLOAT or len(shape) != 4 or shape[1] not in (3, -1) or shape[0] not in (1, -1):
        raise InputError(f"{shown}; wanted: FLOAT [1, 3, height, width] (-1: any)")
    if shape[2] not in (height, -1) or shape[3] not in (width, -1):
        raise InputError(f"{where}.input: {height}×{width}, but {shown}")
    for dim, size in zip(tensor.shape.dim, (1, 3, height, width), strict=True):
        dim.dim_value = size
    # Shapes that were written for a dynamic size contradict, or hide, what follows from the fixed size.
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")


def _choose_output(model: Any, source: Path, where: str, wanted: str | int | None) -> None:
    """Keep only the output to use."""
    names = [value.name for value in model.graph.output]
    if isinstance(wanted, int) and 0 <= wanted < len(names):
        wanted = names[wanted]
    if wanted is None and len(names) != 1:
        raise InputError(f"{where}.output: missing; {source} has {len(names)} outputs: {', '.join(names)}")
    if wanted is not None and wanted not in names:
        raise InputError(f"{where}.output: {wanted!r} is no output of {source}; it has: {', '.join(names)}")
    chosen = next(value for value in model.graph.output if wanted in (None, value.name))
    del model.graph.output[:]
    model.graph.output.append(chosen)


def _plain_initializers(model: Any) -> None:
    """Make weights constants. An engine must not fold weights that are also inputs, as before IR version 4."""
    constants_to_initializers(model)
    names = {tensor.name for tensor in model.graph.initializer}
    image = next(value for value in model.graph.input if value.name not in names)
    del model.graph.input[:]
    model.graph.input.append(image)
    model.ir_version = max(model.ir_version, 4)


def _append_argmax(model: Any, source: Path, where: str, entry: dict[str, Any]) -> list[str]:
    """Append a uint8 class map to the graph's output, and return notes."""
    from onnx import TensorProto, helper

    size = entry["input"]["height"], entry["input"]["width"]
    known = infer(model)
    output = known.output[0]
    kind = TensorProto.DataType.Name(output.type.tensor_type.elem_type)
    shape = shapes_of(known).get(output.name, ())
    shown = f"output {output.name!r} of {source} is {kind} {[length or -1 for length in shape]}"
    notes: list[str] = []
    if kind in INTEGERS:
        if shape not in ((1, *size), (1, 1, *size)):
            raise InputError(f"{where}: {shown}; an integer class map must be [1, {size[0]}, {size[1]}]")
        last = _add(model, f"{CLASS_MAP}/Reshape", [output.name, _constant(model, "shape", (1, *size))])
    else:
        notes, last = _index_of_highest(model, where, entry["class_count"], output.name, shape, kind, shown, size)
    model.graph.node.append(helper.make_node("Cast", [last], [CLASS_MAP], name=CLASS_MAP, to=TensorProto.UINT8))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(CLASS_MAP, TensorProto.UINT8, [1, *size]))
    return notes


def _index_of_highest(
    model: Any, where: str, count: int, logits: str, shape: tuple[int, ...], kind: str, shown: str, size: Any
) -> tuple[list[str], str]:
    """Append Resize where needed, then ArgMax. Return notes, and the name of the int64 1×H×W result."""
    if kind != "FLOAT" or len(shape) != 4 or shape[0] != 1 or min(shape, default=0) < 1:
        raise InputError(f"{where}: {shown}; wanted: FLOAT logits [1, {count}, height, width] or an integer class map")
    if shape[1] != count:
        raise InputError(f"{where}.class_count: {count}, but {shown}: {shape[1]} channels")
    if max(shape[2] - size[0], shape[3] - size[1]) > 0:
        raise InputError(f"{where}: {shown}, larger than its input of {size[0]}×{size[1]}")
    notes = []
    if shape[2:] != tuple(size):
        notes.append(f"logits of {shape[2]}×{shape[3]} are resized (bilinear) to {size[0]}×{size[1]} before argmax")
        inputs = [logits, "", "", _constant(model, "sizes", (1, count, *size))]
        logits = _add(model, RESIZE, inputs, mode="linear", coordinate_transformation_mode="half_pixel")
    return notes, _add(model, f"{CLASS_MAP}/ArgMax", [logits], axis=1, keepdims=0)


def _add(model: Any, name: str, inputs: list[str], **attributes: Any) -> str:
    """Append a node whose name ends in its operator's, and return the name of its output, which is the same."""
    from onnx import helper

    model.graph.node.append(helper.make_node(name.rpartition("/")[2], inputs, [name], name=name, **attributes))
    return name


def _constant(model: Any, name: str, values: tuple[int, ...]) -> str:
    """Add an int64 vector, and return its name."""
    from onnx import TensorProto, helper

    name = f"{CLASS_MAP}/{name}"
    model.graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [len(values)], values))
    return name


@command
def main() -> None:
    """Parse the command line and export."""
    import onnx

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="name of the model's entry")
    parser.add_argument("--entry", type=json.loads, required=True, help="JSON: the model's entry")
    parser.add_argument("--onnx-in", type=Path, required=True, help="the user's ONNX file")
    parser.add_argument("--out", type=Path, required=True, help="model.onnx to write")
    parser.add_argument("--json", type=Path, required=True, help="model.json to write")
    args = parser.parse_args()

    def work() -> dict[str, Any]:
        model, notes = export(args.model, args.entry, as_fetched(args.onnx_in))
        with atomic(args.out) as temporary:
            onnx.save(model, str(temporary))
        for note in notes:
            print(f"{args.model}: {note}")
        facts = {"notes": notes, "source_sha256": sha256_of(args.onnx_in)}
        return {"parameter_count": count_parameters(model), **facts}

    write_model(args.json, args.model, args.entry, [args.onnx_in], {"model.onnx": args.out}, ("onnx",), work)


if __name__ == "__main__":
    main()
