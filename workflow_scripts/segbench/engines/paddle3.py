"""Paddle Inference 3, native kernels on the CPU, in an environment of its own.

It reads what Paddle 2.6.2 exports (`.pdmodel`) and Paddle 3's own models (`.json`, the new program format called PIR).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segbench.config.options import Variant
from segbench.engines import paddle
from segbench.engines.base import YES, Support, first_no
from segbench.errors import framework_errors
from segbench.files import link_files
from segbench.machine.cpu import Machine, package_version
from segbench.models.exported import PADDLE_3, ExportedModel, paddle_files

RAISED = paddle.RAISED


class Paddle3(paddle.Paddle):
    """Native CPU kernels; oneDNN, which Paddle 3 switches on by itself, explicitly off."""

    environment = "envs/paddle3.yaml"
    install = "make env-paddle3"
    venv = ".venv-paddle3"
    reads = ("paddle3", "paddle")
    runs_pieces = False  # its own programs are not cut, and its native kernels are not the reference's
    scenarios = ()

    def supports(self, variant: Variant, machine: Machine) -> Support:
        """Only with Paddle 3: the environment of the other engines has the same package in an older version."""
        return first_no(super().supports(variant, machine), self._has_version())

    def _has_version(self) -> Support:
        found = package_version("paddlepaddle") or ""
        reason = f"paddlepaddle is {found} here, not 3 (pinned in {self.environment})"
        return YES if found.startswith("3.") else Support(False, reason, self.install)

    def build(
        self, model: ExportedModel, calibration: Path | None, variant: Variant, options: Any, out: Path
    ) -> dict[str, Any]:
        """The engine is the exported model, as for Paddle 2.6.2."""
        own = [path for name in PADDLE_3 if (path := model.file(name))]
        link_files(own or paddle_files(model), out)
        return {}

    def open(self, engine: Path, variant: Variant, options: Any, threads: int) -> paddle.PaddleSession:
        """Load the model with oneDNN off and `threads` BLAS threads."""
        config = cpu_config(engine, threads, options)
        config.disable_onednn()
        return Paddle3Session(config)


class Paddle3Session(paddle.PaddleSession):
    """As with 2.6.2, but for the kinds of Paddle's errors."""

    def __init__(self, config: Any) -> None:
        with framework_errors("opening the model", *RAISED):
            super().__init__(config)

    def execute(self) -> None:
        """Run the predictor (blocking on the CPU)."""
        with framework_errors("running the network", *RAISED):
            self._predictor.run()


def is_json_model(engine: Path) -> bool:
    """Whether the engine's program is in Paddle 3's own form."""
    return (engine / PADDLE_3[0]).exists()


def cpu_config(engine: Path, threads: int, options: Any) -> Any:
    """`paddle.inference.Config` of a CPU predictor."""
    if not is_json_model(engine):
        return paddle.cpu_config(engine / "model.pdmodel", threads, options)
    config = paddle.cpu_config(engine / PADDLE_3[0], threads, options)
    config.enable_new_ir(True)  # both, or Paddle 3.3.1 looks for the old form's memory pass and raises
    config.enable_new_executor(True)
    return config


ENGINE = Paddle3()
