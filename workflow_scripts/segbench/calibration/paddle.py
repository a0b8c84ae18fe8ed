"""Calibrate with Paddle's own post-training quantisation, which makes a model with quantisation operators for
oneDNN.
"""

from __future__ import annotations

import re
import tempfile
import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segbench.calibration.base import Calibrator, Operator, Task
from segbench.calibration.masks import masked
from segbench.calibration.mixed_precision import Candidate, first_1_2_4, worst_first
from segbench.errors import Failed, framework_errors
from segbench.files import stage_files
from segbench.models.exported import paddle_files
from segbench.models.paddle_files import read_program
from segbench.process.supervise import progress

if TYPE_CHECKING:  # rules look calibrators up: nothing heavy is imported for that
    from segbench.calibration.judging import Judge
    from segbench.models.exported import ExportedModel

SUM = "elementwise_add"
LAYERS = ("conv2d", "depthwise_conv2d", "mul")
FILES = {"model_filename": "model.pdmodel", "params_filename": "model.pdiparams"}


@dataclass(frozen=True)
class Options:
    """`method` is how Paddle finds an activation's scale: abs_max, avg, hist, mse, KL, or emd."""

    method: str = "abs_max"

    def __post_init__(self) -> None:
        if self.method not in ("abs_max", "avg", "hist", "mse", "KL", "emd"):
            raise ValueError("method must be one of abs_max, avg, hist, mse, KL, emd")


class PaddlePTQ(Calibrator):
    """Paddle's quantiser, with symmetric 8-bit activations and per-channel weights."""

    packages = ("paddlepaddle",)
    reads = ("paddle",)
    leaves_passes_out = True
    options = Options

    def calibrate(self, task: Task, options: Any, out: Path) -> dict[str, Any]:
        """Write `model.pdmodel` and `model.pdiparams`."""
        source = paddle_files(task.model)[0].parent
        for _ in task.images:  # Paddle's loader waits for ever for an image that cannot be read
            pass
        if task.max_drop is None:
            quantize(source, task, options.method, out, list(task.fp32_layers))
            return {"fp32_layers": list(task.fp32_layers)}
        with tempfile.TemporaryDirectory(dir=out) as folder:
            search = _Search(source, task, options.method, Path(folder))
            whole = search.candidate([])  # quantising refuses what is not a number, which judging would not
            judge = task.held_out.judge(_predictor(source, "fp32", task.left_out))
            taken, facts = judge.choose(search.candidates(whole, judge, task.max_drop), task.max_drop)
            stage_files([taken.made / name for name in FILES.values()], out)
        return facts

    def operators(self, model: ExportedModel, calibration: Path, work: Path) -> list[Operator]:
        """Return the operators of the FP32 program. A layer is named by its input, as Paddle's quantiser wants it."""
        program = read_program(paddle_files(model)[0].read_bytes())
        block = program.block(0)
        found = [block.op(number) for number in range(block.op_size())]
        return [Operator(_layer(one) if one.type() in LAYERS else "", tuple(one.output_arg_names())) for one in found]


class _Search:
    """Quantise one model, each time into a folder of its own below `folder`."""

    def __init__(self, source: Path, task: Task, method: str, folder: Path) -> None:
        self._source, self._task, self._method, self._folder = source, task, method, folder

    def candidate(self, kept: list[str]) -> Candidate:
        """Return the quantised model that keeps these layers in FP32."""
        out = self._folder / str(len(kept))
        quantize(self._source, self._task, self._method, out, kept)
        return Candidate(kept, _predictor(out, "int8", self._task.left_out), out)

    def candidates(self, whole: Candidate, judge: Judge, bound: float) -> Iterator[Candidate]:
        """Yield `whole`, then with the layers that hurt most in FP32.

        Sums and concatenations stay in INT8 whatever is chosen. So all layers are tried first: where that is not
        enough, nothing between is.
        """
        yield whole
        if not (steps := list(first_1_2_4(rank(self._source, self._task)))):
            return
        last = self.candidate(steps.pop())
        if judge.loss(last.predict, judge.choosing).high <= bound:
            yield from map(self.candidate, steps)
        yield last


def quantize(source: Path, task: Task, method: str, out: Path, fp32_layers: list[str]) -> None:
    """Write the quantised model of folder `source` to folder `out`. The weights named `fp32_layers` stay FP32."""
    progress(f"quantising with {len(fp32_layers)} layers in FP32" if fp32_layers else "quantising")
    with framework_errors("quantising", Exception):
        _quantize(source, task, method, out, fp32_layers)


def _quantize(source: Path, task: Task, method: str, out: Path, fp32_layers: list[str]) -> None:
    import paddle
    from paddle.static.quantization import PostTrainingQuantization

    class Images(paddle.io.Dataset):
        """The calibration images in the shape that Paddle's loader needs: 3×H×W."""

        def __len__(self) -> int:
            return len(task.images)

        def __getitem__(self, number: int) -> Any:
            return task.images[number][0]

    class Quantizer(PostTrainingQuantization):
        """Paddle's, which leaves tensors without a range as they are."""

        def _collect_target_varnames(self) -> None:
            super()._collect_target_varnames()
            without_range = _masked(self._program, self._scope) | _sums_read_twice(self._program)
            self._quantized_act_var_name -= without_range
            self._zero_size_var_names |= without_range  # its own name for what it shall not quantise

    paddle.set_flags({"FLAGS_use_mkldnn": True})  # Paddle's native kernels are several times slower
    paddle.enable_static()
    try:
        with paddle.static.scope_guard(paddle.static.Scope()):
            place = paddle.CPUPlace()
            executor = paddle.static.Executor(place)
            feed = paddle.static.data(_input_name(source), task.model.shape)
            quantizer = Quantizer(
                executor=executor,
                model_dir=str(source),
                data_loader=paddle.io.DataLoader(
                    Images(), feed_list=[feed], batch_size=1, return_list=False, places=[place]
                ),
                batch_size=1,
                batch_nums=len(task.images),
                algo=method,
                quantizable_op_type=list(LAYERS),
                weight_quantize_type="channel_wise_abs_max",
                onnx_format=True,
                skip_tensor_list=fp32_layers or None,
                **FILES,
            )
            quantizer.quantize()
            _refuse_not_finite(quantizer)
            # Paddle's save adds variables that an exported program may have already, of another type.
            with paddle.utils.unique_name.guard("int8/"):
                quantizer.save_quantized_model(str(out), **FILES)
    finally:
        paddle.disable_static()


def _input_name(source: Path) -> str:
    """Return the name of the model's one input, without loading its weights a second time."""
    program = read_program((source / FILES["model_filename"]).read_bytes())
    block = program.block(0)
    operators = map(block.op, range(block.op_size()))
    return next(str(operator.output("Out")[0]) for operator in operators if operator.type() == "feed")


def rank(source: Path, task: Task) -> list[str]:
    """Rank the layers by their losses from 8 bits, the worst first. Each is named by its input.

    One image passes once through the FP32 program. Each layer's loss is the power of its rounding errors relative to
    the power of the values. Rounded are the input (to 1/127 of its largest value) and the weights (per output channel).
    """
    import paddle

    progress("finding the layers that hurt most")
    paddle.enable_static()
    try:
        with paddle.static.scope_guard(paddle.static.Scope()):
            executor = paddle.static.Executor(paddle.CPUPlace())
            program, feeds, _ = paddle.static.load_inference_model(str(source), executor, **FILES)
            block = program.global_block()
            layers = [op for op in block.ops if op.type in LAYERS]
            names = {op: (op.input("Input") or op.input("X"))[0] for op in layers}
            weights = {op: (op.input("Filter") or op.input("Y"))[0] for op in layers}
            fetched = executor.run(program, feed={feeds[0]: task.images[0]}, fetch_list=list(names.values()))
            values = dict(zip(names.values(), fetched, strict=True))
            losses: dict[str, float] = {}
            for op in layers:
                weight = np.array(paddle.static.global_scope().find_var(weights[op]).get_tensor())
                flat = weight.reshape(len(weight), -1) if op.type != "mul" else weight.T
                loss = _rounding_loss(values[names[op]].reshape(1, -1)) + _rounding_loss(flat)
                losses[names[op]] = max(losses.get(names[op], 0.0), loss)
    finally:
        paddle.disable_static()
    return worst_first(losses)


def _layer(operator: Any) -> str:
    """Return the name of what a layer of a program that was read computes from."""
    return str(operator.input("X" if operator.type() == "mul" else "Input")[0])


def _rounding_loss(rows: Any) -> float:
    """Return the noise-to-signal power of rounding each row to 127 steps of its largest magnitude."""
    step = np.abs(rows).max(axis=1, keepdims=True) / 127
    step[step == 0] = 1
    signal = float((rows.astype(np.float64) ** 2).sum())
    return float(((np.round(rows / step) * step - rows).astype(np.float64) ** 2).sum()) / signal if signal else 0.0


def _predictor(folder: Path, precision: str, left_out: tuple[str, ...] = ()) -> Any:
    """Return a predictor of class maps by the engine that the quantised model is for, without the passes `left_out`."""
    from segbench.config.options import Variant
    from segbench.engines import paddle_onednn
    from segbench.engines.base import run_once

    variant = Variant(f"paddle_onednn-{precision}", "paddle_onednn", precision)
    options = paddle_onednn.RunOptions()
    return partial(run_once, paddle_onednn.onednn_session(folder / "model.pdmodel", 0, options, variant, left_out))


def _masked(program: Any, scope: Any) -> set[str]:
    """Return the tensors of a program that have no range, since the network stores infinities that go into them."""
    block = program.global_block()
    stored = [name for name, one in block.vars.items() if one.persistable and scope.find_var(name)]
    values = {name: np.array(scope.find_var(name).get_tensor()) for name in stored if name not in ("feed", "fetch")}
    infinite = [name for name, array in values.items() if array.dtype.kind == "f" and np.isinf(array).any()]
    return masked(((one.type, one.input_arg_names, one.output_arg_names) for one in block.ops), infinite)


def _sums_read_twice(program: Any) -> set[str]:
    """Return the sums that a ReLU and a further sum read, as in DDRNet.

    oneDNN (Paddle 2.6.2) makes them int8 where the further sum expects uint8, and cannot run.
    """
    operators = program.global_block().ops
    readers: dict[str, list[str]] = {}
    for operator in operators:
        for name in operator.input_arg_names:
            readers.setdefault(name, []).append(operator.type)
    sums = {name for operator in operators if operator.type == SUM for name in operator.output_arg_names}
    return {name for name in sums if {SUM, "relu"} <= set(readers.get(name, ()))}


def _refuse_not_finite(quantizer: Any) -> None:
    """Raise Failed, naming the tensor, when a scale is NaN or infinite."""
    for name, scale in (getattr(quantizer, "_quantized_threshold", None) or {}).items():
        if not np.isfinite(np.asarray(scale, float)).all():
            raise Failed(f"calibrating: activation {re.sub(r'[.]quantized.*$', '', name)!r} is not a number")


CALIBRATOR = PaddlePTQ()
