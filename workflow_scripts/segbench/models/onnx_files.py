"""Read a user's ONNX file as one whole. External data are folded in, from the file's own folder only."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, NamedTuple

from segbench.errors import InputError
from segbench.models.stand_ins import refuse_stand_in

MAX_BYTES = 2_000_000_000  # protobuf's limit for one file is 2 GiB


def read_onnx(path: Path) -> Any:
    """Return the `onnx.ModelProto` of `path` with all tensors inside it.

    Raises InputError naming the file when it is missing or no ONNX model. External data are refused where they are
    missing, lie outside the model's folder, or are smaller than the model says. Where the model is a link into a folder
    of blobs, as hub caches keep it, links beside it may lead there too.
    """
    import onnx

    model = _parse(path)
    tensors = external_tensors(model)
    parts = [_find_external(path, tensor) for tensor in tensors]
    if sum(part.length for part in parts) > MAX_BYTES:
        raise InputError(f"{path}: with its external data larger than 2 GB, which one ONNX file cannot hold")
    for tensor, part in zip(tensors, parts, strict=True):
        with part.file.open("rb") as stream:  # onnx itself follows no link
            stream.seek(part.offset)
            tensor.raw_data = stream.read(part.length)
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
    refuse_stand_in(path, str(path))
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


class External(NamedTuple):
    """Where a tensor's external data lie: the file with no link in its path, and a part of it in bytes."""

    file: Path
    offset: int
    length: int


def _find_external(path: Path, tensor: Any) -> External:
    """Check that a tensor's external data exist, and return where."""
    from onnx import helper

    facts = {entry.key: entry.value for entry in tensor.external_data}
    location = facts.get("location", "")
    said = f"{path}: tensor {tensor.name!r}: external data"
    folder = path.parent.resolve()
    try:
        place = Path(os.path.normpath(folder / location))
        file = place.resolve()
        there = file.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name that is too long, a null byte
        raise InputError(f"{said} {location[:100]!r} is no file ({error})"[:400]) from None
    is_named_inside = bool(location) and place.is_relative_to(folder)
    if not is_named_inside or not (file.is_relative_to(folder) or file.is_relative_to(path.resolve().parent)):
        raise InputError(f"{said} {location!r} lies outside {path.parent}")
    if not there:
        raise InputError(f"{said} file {location!r} is not beside it; bring it there, or save the model as one file")
    refuse_stand_in(file, f"{said} file {location!r}")
    offset = _number(facts.get("offset"), 0)
    wanted = math.prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    length = _number(facts.get("length"), wanted)
    if min(offset, length, *tensor.dims, 0) < 0 or length < wanted or offset + length > file.stat().st_size:
        raise InputError(f"{said} file {location!r} is too small for it")
    return External(file, offset, length)


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
