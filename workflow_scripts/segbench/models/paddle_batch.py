"""Let an exported Paddle network, whose sizes are fixed at one image, take several images at a time.

As in `onnx_batch`, a batch that leads every tensor is changed in the constants that hold it, and any other use shows.
"""

from __future__ import annotations

from segbench.errors import Unsupported, framework_errors
from segbench.models.paddle_files import read_program

SIZED = ("reshape", "reshape2")  # operators that give a tensor the sizes of their attribute `shape`


def with_batch(pdmodel: bytes, count: int) -> bytes:
    """Return the program with `count` images in its input and output.

    Raises Unsupported where an operator mixes images, or is made for one.
    """
    program = read_program(pdmodel)
    block = program.block(0)
    with framework_errors("setting the batch: the graph is made for one image", Exception, unsupported=True):
        for operator in [block.op(number) for number in range(block.op_size())]:
            if operator.type() == "fetch":
                continue
            if operator.type() == "feed":
                image = block.find_var(operator.output("Out")[0].encode())
                image.set_shape([count, *image.shape()[1:]])
                continue
            if operator.type() in SIZED:
                sizes, source = list(operator.attr("shape")), block.find_var(operator.input("X")[0].encode())
                if sizes[:1] == [1] and source.shape()[:1] == [count]:
                    operator._set_attr("shape", [count, *sizes[1:]])
            operator.infer_shape(block)
    (fetch,) = (one for one in map(block.op, range(block.op_size())) if one.type() == "fetch")
    result = list(block.find_var(fetch.input("X")[0].encode()).shape())
    if result[:1] != [count]:
        raise Unsupported(f"the graph is made for one image: a batch of {count} gives {result}")
    return bytes(program.serialize_to_string())
