"""OpenVINO on the CPU, from the Paddle model itself or from an ONNX model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segbench.engines.base import (
    ClassMap,
    Engine,
    ExportedModel,
    Float32Image,
    Variant,
    framework_errors,
)

ENGINE_FILE = "model.xml"
HINTS = {"fp32": "f32"}
OURS = {"INFERENCE_PRECISION_HINT", "INFERENCE_NUM_THREADS", "NUM_STREAMS", "PERFORMANCE_HINT", "ENABLE_CPU_PINNING"}


@dataclass(frozen=True)
class RunOptions:
    """`pinning`: OpenVINO pins its threads to cores; `properties`: further plug-in properties, by their names."""

    pinning: bool = True
    properties: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if ours := sorted(OURS & (self.properties or {}).keys()):
            raise ValueError(f"properties may not set {', '.join(ours)}: they have keys of their own")


class OpenVINO(Engine):
    """The CPU plug-in only, named, so that AUTO cannot choose another device."""

    packages = ("openvino",)
    run_options = RunOptions

    def build(
        self, model: ExportedModel, table: Path | None, variant: Variant, options: Any, out: Path
    ) -> dict[str, Any]:
        """Convert to OpenVINO's intermediate representation and save it in full precision."""
        import openvino

        source = model.file("model.pdmodel") or model.file("model.onnx")
        with framework_errors("reading the model", Exception, unsupported=True):
            graph = openvino.Core().read_model(str(source))
            graph.reshape(list(model.shape))
        out.mkdir(parents=True)
        openvino.save_model(graph, str(out / ENGINE_FILE), compress_to_fp16=False)
        return {}

    def open(self, engine: Path, variant: Variant, options: Any, threads: int) -> OpenVINOSession:
        """Compile the saved representation for the CPU: one stream, `threads` threads, arithmetic as named."""
        import openvino

        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": HINTS[variant.precision],
            "ENABLE_CPU_PINNING": options.pinning,
            **(options.properties or {}),
        }
        with framework_errors("compiling the engine", Exception):
            return OpenVINOSession(openvino.Core().compile_model(str(engine / ENGINE_FILE), "CPU", settings))


class OpenVINOSession:
    """One infer request; the input array is shared, not copied."""

    def __init__(self, compiled: Any) -> None:
        self._request = compiled.create_infer_request()

    def upload(self, image: Float32Image) -> None:
        """Share the array: it is on the device already."""
        import openvino

        self._request.set_input_tensor(openvino.Tensor(image, shared_memory=True))

    def execute(self) -> None:
        """Start and wait: `infer` would wrap results into Python objects inside the clock."""
        with framework_errors("running the network", Exception):
            self._request.start_async()
            self._request.wait()

    def synchronize(self) -> None:
        """Nothing is in flight on the CPU."""

    def download(self) -> ClassMap:
        """H×W copy of the output."""
        return np.array(self._request.get_output_tensor().data[0])


ENGINE = OpenVINO()
