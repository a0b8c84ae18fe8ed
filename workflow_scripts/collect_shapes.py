"""Record the shape of every tensor of an exported Paddle model. TensorRT's dynamic shapes are made from these.

At a fixed input size the exported graph has them all. Paddle's own collection, which runs the graph and keeps every
tensor (DeepLabV3P at 1024×2048: 20.7 GB), is for models of your own that leave a size open.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from segbench.config.options import Variant
from segbench.engines.base import load
from segbench.engines.paddle_gpu import gpu_errors
from segbench.engines.paddle_tensorrt import SHAPES
from segbench.errors import Failed, Unsupported
from segbench.files import atomic, sha256_of, stage_files
from segbench.machine.cpu import this_machine
from segbench.models.exported import ExportedModel, paddle_files
from segbench.models.paddle_files import read_program
from segbench.process.lifetime import command
from segbench.process.limits import Limits, configured_limits
from segbench.process.status import read_status, run_stage, write_status
from segbench.process.supervise import progress, stage

BLOCK = 'shape_range_info {{\n  name: "{name}"\n{sizes}}}\n'


def read_shapes(pdmodel: bytes) -> str | None:
    """Return the shapes of all tensors that a program's operators read, in the form of Paddle's own collection.
    None: the program leaves a size open.
    """
    program = read_program(pdmodel)
    shapes: dict[str, list[int]] = {}
    for block in map(program.block, range(program.num_blocks())):
        operators = [block.op(number) for number in range(block.op_size())]
        kept = [operator for operator in operators if operator.type() not in ("feed", "fetch")]
        read = {name for operator in kept for name in operator.input_arg_names()}
        shapes |= {name: list(block.find_var_recursive(name.encode()).shape()) for name in read}
    if any(size < 0 for shape in shapes.values() for size in shape):
        return None
    blocks = []
    for name, shape in sorted(shapes.items()):
        sizes = "".join(f"  {kind}_shape: {size}\n" for kind in ("min", "max", "opt") for size in shape)
        blocks.append(BLOCK.format(name=name, sizes=sizes))
    return "".join(blocks)


def collect(model: ExportedModel, out: Path, gpu: bool = True) -> None:
    """Let Paddle run `model`, on the GPU or the CPU, and write the shapes of all its tensors to file `out`.

    Raises Unsupported for an ONNX model, Failed where Paddle wrote nothing.
    """
    import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538

    import paddle.inference

    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
        work = Path(folder)
        stage_files(paddle_files(model), work)
        config = paddle.inference.Config(str(work / "model.pdmodel"), str(work / "model.pdiparams"))
        if gpu:
            config.enable_use_gpu(100, 0)
        else:
            config.disable_gpu()
            config.disable_mkldnn()
        config.disable_glog_info()
        config.collect_shape_range_info(str(work / SHAPES))
        with gpu_errors("collecting shapes"):
            predictor = paddle.inference.create_predictor(config)
            source = predictor.get_input_handle(predictor.get_input_names()[0])
            source.copy_from_cpu(np.zeros(model.shape, np.float32))
            predictor.run()
        del source, predictor  # Paddle writes the file when the predictor is destroyed
        found = work / SHAPES
        if not found.exists() or not found.stat().st_size:
            raise Failed("Paddle wrote no shapes")
        shutil.copyfile(found, out)


def work(request: dict[str, str]) -> dict[str, Any]:
    """Collect shapes in the child, where the engine that needs them can run here."""
    support = load("paddle_tensorrt").supports(Variant("", "paddle_tensorrt", "fp32"), this_machine())
    if not support.ok:
        raise Unsupported(support.reason)
    progress("collecting shapes")
    out = Path(request["out"])
    model = ExportedModel.open(Path(request["model"]))
    shapes = read_shapes(paddle_files(model)[0].read_bytes())
    if shapes is None:
        collect(model, out)
    else:
        out.write_text(shapes)
    return {"sha256": sha256_of(out)}


def run(model: Path, limits: Limits, shapes: Path, status: Path) -> None:
    """Collect under supervision in the parent. The file is empty where that failed."""
    name = f"{model.parent.name} shapes"
    with atomic(shapes) as out:
        variables = load("paddle_tensorrt").child_variables()
        request = {"model": str(model), "out": str(out)}
        outcome = run_stage(__file__, request, limits, name, [read_status(model)], variables)
        if outcome.status != "ok":
            out.write_bytes(b"")
    write_status(status, name, outcome, {})


@command
def main() -> None:
    """Parse the command line and collect."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="model.json of the exported model")
    parser.add_argument("--shapes", type=Path, required=True, help=f"{SHAPES} to write, beside the model")
    parser.add_argument("--status", type=Path, required=True, help="shapes.json to write, beside it")
    args = parser.parse_args()
    run(args.model, configured_limits(), args.shapes, args.status)


if __name__ == "__main__":
    stage(main, work)
