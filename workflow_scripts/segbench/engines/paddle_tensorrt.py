"""Paddle Inference with TensorRT subgraphs on an NVIDIA GPU: the published page's accelerated rows.

Its place in the chain only: the stages (shape collection, calibration, engine, timed run) are not written yet, and
every row says so. Nothing here runs natively in TensorRT's name.
"""

from __future__ import annotations

from segbench.engines import paddle_gpu
from segbench.engines.base import Support, Variant, first_no
from segbench.machine import Machine

NOT_YET = Support(False, "SegBench has no TensorRT through Paddle yet (docs/verification.md)")


class PaddleTensorRT(paddle_gpu.PaddleGPU):
    """Refuses every variant: for want of a package or driver first, then because it is not written."""

    accelerated = True
    precisions = ("fp32", "fp16", "int8")
    packages = ("paddlepaddle-gpu", "tensorrt")

    def supports(self, variant: Variant, machine: Machine) -> Support:
        """No, and what is missing."""
        return first_no(super().supports(variant, machine), NOT_YET)


ENGINE = PaddleTensorRT()
