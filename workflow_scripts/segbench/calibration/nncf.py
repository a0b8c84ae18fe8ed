"""Calibrate with OpenVINO's own quantiser, NNCF, which makes a quantised OpenVINO model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segbench.calibration.base import QUANTIZED, Calibrator, Operator, Task
from segbench.calibration.mixed_precision import Candidate, first_1_2_4
from segbench.errors import Failed, framework_errors
from segbench.process.supervise import progress
from segbench.runtimes.openvino import class_maps, read_model

if TYPE_CHECKING:  # rules look calibrators up: nothing heavy is imported for that
    from segbench.calibration.judging import Judge
    from segbench.models.exported import ExportedModel


@dataclass(frozen=True)
class Options:
    """`preset`: performance (symmetric activations) or mixed (asymmetric). `fast_bias_correction`: false corrects
    layer by layer, more exactly and more slowly.
    """

    preset: str = "performance"
    fast_bias_correction: bool = True

    def __post_init__(self) -> None:
        if self.preset not in ("performance", "mixed"):
            raise ValueError("preset must be performance or mixed")


CAREFUL = Options(preset="mixed", fast_bias_correction=False)


class NNCF(Calibrator):
    """Post-training quantisation. Where the result loses too much, a careful preset and then layers in FP32 follow."""

    packages = ("nncf", "openvino")
    reads = ("paddle", "onnx", "openvino")
    falls_back = ("onnx",)
    options = Options

    def calibrate(self, task: Task, options: Any, out: Path) -> dict[str, Any]:
        """Write `model.xml` and `model.bin`."""
        import openvino

        graph, notes = read_model(task.model)
        search = _Search(task, graph, options)
        quantized = search.quantized
        facts: dict[str, Any] = {"fp32_layers": list(task.fp32_layers)}
        if task.max_drop is not None:
            judge = task.held_out.judge(class_maps(graph))
            taken, facts = judge.choose(search.candidates(judge), task.max_drop)
            quantized = taken.made
        openvino.save_model(quantized, str(out / "model.xml"), compress_to_fp16=False)
        return facts | {"options": asdict(search.options), "notes": notes}

    def operators(self, model: ExportedModel, calibration: Path, work: Path) -> list[Operator]:
        """Return the operators of the quantised model, whose names are those of the FP32 model."""
        import openvino

        quantized = openvino.Core().read_model(str(calibration / QUANTIZED / "model.xml"))
        layers = set(_quantized_layers(quantized))
        names = [node.get_friendly_name() for node in quantized.get_ordered_ops()]
        return [Operator(name if name in layers else "", (name,)) for name in names]


class _Search:
    """Quantise one FP32 graph, more exactly each time. `quantized` is the first; `options` are the last ones."""

    def __init__(self, task: Task, graph: Any, options: Options) -> None:
        self._task, self._graph, self.options = task, graph, options
        self.quantized = self._quantize(task.fp32_layers)
        _refuse_not_finite(self.quantized)

    def candidates(self, judge: Judge) -> Iterator[Candidate]:
        """Yield the quantised graph, then that of the careful preset, then it with the layers that hurt most in FP32,
        as many as are needed (1, 2, 4, …).
        """
        whole = self.quantized
        yield Candidate([], class_maps(whole), whole)
        if self.options != CAREFUL:
            self.options = CAREFUL
            whole = self._quantize()
            yield Candidate([], class_maps(whole), whole)
        ranked = judge.layers_worst_first(_quantized_layers(whole), lambda layer: class_maps(_only(whole, layer)))
        for kept in first_1_2_4(ranked):
            mixed = self._quantize(kept)
            yield Candidate(kept, class_maps(mixed), mixed)

    def _quantize(self, fp32_layers: Sequence[str] = ()) -> Any:
        """Return the quantised graph. The layers of these names stay in FP32."""
        import nncf

        progress(f"quantising, {len(fp32_layers)} layers in FP32" if fp32_layers else "quantising")
        fix = nncf.OverflowFix.ENABLE if self._task.reduce_range else nncf.OverflowFix.DISABLE
        with framework_errors("quantising", Exception):
            return nncf.quantize(
                self._graph,
                nncf.Dataset(self._task.images),
                preset=nncf.QuantizationPreset(self.options.preset),
                fast_bias_correction=self.options.fast_bias_correction,
                subset_size=len(self._task.images),
                target_device=nncf.TargetDevice.CPU,
                ignored_scope=nncf.IgnoredScope(names=list(fp32_layers)) if fp32_layers else None,
                advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=fix),
            )


def _only(quantized: Any, layer: str) -> Any:
    """Return a copy in which only the inputs of `layer` are rounded."""
    copy = quantized.clone()
    inside = {value.get_node().get_friendly_name() for value in _inputs_of(copy, layer)}
    for node in copy.get_ordered_ops():
        if node.get_type_name() == "FakeQuantize" and node.get_friendly_name() not in inside:
            node.output(0).replace(node.input_value(0))
    return copy


def _inputs_of(model: Any, layer: str) -> list[Any]:
    node = next(node for node in model.get_ordered_ops() if node.get_friendly_name() == layer)
    return [node.input_value(number) for number in range(node.get_input_size())]


def _quantized_layers(model: Any) -> list[str]:
    """Name the operators that read a rounded activation. Sums and concatenations can hurt like convolutions."""
    return [node.get_friendly_name() for node in model.get_ordered_ops() if any(map(_rounds, node.input_values()))]


def _rounds(value: Any) -> bool:
    """Return whether a value is an activation that was rounded (and not a weight)."""
    node = value.get_node()
    return node.get_type_name() == "FakeQuantize" and node.input_value(0).get_node().get_type_name() != "Constant"


def _refuse_not_finite(model: Any) -> None:
    """Raise Failed, naming the quantiser, when a range is NaN or infinite."""
    for node in model.get_ordered_ops():
        if node.get_type_name() != "FakeQuantize":
            continue
        for number in range(1, 5):
            constant = node.input_value(number).get_node()
            if constant.get_type_name() == "Constant" and not np.isfinite(constant.data).all():
                raise Failed(f"calibrating: activation {node.get_friendly_name()!r} is not a number")


CALIBRATOR = NNCF()
