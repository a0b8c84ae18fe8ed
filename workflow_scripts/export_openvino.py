"""Check a user's own OpenVINO model (X.xml and X.bin), fix its input size, and put the argmax into its graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segbench.errors import InputError, one_line
from segbench.files import as_fetched, atomic, scratch
from segbench.models.inference_model import can_be, choose_output, input_shape
from segbench.models.record import check_class_map, entry_parser, write_model
from segbench.process.lifetime import command

IDS = ("i32", "i64", "u8")  # types of an output that has class ids


def export(name: str, entry: dict[str, Any], source: Path) -> tuple[Any, dict[str, Any]]:
    """Return the `openvino.Model` with one 1×3×H×W float32 input and one 1×H×W uint8 output, and facts for its record.

    Raises InputError naming `name` and the key or the part of the model at fault.
    """
    import openvino

    check_class_map(name, entry)
    where, (_, _, height, width) = f"model_catalogue.{name}", input_shape(entry)
    try:
        model = openvino.Core().read_model(str(source))
    except RuntimeError as error:
        said = one_line(str(error).splitlines()[-1], 200)
        raise InputError(f"{source}: OpenVINO cannot read it, or its .bin does not belong to it ({said})") from None
    _fix_input(where, entry, model)
    names = [next(iter(sorted(output.get_names())), f"output {i}") for i, output in enumerate(model.outputs)]
    number, notes = choose_output(where, entry.get("output"), names)
    output = model.outputs[number].node.input_value(0)
    kind, shape = output.get_element_type().get_type_name(), [_size(size) for size in output.partial_shape]
    found = f"the model's output {names[number]} is {kind} {shape}"
    from openvino import opset13 as ops

    if kind in IDS:
        if not (can_be(shape, (1, height, width)) or can_be(shape, (1, 1, height, width))):
            raise InputError(f"{where}.weights: {found}; a map of class ids must be [1, {height}, {width}]")
        ids = ops.reshape(output, [1, height, width], special_zero=False)
    else:
        if len(shape) == 4 and shape[1] not in (entry["class_count"], -1):
            raise InputError(f"{where}.class_count: {entry['class_count']}, but {found}: {shape[1]} channels")
        if not can_be(shape, (1, entry["class_count"], height, width)):
            wanted = f"logits [1, {entry['class_count']}, {height}, {width}] or class ids"
            raise InputError(f"{where}.weights: {found}; wanted: {wanted}")
        best = ops.topk(output, 1, axis=1, mode="max", sort="none", index_element_type="i32")
        ids = ops.squeeze(best.output(1), [1])
    ended = openvino.Model([ops.result(ops.convert(ids, "u8"))], model.get_parameters(), name)
    quantizers = [node for node in ended.get_ops() if node.get_type_name() == "FakeQuantize"]
    count = sum(node.input_value(0).node.get_type_name() != "Constant" for node in quantizers)
    return ended, {"notes": notes, **({"quantized": {"FakeQuantize": count}} if count else {})}


def _fix_input(where: str, entry: dict[str, Any], model: Any) -> None:
    wanted = list(input_shape(entry))
    if len(model.inputs) != 1:
        raise InputError(f"{where}.weights: the model has {len(model.inputs)} inputs; it should have one, the image")
    kind, shape = model.input().get_element_type().get_type_name(), [_size(s) for s in model.input().partial_shape]
    if kind != "f32" or not can_be(shape, wanted):
        raise InputError(f"{where}.input: the model's input is {kind} {shape}; wanted: f32 {wanted} (-1: any)")
    try:
        model.reshape(wanted)
    except RuntimeError as error:
        said = one_line(str(error).splitlines()[-1], 200)
        raise InputError(f"{where}.input: {wanted[2]}×{wanted[3]}: the model cannot take it ({said})") from None


def _size(size: Any) -> int:
    return int(size.get_length()) if size.is_static else -1


@command
def main() -> None:
    """Parse the command line and export."""
    parser = entry_parser(__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="the model: X.xml, with X.bin beside it")
    parser.add_argument("--xml", type=Path, required=True, help="file to write; its weights lie beside it, as .bin")
    parser.add_argument("--json", type=Path, required=True, help="model.json to write")
    args = parser.parse_args()
    checkpoints = [args.checkpoint, args.checkpoint.with_suffix(".bin")]

    def work() -> dict[str, Any]:
        import openvino

        for path in checkpoints:
            as_fetched(path)
        model, facts = export(args.model, args.entry, args.checkpoint)
        with scratch(args.xml.with_suffix(".export")) as folder:
            openvino.save_model(model, str(folder / args.xml.name), compress_to_fp16=False)
            for out in (args.xml.with_suffix(".bin"), args.xml):
                with atomic(out) as temporary:
                    (folder / out.name).rename(temporary)
        return facts

    files = {"model.xml": args.xml, "model.bin": args.xml.with_suffix(".bin")}
    write_model(args.json, args.model, args.entry, checkpoints, files, ("openvino",), work)


if __name__ == "__main__":
    main()
