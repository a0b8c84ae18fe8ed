"""A person's own Paddle inference model: its input fixed to one shape, argmax and cast put behind its output."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segbench.errors import InputError
from segbench.models.fold_paddle import fold
from segbench.models.paddle_files import check_files, read_program, refuse_json_model

# Names of what is added: the model itself has variables like cast_0.tmp_0 already.
ADDED = "segbench/"
WITHOUT_SHAPES = ("feed", "fetch", "while", "conditional_block")  # operators that Paddle infers no shapes of


def export(model: str, entry: dict[str, Any], pdmodel: Path, prefix: Path) -> list[str]:
    """Write `prefix`.pdmodel and .pdiparams: float32 1×3×H×W in, uint8 1×H×W class indices out. Returns notes.

    `pdmodel` has its parameters beside it, named alike; it takes one image and gives logits 1×C×H×W, or an integer
    class map 1×H×W or 1×1×H×W, as the output that `choose_output` takes. Raises InputError naming `model` where it is
    otherwise, or damaged.
    """
    where = f"model_catalogue.{model}"
    refuse_json_model(pdmodel, f"{where}.weights: {pdmodel}")
    check_files(pdmodel, pdmodel.with_suffix(".pdiparams"), f"{where}.weights")

    import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538

    import paddle

    paddle.enable_static()
    try:
        with paddle.static.scope_guard(paddle.static.Scope()):
            return _export(where, entry, pdmodel, prefix)
    finally:
        paddle.disable_static()


def _export(where: str, entry: dict[str, Any], pdmodel: Path, prefix: Path) -> list[str]:
    import paddle

    executor = paddle.static.Executor(paddle.CPUPlace())
    try:
        program, inputs, outputs = paddle.static.load_inference_model(str(_staged(pdmodel, prefix)), executor)
    except Exception as error:  # Paddle has a class of its own for each kind of damage
        raise damaged(where, pdmodel, error) from None
    image = _fix_input(where, entry, program, inputs)
    names = [output.name for output in outputs]
    number, notes = choose_output(where, entry.get("output"), names)
    scope, size = paddle.static.global_scope(), input_shape(entry)[2:]
    program, more = fold(program, executor, scope, lambda folded: _infer_shapes(where, size, folded))
    image = program.global_block().var(image.name)
    with paddle.utils.unique_name.guard(ADDED), paddle.static.program_guard(program):
        output = program.global_block().var(names[number])
        add = add_enlarged_class_map if entry.get("head") == "small_argmax" else add_class_map
        class_map = add(where, entry, output, names[number])
        paddle.static.save_inference_model(str(prefix), [image], [class_map], executor, program=program)
    return notes + more


def _staged(pdmodel: Path, prefix: Path) -> Path:
    """Return the path, without suffix, of the model as Paddle on a CPU can load it, beside `prefix`."""
    staged = prefix.with_name("given")
    staged.with_suffix(".pdmodel").write_bytes(for_cpu_inference(pdmodel.read_bytes()))
    staged.with_suffix(".pdiparams").symlink_to(pdmodel.with_suffix(".pdiparams").absolute())
    return staged


def _fix_input(where: str, entry: dict[str, Any], program: Any, inputs: list[str]) -> Any:
    """The input variable, once all shapes of `program` follow from 1×3×H×W."""
    block = program.global_block()
    image = check_input(where, entry, [block.var(name) for name in inputs])
    image.desc.set_shape(input_shape(entry))
    _infer_shapes(where, input_shape(entry)[2:], program)
    return image


def _infer_shapes(where: str, size: tuple[int, int], program: Any) -> None:
    """Make all shapes of `program` follow from that of the input variable, whose height and width are `size`."""
    block = program.global_block()
    for operator in block.ops:
        if operator.type in WITHOUT_SHAPES:
            continue
        try:
            operator.desc.infer_shape(block.desc)
        except Exception as error:  # Paddle has a class of its own for each kind of misfit
            if any(-1 in block.var(name).shape for name in operator.input_arg_names if block.has_var(name)):
                continue  # a size that is not known yet fits no other
            raise InputError(
                f"{where}.input: {size[0]}×{size[1]}: the model cannot take it: operator"
                f" {operator.type}: {last_line(error)}"
            ) from None


def for_cpu_inference(pdmodel: bytes) -> bytes:
    """The same program with what an export on a GPU, or for training, leaves and a CPU has no kernel for.

    `sync_batch_norm` is batch normalisation over several GPUs. oneDNN takes a transposed convolution only where
    `is_test` says that no gradient is wanted.
    """
    program = read_program(pdmodel)
    for block in map(program.block, range(program.num_blocks())):
        for operator in map(block.op, range(block.op_size())):
            if operator.type() == "sync_batch_norm":
                operator.set_type("batch_norm")
            if operator.type() in ("conv2d_transpose", "depthwise_conv2d_transpose"):
                operator._set_bool_attr("is_test", True)
    return bytes(program.serialize_to_string())


def damaged(where: str, program: Path, error: Exception) -> InputError:
    """What to raise where Paddle cannot load `program`: with the last line of what it says."""
    return InputError(
        f"{where}.weights: {program} or its .pdiparams is damaged, or they do not belong together ({last_line(error)})"
    )


def last_line(error: Exception) -> str:
    """What Paddle says of an error, without the calls before it and its own mark behind it."""
    lines = [
        line.strip() for line in str(error).splitlines() if line.strip() and not line.strip().startswith("[operator")
    ]
    lines = [line for line in lines if not line.startswith("[Hint:")] or lines
    return lines[-1][:200] if lines else type(error).__name__


def input_shape(entry: dict[str, Any]) -> tuple[int, int, int, int]:
    """1×3×H×W."""
    return 1, 3, entry["input"]["height"], entry["input"]["width"]


def check_input(where: str, entry: dict[str, Any], variables: list[Any]) -> Any:
    """The one input, once it is seen to take the image."""
    import paddle

    wanted = input_shape(entry)
    if len(variables) != 1:
        names = ", ".join(variable.name for variable in variables)
        raise InputError(
            f"{where}.weights: the model has {len(variables)} inputs ({names or 'none'});"
            " a segmentation model has one, the image"
        )
    image = variables[0]
    if image.dtype != paddle.float32 or not can_be(image.shape, wanted):
        raise InputError(
            f"{where}.input: {wanted[2]}×{wanted[3]}, but the model's input {image.name} is {_type(image)}"
            f" {list(image.shape)}; wanted: float32 {list(wanted)} (-1: any)"
        )
    return image


def choose_output(where: str, wanted: str | int | None, names: list[str]) -> tuple[int, list[str]]:
    """Return the number of the output to take, and a note where there was a choice.

    It is the one that `wanted`, the entry's `output`, names or counts. Without it the first is taken: PaddleSeg exports
    the auxiliary heads behind it, and its own inference takes the first (deploy/python/infer.py).
    """
    known = f"the model has {len(names)} outputs: {', '.join(f'{i} {name}' for i, name in enumerate(names))}"
    if wanted is None:
        return 0, [f"{known}, of which the first is taken"] if len(names) > 1 else []
    number = wanted if isinstance(wanted, int) else names.index(wanted) if wanted in names else -1
    if not 0 <= number < len(names):
        raise InputError(f"{where}.output: {wanted!r} is none of them: {known}")
    return number, [f"{known}, of which output {number} is taken"] if len(names) > 1 else []


def can_be(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether a shape, in which -1 is any size, can be the wanted one."""
    return len(shape) == len(wanted) and all(has in (-1, want) for has, want in zip(shape, wanted, strict=True))


def _type(variable: Any) -> str:
    return str(variable.dtype).rpartition(".")[2].lower()


def add_class_map(where: str, entry: dict[str, Any], output: Any, name: str) -> Any:
    """Uint8 1×H×W from the model's output, which its messages call `name`."""
    import paddle

    height, width, count = entry["input"]["height"], entry["input"]["width"], entry["class_count"]
    shape = list(output.shape)
    found = f"the model's output {name} is {_type(output)} {shape}"
    if output.dtype in (paddle.int32, paddle.int64, paddle.uint8):
        if not (can_be(shape, (1, height, width)) or can_be(shape, (1, 1, height, width))):
            raise InputError(f"{where}.weights: {found}; an integer class map must be [1, {height}, {width}]")
        return output.reshape([1, height, width]).cast("uint8")
    if len(shape) == 4 and shape[1] not in (count, -1):
        raise InputError(f"{where}.class_count: {count}, but {found}: {shape[1]} channels")
    if output.dtype != paddle.float32 or not can_be(shape, (1, count, height, width)):
        raise InputError(
            f"{where}.weights: {found}; wanted: float32 logits [1, {count}, {height}, {width}] or an integer class map"
        )
    return output.argmax(axis=1, dtype="int32").cast("uint8")


def add_enlarged_class_map(where: str, entry: dict[str, Any], output: Any, name: str) -> Any:
    """Uint8 1×H×W from the logits before their last resize, whose class map is enlarged by nearest neighbours."""
    import paddle

    block, size = output.block, [entry["input"]["height"], entry["input"]["width"]]
    maker = _maker(block, name)
    while maker.type in ("assign", "scale"):  # what an export puts behind an output
        name = maker.input("X")[0]
        maker = _maker(block, name)
    if maker.type != "bilinear_interp_v2":
        raise InputError(
            f"{where}.head: small_argmax, but the network's logits are not enlarged: {maker.type} makes them"
        )
    ids = block.var(maker.input("X")[0]).argmax(axis=1, keepdim=True, dtype="int32")
    # As floats, which every engine enlarges. Integers come last: what a GPU's engine gets has no cast to 8 bits.
    whole = paddle.nn.functional.interpolate(ids.cast("float32"), size, mode="nearest")
    return whole.cast("int32").reshape([1, *size]).cast("uint8")


def _maker(block: Any, name: str) -> Any:
    """The last operator that writes a variable."""
    return next(operator for operator in reversed(block.ops) if name in operator.output_arg_names)
