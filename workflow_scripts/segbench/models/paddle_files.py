"""The two files of a Paddle inference model, X.pdmodel and X.pdiparams, seen from outside."""

from __future__ import annotations

import math
import os
import struct
from collections import Counter
from pathlib import Path
from typing import Any

from segbench.errors import InputError

Shape = tuple[int, ...]
# Bytes of a value, by Paddle's name of its type.
BYTES = {
    "BOOL": 1,
    "INT8": 1,
    "UINT8": 1,
    "INT16": 2,
    "FP16": 2,
    "BF16": 2,
    "INT32": 4,
    "FP32": 4,
    "INT64": 8,
    "FP64": 8,
}


def refuse_json_model(path: Path, named: str = "") -> None:
    """Raise InputError when `path` (shown as `named`) is called X.pdmodel but is, or has beside it, a Paddle 3 model.

    Loading one crashes Paddle 2.6.2's process, so this is asked before Paddle sees it.
    """
    if path.suffix != ".pdmodel":
        return
    is_json = not path.exists() and path.with_suffix(".json").exists()
    if path.is_file():
        with path.open("rb") as stream:
            is_json = stream.read(64).lstrip()[:1] == b"{"
    if is_json:
        raise InputError(f"{named or path}: a Paddle 3 model in JSON form; name it in weights as {path.stem}.json")


def without_call_stacks(pdmodel: bytes) -> bytes:
    """The same program without the Python call stacks that Paddle puts into every operator.

    They name the folders of the machine that exported, so that the same model had other bytes elsewhere.
    """
    program = read_program(pdmodel)
    for block in map(program.block, range(program.num_blocks())):
        for operator in map(block.op, range(block.op_size())):
            operator.remove_attr("op_callstack")
    return bytes(program.serialize_to_string())


def has_loop(pdmodel: bytes) -> bool:
    """Return whether a program has a loop, outside of blocks."""
    program = read_program(pdmodel)
    block = program.block(0)
    return any(block.op(number).type() == "while" for number in range(block.op_size()))


def quantized_in_program(pdmodel: bytes) -> dict[str, int]:
    """Count the operators, by name, by which a program rounds its activations to 8 bits: those of Paddle's and
    PaddleSlim's exports, older and newer. Weights alone may be stored so.
    """
    program = read_program(pdmodel)
    block = program.block(0)
    operators = [operator for operator in map(block.op, range(block.op_size())) if is_quantizer(operator.type())]
    stored = {variable.name() for variable in block.all_vars() if variable.persistable()}
    return dict(Counter(operator.type() for operator in operators if operator.input("X")[0] not in stored))


def is_quantizer(kind: str) -> bool:
    """Return whether operators of that name round to 8 bits: quantize_linear, fake_quantize_abs_max, …"""
    return kind == "quantize_linear" or (kind.startswith("fake_") and "_quantize_" in kind)


def count_parameters(pdmodel: bytes) -> int:
    """Trained values of a program: its stored variables without the running statistics of batch normalisation."""
    program = read_program(pdmodel)
    block = program.block(0)
    statistics = {
        name
        for operator in map(block.op, range(block.op_size()))
        if operator.type() in ("batch_norm", "sync_batch_norm")
        for slot in ("Mean", "Variance")
        for name in operator.input(slot)
    }
    return sum(math.prod(shape) for name, shape in stored_variables(pdmodel).items() if name not in statistics)


def stored_variables(pdmodel: bytes) -> dict[str, Shape]:
    """Shape of each variable that stands in the `.pdiparams` file, by its name and in the file's order."""
    program = read_program(pdmodel)
    variables = {v.name(): v for v in program.block(0).all_vars() if v.persistable()}
    return {name: tuple(variables[name].shape()) for name in sorted(variables) if name not in ("feed", "fetch")}


def check_files(pdmodel: Path, pdiparams: Path, named: str) -> None:
    """Raise InputError, beginning with `named`, when a file is missing or damaged or they do not belong together.

    Paddle itself crashes on an empty program, and fills what a truncated parameter file lacks with anything.
    """
    for path in (pdmodel, pdiparams):
        if not path.is_file():
            raise InputError(f"{named}: {path}: no such file; X.pdmodel and X.pdiparams stand side by side")
    program = pdmodel.read_bytes()
    try:
        stored = list(stored_variables(program).values()) if program else []
    except Exception:  # Paddle's own kinds, which it does not export
        stored = []
    if not stored:
        raise InputError(f"{named}: {pdmodel}: not a Paddle inference model, or a damaged one")
    if [*map(_without_ones, shapes_in(pdiparams, named))] != [*map(_without_ones, stored)]:
        raise InputError(f"{named}: {pdmodel} and {pdiparams} do not belong together: their parameters differ")


def _without_ones(shape: Shape) -> Shape:
    """Return a shape without sides of 1: Paddle's quantiser declares a scale as [8] and stores [1, 8]."""
    return tuple(side for side in shape if side != 1)


def shapes_in(pdiparams: Path, named: str) -> list[Shape]:
    """Shapes of the tensors in a `.pdiparams` file, in its order. Raises InputError, beginning with `named`, where it
    is something else or damaged.

    Each is: format version (uint32), number of levels (uint64) and the levels, tensor version (uint32), length of the
    description (int32), the description (protobuf), the values (source: paddle/fluid/framework/lod_tensor.cc).
    """
    from paddle.base.proto import framework_pb2

    size = pdiparams.stat().st_size
    shapes = []
    try:
        with pdiparams.open("rb") as stream:
            while stream.tell() < size:
                _, levels = struct.unpack("<IQ", stream.read(12))
                if levels:
                    raise ValueError("a parameter with levels of detail")
                _, length = struct.unpack("<Ii", stream.read(8))
                description = framework_pb2.VarType.TensorDesc()
                description.ParseFromString(stream.read(length))
                shapes.append(tuple(description.dims))
                item = BYTES[framework_pb2.VarType.Type.Name(description.data_type)]
                stream.seek(math.prod(description.dims) * item, os.SEEK_CUR)
            whole = stream.tell() == size
    except Exception as error:  # struct's, protobuf's, or an unknown type: all mean that this is something else
        raise InputError(f"{named}: {pdiparams}: not Paddle parameters, or damaged ones ({error})") from None
    if not whole:
        raise InputError(f"{named}: {pdiparams}: truncated")
    return shapes


def read_program(pdmodel: bytes) -> Any:
    """Paddle's `ProgramDesc`. Keep it as long as anything taken from it: its blocks point into it."""
    import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538

    from paddle.base import core

    return core.ProgramDesc(pdmodel)
