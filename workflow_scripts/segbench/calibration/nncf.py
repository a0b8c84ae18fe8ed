"""OpenVINO's own quantiser, NNCF: a quantised OpenVINO model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segbench.calibration.base import Calibrator, Task
from segbench.engines.base import ClassMap, Float32Image, framework_errors
from segbench.errors import Failed
from segbench.supervise import report

LAYERS = ("Convolution", "GroupConvolution", "MatMul", "ConvolutionBackpropData")


@dataclass(frozen=True)
class Options:
    """`preset`: performance (symmetric activations) or mixed (asymmetric); `fast_bias_correction`: false corrects
    layer by layer, more exactly and slowly."""

    preset: str = "performance"
    fast_bias_correction: bool = True

    def __post_init__(self) -> None:
        if self.preset not in ("performance", "mixed"):
            raise ValueError("preset must be performance or mixed")


class NNCF(Calibrator):
    """Post-training quantisation; with accuracy control where the plain result loses too much."""

    packages = ("nncf", "openvino")
    reads = ("paddle", "onnx")
    options = Options

    def calibrate(self, task: Task, options: Any, out: Path) -> dict[str, Any]:
        """Leave `model.xml` and `model.bin`."""
        import nncf
        import openvino

        source = task.model.file("model.pdmodel") or task.model.file("model.onnx")
        with framework_errors("reading the model", Exception, unsupported=True):
            graph = openvino.Core().read_model(str(source))
            graph.reshape(list(task.model.shape))
        fix = nncf.OverflowFix.ENABLE if task.reduce_range else nncf.OverflowFix.DISABLE
        settings: dict[str, Any] = {
            "preset": nncf.QuantizationPreset(options.preset),
            "fast_bias_correction": options.fast_bias_correction,
            "subset_size": len(task.images),
            "target_device": nncf.TargetDevice.CPU,
        }
        with framework_errors("quantising", Exception):
            advanced = nncf.AdvancedQuantizationParameters(overflow_fix=fix)
            quantized = nncf.quantize(graph, nncf.Dataset(task.images), advanced_parameters=advanced, **settings)
        _refuse_not_finite(quantized)
        facts: dict[str, Any] = {"fp32_layers": []}
        if task.max_drop is not None:
            full, drop = _loss(task, graph, quantized)
            facts |= {"fp32_miou": full, "drop_before": drop, "drop": drop}
            if drop is not None and drop > task.max_drop:
                plain = _float_layers(quantized)
                quantized = _with_accuracy_control(task, graph, settings, fix)
                facts["fp32_layers"] = sorted(_float_layers(quantized) - plain)
                facts["drop"] = _loss(task, graph, quantized)[1]
        openvino.save_model(quantized, str(out / "model.xml"), compress_to_fp16=False)
        return facts


def _predictor(model: Any) -> Any:
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = (
        model if hasattr(model, "create_infer_request") else openvino.Core().compile_model(model, "CPU", settings)
    )
    request = compiled.create_infer_request()

    def predict(image: Float32Image) -> ClassMap:
        request.infer([image])
        return np.array(request.get_output_tensor().data[0])

    return predict


def _loss(task: Task, graph: Any, quantized: Any) -> tuple[float | None, float | None]:
    """FP32's mIoU on the held-out images, and what the quantised model loses of it."""
    full, kept = task.held_out.miou(_predictor(graph)), task.held_out.miou(_predictor(quantized))
    return full, None if full is None or kept is None else full - kept


def _with_accuracy_control(task: Task, graph: Any, settings: dict[str, Any], fix: Any) -> Any:
    """NNCF's own search: the layers that hurt most go back to FP32 until the loss is within the bound."""
    import nncf

    def validate(model: Any, _: Any) -> tuple[float, None]:
        return task.held_out.miou(_predictor(model)) or 0.0, None

    report("finding the layers that hurt most")
    with framework_errors("quantising with accuracy control", Exception):
        return nncf.quantize_with_accuracy_control(
            graph,
            nncf.Dataset(task.images),
            nncf.Dataset(task.held_out.images),
            validation_fn=validate,
            max_drop=task.max_drop,
            advanced_quantization_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=fix),
            **settings,
        )


def _float_layers(model: Any) -> set[str]:
    """Names of the layers whose data input is not quantised."""
    return {
        node.get_friendly_name()
        for node in model.get_ordered_ops()
        if node.get_type_name() in LAYERS and node.input_value(0).get_node().get_type_name() != "FakeQuantize"
    }


def _refuse_not_finite(model: Any) -> None:
    """Raises Failed, naming the quantiser, when a range is NaN or infinite."""
    for node in model.get_ordered_ops():
        if node.get_type_name() != "FakeQuantize":
            continue
        for number in range(1, 5):
            constant = node.input_value(number).get_node()
            if constant.get_type_name() == "Constant" and not np.isfinite(constant.data).all():
                raise Failed(f"calibrating: activation {node.get_friendly_name()!r} is not a number")


CALIBRATOR = NNCF()
