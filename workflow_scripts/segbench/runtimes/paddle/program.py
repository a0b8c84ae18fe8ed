"""What Paddle's GPU engines get of an exported model, and the GPU memory that calibrating it takes.

Paddle 2.6's TensorRT path takes a cast to 8 bits into a subgraph and then has no type for its output: it throws
(paddle/fluid/inference/tensorrt/helper.h, FluidDataType2TRT). So the GPU gets the program that PaddleSeg's own export
makes, whose last computation is an integer argmax; `download` makes the 8 bits. The exported file itself stays.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

from segbench.files import stage_files
from segbench.models.exported import ExportedModel, paddle_files
from segbench.models.paddle_files import BYTES, read_program

# What FluidDataType2TRT of Paddle 2.6.2 has a type for.
DECLARED = frozenset({"FP32", "FP64", "FP16", "INT32", "INT64", "BOOL"})
PRODUCTS, SUMMED = ("bmm", "matmul_v2"), 16384
UNTIL_SOFTMAX = ("reduce_max", "tile", "elementwise_sub", "softmax")
MOVES = ("transpose2", "reshape2", "tile", "squeeze2", "unsqueeze2", "flatten_contiguous_range", "elementwise_div")
OUTSIDE = ("feed", "fetch")
NORMALISED = ("batch_norm", "sync_batch_norm")
FUSED_WITH = ("conv2d", "depthwise_conv2d", "conv2d_transpose", "elementwise_add")  # a convolution, or its bias


def stage_model(model: ExportedModel, out: Path) -> None:
    """Copy a model's two files into folder `out`, the program without its last cast.

    Raises Unsupported for a model that exists as ONNX only.
    """
    program, parameters = paddle_files(model)
    stage_files([parameters], out)
    (out / program.name).write_bytes(without_cast(program.read_bytes()))


def without_cast(pdmodel: bytes) -> bytes:
    """The same program without its casts of integers to 8 bits: what stood behind them takes the integers."""
    program = read_program(pdmodel)
    block = program.block(0)
    for number in reversed(range(block.op_size())):
        cast = block.op(number)
        if cast.type() != "cast":
            continue
        (source,), (result,) = cast.input("X"), cast.output("Out")
        before, after = _variable(block, source), _variable(block, result)
        if _type(after) != "UINT8" or _type(before) not in ("INT32", "INT64"):
            continue
        for reader in _operators(block):
            if result in reader.input_arg_names():
                reader._rename_input(result, source)
                if reader.type() == "scale":  # by one: what Paddle puts before each output of a program
                    _variable(block, reader.output("Out")[0]).set_dtype(before.dtype())
        block._remove_op(number, number + 1)
        block._remove_var(result.encode())
    return bytes(program.serialize_to_string())


def undeclared(pdmodel: bytes, disabled: Collection[str] = ()) -> list[str]:
    """`tensor (type)` for each tensor that could be the boundary of a subgraph and that TensorRT has no type for.

    `disabled`: types of operators that stay outside of TensorRT.
    """
    program = read_program(pdmodel)
    found: dict[str, str] = {}
    for block in map(program.block, range(program.num_blocks())):
        for operator in _operators(block):
            if operator.type() in (*OUTSIDE, *disabled):
                continue
            for name in (*operator.input_arg_names(), *operator.output_arg_names()):
                kind = _type(block.find_var_recursive(name.encode()))
                if kind not in DECLARED:
                    found[name] = kind
    return [f"{name} ({kind})" for name, kind in sorted(found.items())]


def large_sums(pdmodel: bytes) -> list[str]:
    """Tensors from a product that sums over SUMMED positions and more, on to the softmax that makes it small again.

    DANet's channel attention is one (512 × 512 sums of 32768 squares at 1024×2048): beyond FP16's 65504 as soon as the
    mean square passes 2. Products with the weights of a softmax are none: these add up to one.
    """
    program = read_program(pdmodel)
    block = program.block(0)
    found: list[str] = []
    softened: set[str] = set()  # tensors that are a softmax's weights, in another shape or order
    for operator in _operators(block):
        read, made = operator.input_arg_names(), operator.output_arg_names()
        if operator.type() in PRODUCTS and not softened & set(read):
            axis = -2 if operator.type() == "matmul_v2" and operator.attr("trans_x") else -1
            if _variable(block, operator.input("X")[0]).shape()[axis] >= SUMMED:
                found += made
        elif set(read) & set(found) and operator.type() in UNTIL_SOFTMAX:
            found += made
        if operator.type() == "softmax" or (softened & set(read) and operator.type() in MOVES):
            softened |= set(made)
    softmaxes = {name for one in _operators(block) if one.type() == "softmax" for name in one.input_arg_names()}
    return found if softmaxes & set(found) else []


def activation_bytes(pdmodel: bytes) -> int:
    """Bytes of all tensors that a run of the program makes, where none is freed: the least that INT8 calibration holds.

    Paddle 2.6 calibrates on the operators of the subgraph, whose tensors live as long as the predictor. What goes into
    a batch normalisation is left out: Paddle fuses it into the convolution before.
    """
    program = read_program(pdmodel)
    block = program.block(0)
    operators = [operator for operator in _operators(block) if operator.type() not in OUTSIDE]
    made = {name: operator.type() for operator in operators for name in operator.output_arg_names()}
    fused = {
        name
        for operator in operators
        if operator.type() in NORMALISED
        for name in operator.input("X")
        if made.get(name) in FUSED_WITH
    }
    variables = [block.find_var(name.encode()) for name in made if name not in fused]
    return sum(_bytes(variable) for variable in variables if variable is not None and not variable.persistable())


def _bytes(variable: Any) -> int:
    try:
        return math.prod(max(size, 0) for size in variable.shape()) * BYTES.get(_type(variable), 4)
    except Exception:  # Paddle's own kind: a variable that is no tensor
        return 0


def _operators(block: Any) -> list[Any]:
    return [block.op(number) for number in range(block.op_size())]


def _variable(block: Any, name: str) -> Any:
    return block.find_var(name.encode())


def _type(variable: Any) -> str:
    return str(variable.dtype().name)
