"""Let an exported ONNX network, whose sizes are fixed at one image, take several images at a time.

Sizes were folded into constants at the export, so the batch stands in the targets of reshapes and resizes too. A batch
that leads every tensor is changed there. Any other use of it shows, since shapes then do not follow.
"""

from __future__ import annotations

from typing import Any

from segbench.errors import Unsupported
from segbench.models.onnx_graph import infer, shapes_of

# Operators that give a tensor the sizes of a constant, and the input that has it.
SIZED = {"Reshape": 1, "Resize": 3}


def set_batch(model: Any, count: int) -> None:
    """Make input and output of the `onnx.ModelProto` hold `count` images, in place.

    Raises Unsupported where an operator mixes images, or is made for one.
    """
    import onnx
    from onnx import numpy_helper

    graph = model.graph
    before = shapes_of(infer(model))
    constants = {tensor.name: tensor for tensor in graph.initializer}
    of_images = {value.name for value in graph.input}
    for node in graph.node:
        if of_images.isdisjoint(node.input):
            continue
        of_images.update(node.output)
        place = SIZED.get(node.op_type, len(node.input))
        tensor = constants.get(node.input[place]) if place < len(node.input) else None
        if tensor is None or before.get(node.input[0], (0,))[:1] != (1,):
            continue
        sizes = numpy_helper.to_array(tensor).copy()
        if sizes[:1].tolist() == [1]:
            sizes[0] = count
            node.input[place] = f"{node.name or node.output[0]}/sizes_of_{count}"
            graph.initializer.append(numpy_helper.from_array(sizes, node.input[place]))
    del graph.value_info[:]
    for value in (graph.input[0], graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = count
    try:
        after = shapes_of(onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph)
    except onnx.shape_inference.InferenceError as error:
        raise Unsupported(f"the graph is made for one image: {' '.join(str(error).split())[:200]}") from None
    result = graph.output[0].name
    if after.get(result, (0,))[0] != count:
        raise Unsupported(f"the graph is made for one image: a batch of {count} gives {after.get(result)}")
