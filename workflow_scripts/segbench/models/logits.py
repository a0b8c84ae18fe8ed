"""End exported and quantised networks before their argmax, so that they give logits and not class ids.

Timed engines end in the argmax. Where images are resized to a model's input, the accuracy pass needs the logits: they
are brought back to an image's size before the argmax, as PaddleSeg and mmsegmentation do it. Everything before the
argmax stays as it is, with its names, so that calibration tables fit.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.errors import Unsupported
from segbench.models.exported import FILES, PADDLE_3, ExportedModel
from segbench.models.onnx_graph import RESIZE, drop_unused, shapes_of
from segbench.models.paddle_files import read_program

# What may stand between the argmax and the output: it changes type or shape of the class ids and none of their values.
PADDLE_MOVES = ("cast", "scale", "assign", "reshape2", "squeeze2", "unsqueeze2")
PIR_MOVES = ("cast", "scale", "assign", "reshape", "squeeze", "unsqueeze")
ONNX_MOVES = ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze")
IR_MOVES = ("Result", "Convert", "Reshape", "Squeeze", "Unsqueeze")
IR_NEUTRAL = {"Multiply": 1, "Add": 0}  # what is left of Paddle's scale by one, with that constant


@dataclass(frozen=True)
class LogitsModel(ExportedModel):
    """The same exported model, with networks that end in float32 logits 1×C×H×W. Files are made in `work` when asked
    for, so that a form which no engine reads is no concern.
    """

    work: Path

    def file(self, name: str) -> Path | None:
        """Return the file of that name. Raises Unsupported where its network does not end in the argmax of logits."""
        own = super().file(name)
        form = next((names for names in FILES.values() if name in names), ())
        network = super().file(form[0]) if form else None
        if network is None or not network.stat().st_size:  # an empty model.onnx says that there is no twin
            return own
        if not (self.work / network.name).exists():
            for other in form[1:]:
                shutil.copyfile(self.folder / other, self.work / other)
            _cut(network, self.work / network.name, self.facts["class_count"])
        return self.work / name


def calibration_with_logits(calibration: Path, work: Path, count: int) -> Path:
    """Copy a calibration's folder below folder `work`. A quantised network in it ends in `count` logits there.

    The copy keeps the whole path below `work`, since the records in it know their place.
    """
    out = work.joinpath(*calibration.absolute().parts[1:])
    shutil.copytree(calibration, out, copy_function=shutil.copyfile)
    for path in sorted(calibration.rglob("*")):
        if path.suffix in CUTTERS:
            _cut(path, out / path.relative_to(calibration), count)
    return out


def _cut(network: Path, out: Path, count: int) -> None:
    (CUTTERS.get(network.name) or CUTTERS[network.suffix])(network, out, count)


def _no_logits(path: Path, why: str) -> Unsupported:
    return Unsupported(f"{path.name}: no logits: {why}")


def _check_shape(path: Path, shape: Any, count: int) -> None:
    sizes = list(shape)
    if len(sizes) != 4 or sizes[1] not in (count, -1):
        raise _no_logits(path, f"what its argmax reads is {sizes}, not [1, {count}, height, width]")


def _cut_pdmodel(path: Path, out: Path, count: int) -> None:
    program = read_program(path.read_bytes())
    block = program.block(0)
    operators = [block.op(number) for number in range(block.op_size())]
    (fetch,) = (one for one in operators if one.type() == "fetch")
    (result,) = fetch.input("X")
    name, maker = result, fetch
    for maker in reversed(operators):  # in this order, since a quantised program has operators that work in place
        if name in maker.output_arg_names():
            if maker.type() not in PADDLE_MOVES or not _is_neutral(maker):
                break
            (name,) = maker.input("X")
    if maker.type() != "arg_max" or maker.attr("axis") not in (1, -3):
        raise _no_logits(path, f"it ends in {maker.type()}, not in an argmax over channels")
    (logits,) = maker.input("X")
    _check_shape(path, block.find_var(logits.encode()).shape(), count)
    fetch._rename_input(result, logits)
    needed = {logits}
    for number in reversed(range(block.op_size())):
        one = block.op(number)
        if one.type() == "fetch" or needed & set(one.output_arg_names()):
            needed |= set(one.input_arg_names())
        elif one.type() != "feed":
            block._remove_op(number, number + 1)
    out.write_bytes(program.serialize_to_string())


def _is_neutral(operator: Any) -> bool:
    """Whether a move keeps values: of a scale, that it is by one. Paddle puts such a scale before each output."""
    return operator.type() != "scale" or (operator.attr("scale"), operator.attr("bias")) == (1, 0)


def _cut_onnx(path: Path, out: Path, count: int) -> None:
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load(str(path))
    graph = model.graph
    made_by = {name: node for node in graph.node for name in node.output}
    maker = made_by.get(graph.output[0].name)
    while maker is not None and maker.op_type in ONNX_MOVES:
        maker = made_by.get(maker.input[0])
    axes = [attribute.i for attribute in maker.attribute if attribute.name == "axis"] if maker else []
    if maker is None or maker.op_type != "ArgMax" or axes not in ([1], [-3]):
        raise _no_logits(path, f"it ends in {maker.op_type if maker else 'its input'}, not in an argmax over channels")
    logits = maker.input[0]
    resize = made_by.get(logits)
    if resize is not None and resize.name == RESIZE:  # a person's own model: its logits are resized once, not twice
        logits = resize.input[0]
    shape = shapes_of(graph).get(logits, (0,) * 4)
    _check_shape(path, [size or -1 for size in shape], count)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(logits, TensorProto.FLOAT, [size or None for size in shape]))
    drop_unused(model)
    intermediate = [value for value in graph.value_info if value.name != logits]
    del graph.value_info[:]
    graph.value_info.extend(intermediate)
    onnx.save(model, str(out))


def _cut_ir(path: Path, out: Path, count: int) -> None:
    """OpenVINO's intermediate representation, as NNCF leaves a quantised model. Its weights are written anew."""
    import openvino

    model = openvino.Core().read_model(str(path))
    node = model.outputs[0].node
    while node.get_type_name() in IR_MOVES or _adds_nothing(node):
        node = node.input_value(0).node
    if node.get_type_name() != "TopK" or node.get_attributes()["axis"] != 1:
        raise _no_logits(path, f"it ends in {node.get_type_name()}, not in an argmax over channels")
    logits = node.input_value(0)
    _check_shape(path, [size.get_length() if size.is_static else -1 for size in logits.partial_shape], count)
    cut = openvino.Model([logits], model.get_parameters())
    openvino.save_model(cut, str(out), compress_to_fp16=False)


def _adds_nothing(node: Any) -> bool:
    neutral = IR_NEUTRAL.get(node.get_type_name())
    other = node.input_value(1).node if neutral is not None else None
    return other is not None and other.get_type_name() == "Constant" and bool((other.data == neutral).all())


def _cut_pir(path: Path, out: Path, count: int) -> None:
    """Paddle 3's own form, in Paddle 3's interpreter. Its parameters are written anew."""
    import paddle

    paddle.enable_static()
    try:
        executor = paddle.static.Executor(paddle.CPUPlace())
        network, _, (result,) = paddle.static.load_inference_model(str(path.with_suffix("")), executor)
        maker = result.get_defining_op()
        while maker.name().removeprefix("pd_op.") in PIR_MOVES:
            maker = maker.operand_source(0).get_defining_op()
        if maker.name() != "pd_op.argmax":
            raise _no_logits(path, f"it ends in {maker.name()}, not in an argmax over channels")
        logits = maker.operand_source(0)
        _check_shape(path, logits.shape, count)
        image = next(one.result(0) for one in network.global_block().ops if one.name() == "pd_op.data")
        with paddle.static.program_guard(network):
            paddle.static.save_inference_model(str(out.with_suffix("")), [image], [logits], executor, program=network)
    finally:
        paddle.disable_static()


CUTTERS: dict[str, Callable[[Path, Path, int], None]] = {
    ".pdmodel": _cut_pdmodel,
    ".onnx": _cut_onnx,
    ".xml": _cut_ir,
    PADDLE_3[0]: _cut_pir,
}
