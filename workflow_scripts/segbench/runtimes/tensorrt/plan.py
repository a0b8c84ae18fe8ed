"""From an ONNX file to a serialized engine (plan), and back: the calls that all versions of TensorRT have.

`trt` is the module of the bindings: `tensorrt`, or `tensorrt_rtx_bindings`, whose interface is TensorRT 11's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from segbench.errors import Failed, Unsupported, one_line

PLAN = "model.plan"
FIRST_TYPED = 10  # from this major version on the ONNX model's types state the arithmetic, not the builder's flags


def major(trt: Any) -> int:
    """Major version of the bindings; TensorRT for RTX counts from 1 but is typed as 11 is."""
    return FIRST_TYPED + 1 if "rtx" in trt.__name__ else int(trt.__version__.split(".")[0])


def make_logger(trt: Any) -> Any:
    """A logger that prints errors and keeps them in `errors`: the calls themselves return None only."""

    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(message)
                print(message, flush=True)

    return Logger()


class Builder:
    """A builder with a parsed network and its configuration: what `build` serializes."""

    def __init__(self, trt: Any, model: Path) -> None:
        """Parse `model`. Raises Unsupported with TensorRT's words: no device, or an operator that it does not know."""
        self._trt, self._logger = trt, make_logger(trt)
        try:
            self._builder = trt.Builder(self._logger)
        except TypeError as error:  # 8.5 returns null from its factory where there is no device
            raise Unsupported(f"TensorRT {trt.__version__} makes no builder here: no usable CUDA device") from error
        self.network = self._builder.create_network(_network_flags(trt))
        parser, content = trt.OnnxParser(self.network, self._logger), model.read_bytes()
        self.alive: list[Any] = [parser, content]  # the network points into their weights until it is built
        if not parser.parse(content):
            errors = [_told(parser.get_error(number)) for number in range(parser.num_errors)]
            raise Unsupported(f"TensorRT cannot parse the model: {one_line('; '.join(errors))}")
        self.config = self._builder.create_builder_config()
        self.config.clear_flag(trt.BuilderFlag.TF32)  # FP32 means FP32
        self.config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for the layer report

    def build(self, folder: Path) -> None:
        """Write the plan into `folder`. Raises Failed with the builder's last errors."""
        plan = self._builder.build_serialized_network(self.network, self.config)
        if plan is None:
            raise Failed(f"TensorRT built no engine: {one_line('; '.join(self._logger.errors[-3:]))}")
        (folder / PLAN).write_bytes(plan)


def _told(error: Any) -> str:
    """A parser's error with the operator it is about (8.5 gives the node's number only)."""
    where = error.node_operator() if hasattr(error, "node_operator") else f"node {error.node()}"
    return f"{where}: {error.desc()}"


def _network_flags(trt: Any) -> int:
    kinds = trt.NetworkDefinitionCreationFlag
    return 1 << int(kinds.STRONGLY_TYPED if major(trt) >= FIRST_TYPED else kinds.EXPLICIT_BATCH)


class Plan(NamedTuple):
    """A loaded engine with the runtime that it needs to stay alive."""

    engine: Any
    runtime: Any


def load_plan(trt: Any, folder: Path) -> Plan:
    """The engine of a folder. Raises Unsupported with TensorRT's words where this GPU or version cannot load it."""
    logger = make_logger(trt)
    try:
        runtime = trt.Runtime(logger)
    except TypeError as error:  # as for the builder
        raise Unsupported(f"TensorRT {trt.__version__} makes no runtime here: no usable CUDA device") from error
    engine = runtime.deserialize_cuda_engine((folder / PLAN).read_bytes())
    if engine is None:
        raise Unsupported(f"the engine does not load here: {one_line('; '.join(logger.errors[-3:]))}")
    return Plan(engine, runtime)
