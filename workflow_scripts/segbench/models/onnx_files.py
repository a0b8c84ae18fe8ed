"""Read a user's ONNX file as one whole. External data are folded in, from the file's own folder only."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from segbench.errors import InputError

MAX_BYTES = 2_000_000_000  # protobuf's limit for one file is 2 GiB


def read_onnx(path: Path) -> Any:
    """Return the `onnx.ModelProto` of `path` with all tensors inside it.

    Raises InputError naming the file when it is missing or no ONNX model. External data are refused where they are
    missing, lie outside the model's folder, or are smaller than the model says.
    """
    import onnx

    model = _parse(path)
    tensors = external_tensors(model)
    total = 0
    for tensor in tensors:
        total += _check_external(path, tensor)
        if total > MAX_BYTES:
            raise InputError(f"{path}: with its external data larger than 2 GB, which one ONNX file cannot hold")
    for tensor in tensors:
        onnx.external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]
    return model


def external_files(path: Path) -> list[Path]:
    """Return the files that the ONNX model keeps tensors in. Raises InputError when it is no ONNX model."""
    facts = [{entry.key: entry.value for entry in one.external_data} for one in external_tensors(_parse(path))]
    return [path.parent / name for name in sorted({fact.get("location", "") for fact in facts})]


def _parse(path: Path) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except DecodeError:
        raise InputError(f"{path}: not an ONNX model, or a truncated one") from None
    if not model.graph.node:
        raise InputError(f"{path}: not an ONNX model, or one without any operator")
    return model


def external_tensors(model: Any) -> list[Any]:
    """Return the tensors of `model` whose data stand in other files."""
    from onnx import external_data_helper

    every = external_data_helper._get_all_tensors(model)
    return [tensor for tensor in every if external_data_helper.uses_external_data(tensor)]


def _check_external(path: Path, tensor: Any) -> int:
    """Check that a tensor's external data exist, and return their bytes."""
    from onnx import helper

    facts = {entry.key: entry.value for entry in tensor.external_data}
    location = facts.get("location", "")
    folder = path.parent.resolve()
    try:
        file = (folder / location).resolve()
        there = file.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name that is too long, a null byte
        shown = location[:100]
        raise InputError(
            f"{path}: tensor {tensor.name!r}: external data {shown!r} is no file ({error})"[:400]
        ) from None
    if not location or not file.is_relative_to(folder):
        raise InputError(f"{path}: tensor {tensor.name!r}: external data {location!r} lies outside {path.parent}")
    if not there:
        raise InputError(
            f"{path}: tensor {tensor.name!r}: external data file {location!r} is not beside it;"
            " bring it there, or save the model as one file"
        )
    offset = _number(facts.get("offset"), 0)
    wanted = math.prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    length = _number(facts.get("length"), wanted)
    if min(offset, length, *tensor.dims, 0) < 0 or length < wanted or offset + length > file.stat().st_size:
        raise InputError(f"{path}: tensor {tensor.name!r}: external data file {location!r} is too small for it")
    return length


def _number(text: str | None, default: int) -> int:
    try:
        return default if text is None else int(text)
    except ValueError:
        return -1


def count_parameters(model: Any) -> int:
    """Count the values of a model's float initializers, without running statistics of batch normalisation."""
    import onnx

    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16)
    statistics = {name for node in model.graph.node if node.op_type == "BatchNormalization" for name in node.input[3:5]}
    return sum(
        math.prod(tensor.dims)
        for tensor in model.graph.initializer
        if tensor.data_type in floats and tensor.name not in statistics
    )
