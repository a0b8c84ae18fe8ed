"""Bring an ONNX network of 16-bit floats to float32, so that a row that is called FP32 computes so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

TYPES_INSIDE = ("to", "dtype", "output_dtype", "stash_type", "softmax_precision")  # attributes that are a type's number


def to_float32(model: Any) -> list[str]:
    """Make every FLOAT16 and BFLOAT16 of `model` FLOAT, in place: weights, inputs, outputs, casts. Return a note.

    float32 holds each value of both types. ONNX Runtime has no CPU kernels for most operators of them, and quantisers
    and the converter to FP16 start from float32.
    """
    from onnx import TensorProto, numpy_helper

    narrow, found = (TensorProto.FLOAT16, TensorProto.BFLOAT16), set()
    for part in _parts(model):
        kind = type(part).__name__
        if kind == "TensorProto" and part.data_type in narrow:
            found.add(part.data_type)
            part.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(part).astype(np.float32), part.name))
        elif kind == "ValueInfoProto" and part.type.tensor_type.elem_type in narrow:
            found.add(part.type.tensor_type.elem_type)
            part.type.tensor_type.elem_type = TensorProto.FLOAT
        elif kind == "AttributeProto" and part.name in TYPES_INSIDE and part.i in narrow:
            part.i = TensorProto.FLOAT
    names = " and ".join(sorted(TensorProto.DataType.Name(number) for number in found))
    return [f"the network has {names} values, it runs in FLOAT, which holds each of them"] if found else []


def _parts(model: Any) -> Iterator[Any]:
    """Yield the tensors, declared values and attributes of a model, those of subgraphs and functions included."""
    yield from _of_graph(model.graph)
    for function in model.functions:
        yield from function.value_info
        for node in function.node:
            yield from _of_node(node)


def _of_graph(graph: Any) -> Iterator[Any]:
    for field in (graph.initializer, graph.input, graph.output, graph.value_info):
        yield from field
    for node in graph.node:
        yield from _of_node(node)


def _of_node(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        yield attribute
        yield from attribute.tensors
        if attribute.HasField("t"):
            yield attribute.t
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield from _of_graph(graph)
