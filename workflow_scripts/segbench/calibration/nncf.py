"""Calibrate with OpenVINO's own quantiser, NNCF, which makes a quantised OpenVINO model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segbench.arrays import ClassMap, Float32Image
from segbench.calibration.base import Calibrator, Task
from segbench.calibration.mixed_precision import changed_pixels, drop_of, keep_worst, too_much, worst_first
from segbench.errors import Failed, framework_errors
from segbench.process.supervise import progress


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
    reads = ("paddle", "onnx")
    options = Options

    def calibrate(self, task: Task, options: Any, out: Path) -> dict[str, Any]:
        """Write `model.xml` and `model.bin`."""
        import openvino

        source = task.model.file("model.pdmodel") or task.model.file("model.onnx")
        with framework_errors("reading the model", Exception, unsupported=True):
            graph = openvino.Core().read_model(str(source))
            graph.reshape(list(task.model.shape))
        search = _Search(task, graph)
        quantized = search.quantize(options)
        _refuse_not_finite(quantized)
        facts: dict[str, Any] = {"fp32_layers": [], "options": asdict(options)}
        if task.max_drop is not None:
            quantized, more = search.within_bound(quantized, options)
            facts |= more
        openvino.save_model(quantized, str(out / "model.xml"), compress_to_fp16=False)
        return facts


class _Search:
    """Quantise one FP32 graph, more exactly each time, until the loss on the held-out images is within the bound."""

    def __init__(self, task: Task, graph: Any) -> None:
        self._task, self._graph = task, graph

    def quantize(self, options: Options, fp32_layers: Sequence[str] = ()) -> Any:
        """Return the quantised graph. The layers of these names stay in FP32."""
        import nncf

        progress(f"quantising, {len(fp32_layers)} layers in FP32" if fp32_layers else "quantising")
        fix = nncf.OverflowFix.ENABLE if self._task.reduce_range else nncf.OverflowFix.DISABLE
        with framework_errors("quantising", Exception):
            return nncf.quantize(
                self._graph,
                nncf.Dataset(self._task.images),
                preset=nncf.QuantizationPreset(options.preset),
                fast_bias_correction=options.fast_bias_correction,
                subset_size=len(self._task.images),
                target_device=nncf.TargetDevice.CPU,
                ignored_scope=nncf.IgnoredScope(names=list(fp32_layers)) if fp32_layers else None,
                advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=fix),
            )

    def within_bound(self, quantized: Any, options: Options) -> tuple[Any, dict[str, Any]]:
        """Return a graph and facts for the record. It is the given graph where that loses little enough, else one of
        the careful preset. Else it has the layers that hurt most in FP32, as many as are needed (1, 2, 4, …).
        """
        full = self._task.held_out.miou(_predictor(self._graph))
        drop = first = self._drop(full, quantized)
        if too_much(drop, self._task.max_drop) and options != CAREFUL:
            options = CAREFUL
            quantized = self.quantize(options)
            drop = self._drop(full, quantized)

        def drop_with(kept: list[str]) -> float | None:
            nonlocal quantized
            quantized = self.quantize(options, kept)
            return self._drop(full, quantized)

        mixed = keep_worst(drop, self._task.max_drop, lambda: self._rank(quantized), drop_with)
        facts = {"fp32_miou": full, "drop_before": first, "drop": mixed.drop, "layer_count": mixed.layer_count}
        return quantized, {**facts, "fp32_layers": mixed.fp32_layers, "options": asdict(options)}

    def _drop(self, full: float | None, quantized: Any) -> float | None:
        return drop_of(full, self._task.held_out.miou(_predictor(quantized)))

    def _rank(self, quantized: Any) -> list[str]:
        """Rank layers by the share of pixels that change class when only their activations are rounded, the worst
        first.
        """
        exact, layers = _predictor(self._graph), _quantized_layers(quantized)
        images = self._task.held_out.images
        return worst_first(changed_pixels(images, exact, layers, lambda layer: _predictor(_only(quantized, layer))))


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


def _predictor(model: Any) -> Callable[[Float32Image], ClassMap]:
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()

    def predict(image: Float32Image) -> ClassMap:
        request.infer([image])
        return np.array(request.get_output_tensor().data[0])

    return predict


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
