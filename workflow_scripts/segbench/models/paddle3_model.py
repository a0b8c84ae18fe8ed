"""A person's own Paddle 3 model (X.json, X.pdiparams): its input made one size, argmax and cast put behind its output.

This runs in Paddle 3's interpreter: 2.6.2 crashes on such a file.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from segbench.errors import InputError
from segbench.machine.cpu import package_version
from segbench.models.inference_model import add_class_map, check_input, choose_output, damaged, input_shape
from segbench.models.paddle_files import shapes_in


def export(model: str, entry: dict[str, Any], program: Path, prefix: Path) -> tuple[int, list[str]]:
    """Write `prefix`.json and .pdiparams: float32 1×3×H×W in, uint8 1×H×W class indices out. Returns the number of
    trained values, and notes.

    `program` has its parameters beside it, named alike. Raises InputError naming `model` where Paddle 3 is not
    installed, the model is damaged, or its input or output is not as `inference_model.export` wants them.
    """
    where = f"model_catalogue.{model}"
    version = package_version("paddlepaddle") or "missing"
    if not version.startswith("3."):
        raise InputError(
            f"{where}.weights: {program}: a Paddle 3 model, but paddlepaddle is {version} here; run `make env-paddle3`"
        )
    os.environ.pop("FLAGS_enable_pir_api", None)  # 0 would make Paddle 3 look for a .pdmodel

    import paddle

    paddle.enable_static()
    executor = paddle.static.Executor(paddle.CPUPlace())
    try:
        network, _, outputs = paddle.static.load_inference_model(str(program.with_suffix("")), executor)
    except Exception as error:  # Paddle has a class of its own for each kind of damage
        raise damaged(where, program, error) from None
    _check_parameters(where, network, program.with_suffix(".pdiparams"))
    names = [f"fetch_name_{number}" for number in range(len(outputs))]
    number, notes = choose_output(where, entry.get("output"), names)
    with paddle.static.program_guard(network):
        image = _fix_input(where, entry, network)
        class_map = add_class_map(where, entry, outputs[number], names[number])
        paddle.static.save_inference_model(str(prefix), [image], [class_map], executor, program=network)
    _try(where, entry, prefix, executor)
    return _count_parameters(network), notes


def _check_parameters(where: str, network: Any, pdiparams: Path) -> None:
    """Raise InputError where the file is not whole, or of another model: Paddle fills what it lacks with anything."""
    wanted = [tuple(value.shape) for value in _parameters(network).values()]
    if sorted(shapes_in(pdiparams, f"{where}.weights")) != sorted(wanted):
        raise InputError(f"{where}.weights: {pdiparams} does not belong to its .json: their parameters differ")


def _parameters(network: Any) -> dict[str, Any]:
    """The stored variables by name."""
    operators = network.global_block().ops
    return {o.result(0).name: o.result(0) for o in operators if o.name() == "builtin.parameter"}


def _fix_input(where: str, entry: dict[str, Any], network: Any) -> Any:
    """An input of the fixed shape in place of the model's own. Shapes behind it stay as they are written, -1 for any:
    kernels go by what they get."""
    import paddle
    from paddle.base.libpaddle import pir

    block = network.global_block()
    inputs = [operator for operator in block.ops if operator.name() == "pd_op.data"]
    own = check_input(where, entry, [operator.result(0) for operator in inputs])
    pir.set_insertion_point(inputs[0])
    image = paddle.static.data(own.name, input_shape(entry), "float32")
    pir.reset_insertion_point_to_end()
    own.replace_all_uses_with(image)
    block.remove_op(inputs[0])
    return image


def _try(where: str, entry: dict[str, Any], prefix: Path, executor: Any) -> None:
    """Run the saved model once: sizes that it leaves open show in its result only."""
    import paddle

    network, inputs, outputs = paddle.static.load_inference_model(str(prefix), executor)
    image = np.zeros(input_shape(entry), np.float32)
    (class_map,) = executor.run(network, feed={inputs[0]: image}, fetch_list=outputs)
    if class_map.shape != (wanted := (1, *image.shape[2:])):
        raise InputError(
            f"{where}.weights: the model makes a class map of {list(class_map.shape)} from an image of"
            f" {list(image.shape)}; wanted: {list(wanted)}"
        )


def _count_parameters(network: Any) -> int:
    """Trained values: the parameters without the running statistics of batch normalisation."""
    sizes = {name: math.prod(value.shape) for name, value in _parameters(network).items()}
    for operator in network.global_block().ops:
        if operator.name() in ("pd_op.batch_norm", "pd_op.batch_norm_", "pd_op.sync_batch_norm_"):
            for statistics in operator.operands_source()[1:3]:
                sizes.pop(statistics.name, None)
    return sum(sizes.values())
