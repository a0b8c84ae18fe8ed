"""Operators that paddle2onnx lacks, or makes another function of, in standard ONNX operators that compute the same.

They get names that paddle2onnx does not know, and then come through a conversion as custom operators, with their
attributes. Here they are replaced.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from segbench.errors import Unsupported
from segbench.models.onnx_graph import Shape, infer, shapes_of
from segbench.models.paddle_files import read_program

DOMAIN = "Paddle"  # the one that paddle2onnx gives to custom operators
PREFIX = "segbench_"
POOL, UNPOOL, SCALE = (f"{PREFIX}{kind}" for kind in ("max_pool2d_with_index", "unpool", "scale"))
TRANSPOSED, PAD = f"{PREFIX}conv2d_transpose", f"{PREFIX}pad3d"
MODES = {b"constant": "constant", b"reflect": "reflect", b"replicate": "edge"}  # Paddle's and ONNX's
DROPPED = 1.001e-6  # paddle2onnx takes a bias of up to 1e-6 for 0 (mapper/tensor/scale.cc)


def marked(pdmodel: bytes) -> tuple[bytes, list[str]]:
    """Return a program in which the operators to replace have names of their own, and these names."""
    program = read_program(pdmodel)
    blocks = [program.block(number) for number in range(program.num_blocks())]
    operators = [block.op(number) for block in blocks for number in range(block.op_size())]
    read = {name for operator in operators for name in operator.input_arg_names()}
    names = []
    for operator in operators:
        if name := _marked_name(operator, read):
            operator.set_type(name)
            names.append(name)
    return bytes(program.serialize_to_string()), sorted(set(names))


def _marked_name(operator: Any, read: set[str]) -> str:
    """Return the new name of an operator to replace, else nothing. `read`: what the program's operators read."""
    kind = operator.type()
    if kind == "unpool":
        return UNPOOL
    if kind == "max_pool2d_with_index" and read & set(operator.output("Mask")):
        return POOL
    if kind == "scale" and not operator.input("ScaleTensor") and 0 < abs(operator.attr("bias")) < DROPPED:
        return SCALE
    # paddle2onnx leaves the wanted size out (mapper/nn/conv2d_transpose.cc).
    if kind in ("conv2d_transpose", "depthwise_conv2d_transpose") and list(operator.attr("output_size")):
        return TRANSPOSED
    # It takes channels that come last for rows (mapper/tensor/pad3d.cc).
    if kind == "pad3d" and operator.attr("data_format") == "NDHWC" and not operator.input("Paddings"):
        return PAD
    return ""


def replace_custom(model: Any) -> None:
    """Replace, in place, the custom operators of a converted program.

    Raises Unsupported where one has no exact form.
    """
    makers: dict[str, Callable[..., list[Any]]] = {
        POOL: _pool,
        UNPOOL: _unpool,
        SCALE: _scale,
        TRANSPOSED: _transposed,
        PAD: _pad,
    }
    graph = model.graph
    for custom in [node for node in graph.node if node.domain == DOMAIN and node.op_type in makers]:
        facts = {one.name: one for one in custom.attribute}
        made = makers[custom.op_type](model, custom, facts)
        place = next(number for number, node in enumerate(graph.node) if node.output == custom.output)
        nodes = [*graph.node[:place], *made, *graph.node[place + 1 :]]
        del graph.node[:]
        graph.node.extend(nodes)


def _shape(model: Any, name: str, what: str) -> Shape:
    """Return the shape N×C×H×W of a value, which is inferred anew: what was replaced before has one now."""
    shape = shapes_of(infer(model)).get(name)
    if shape is None or len(shape) != 4 or min(shape) <= 0:
        raise Unsupported(f"{what}: its input has no fixed size")
    return shape


def _constant(model: Any, name: str, values: Any) -> str:
    from onnx import numpy_helper

    model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    return name


def _pool(model: Any, node: Any, facts: dict[str, Any]) -> list[Any]:
    """Return max pooling with int64 indices that count the elements of one channel, as Paddle's do."""
    from onnx import helper

    mask, pooled = node.output
    source = node.input[0]
    shape = _shape(model, source, f"max pooling {pooled}")
    kernel, strides, pads = (list(facts[name].ints) for name in ("ksize", "strides", "paddings"))
    if facts["global_pooling"].i:
        kernel, strides, pads = list(shape[2:]), [1, 1], [0, 0]
    if facts["adaptive"].i:
        raise Unsupported(f"unpooling with the indices of adaptive max pooling ({pooled})")
    if any(step < size for step, size in zip(strides, kernel, strict=True)):
        raise Unsupported(f"unpooling with the indices of windows that overlap ({pooled})")
    # ONNX counts the elements of the whole tensor.
    first = np.arange(math.prod(shape[:2]), dtype=np.int64).reshape(*shape[:2], 1, 1) * math.prod(shape[2:])
    counted = f"{mask}/of_tensor"
    window: dict[str, Any] = {"kernel_shape": kernel, "strides": strides, "pads": pads * 2}
    return [
        helper.make_node("MaxPool", [source], [pooled, counted], name=pooled, **window),
        helper.make_node("Sub", [counted, _constant(model, f"{mask}/first", first)], [mask], name=mask),
    ]


def _unpool(model: Any, node: Any, facts: dict[str, Any]) -> list[Any]:
    """Return the nodes that put each value where its index says, in zeros."""
    from onnx import helper

    (indices, values), (output,) = node.input, node.output
    batch, channels, rows, columns = _shape(model, values, f"unpooling {output}")
    height, width = facts["output_size"].ints[-2:]
    flat = _constant(model, f"{output}/flat", np.array([batch, channels, rows * columns], np.int64))
    zeros = _constant(model, f"{output}/zeros", np.zeros((batch, channels, height * width), np.float32))
    size = _constant(model, f"{output}/size", np.array([batch, channels, height, width], np.int64))
    names = [f"{output}/{part}" for part in ("values", "indices", "put")]
    return [
        helper.make_node("Reshape", [values, flat], [names[0]], name=names[0]),
        helper.make_node("Reshape", [indices, flat], [names[1]], name=names[1]),
        helper.make_node("ScatterElements", [zeros, names[1], names[0]], [names[2]], name=names[2], axis=2),
        helper.make_node("Reshape", [names[2], size], [output], name=output),
    ]


def _scale(model: Any, node: Any, facts: dict[str, Any]) -> list[Any]:
    """Return a product, where the factor is not 1, and a sum."""
    from onnx import helper

    (source,), (output,) = node.input, node.output
    factor, bias = facts["scale"].f, facts["bias"].f
    made = []
    if factor != 1:
        scaled = f"{output}/scaled"
        factors = _constant(model, f"{output}/factor", np.float32(factor))
        made.append(helper.make_node("Mul", [source, factors], [scaled], name=scaled))
        source, bias = scaled, bias if facts["bias_after_scale"].i else bias * factor
    biases = _constant(model, f"{output}/bias", np.float32(bias))
    return [*made, helper.make_node("Add", [source, biases], [output], name=output)]


def _transposed(model: Any, node: Any, facts: dict[str, Any]) -> list[Any]:
    """Return a transposed convolution whose result has the wanted size: what is missing is added at its end."""
    from onnx import helper

    (weights, source), (output,) = node.input[-2:], node.output
    size, kernel = (_shape(model, name, f"transposed convolution {output}")[2:] for name in (source, weights))
    if facts["padding_algorithm"].s != b"EXPLICIT":
        raise Unsupported(f"a transposed convolution with padding and output size by name ({output})")
    strides, dilations, pads = (list(facts[name].ints) for name in ("strides", "dilations", "paddings"))
    pads = [pads[0], pads[2], pads[1], pads[3]] if len(pads) == 4 else pads * 2  # from top, bottom, left, right
    whole = [(size[i] - 1) * strides[i] + dilations[i] * (kernel[i] - 1) + 1 - pads[i] - pads[i + 2] for i in range(2)]
    more = [wanted - had for wanted, had in zip(facts["output_size"].ints[-2:], whole, strict=True)]
    window: dict[str, Any] = {"strides": strides, "dilations": dilations, "pads": pads, "output_padding": more}
    made = helper.make_node(
        "ConvTranspose", [source, weights], [output], name=output, group=facts["groups"].i, **window
    )
    return [made]


def _pad(model: Any, node: Any, facts: dict[str, Any]) -> list[Any]:
    """Return the padding of a tensor N×D×H×W×C."""
    from onnx import helper

    (source,), (output,) = node.input, node.output
    if (mode := facts["mode"].s) not in MODES:
        raise Unsupported(f"padding by {mode.decode()} ({output})")
    left, right, top, bottom, front, back = facts["paddings"].ints
    pads = np.array([0, front, top, left, 0, 0, back, bottom, right, 0], np.int64)
    names = [
        _constant(model, f"{output}/pads", pads),
        _constant(model, f"{output}/value", np.float32(facts["value"].f)),
    ]
    return [helper.make_node("Pad", [source, *names], [output], name=output, mode=MODES[mode])]
