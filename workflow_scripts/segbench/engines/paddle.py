"""Run Paddle Inference with native CPU kernels, the reference that other engines are compared with."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segbench.arrays import ClassMap, Float32Image, Logits, without_batch
from segbench.config.options import Variant
from segbench.engines.base import Engine, LayerTimes
from segbench.errors import Failed, Unsupported, framework_errors
from segbench.files import link_files, read_json
from segbench.models.exported import ExportedModel, paddle_files
from segbench.models.paddle_batch import with_batch

if TYPE_CHECKING:
    import numpy.typing as npt

# By the kind of Paddle's own error: most are the first, and what it calls fatal is the last.
RAISED = (RuntimeError, ValueError, OSError, SystemError)


@dataclass(frozen=True)
class RunOptions:
    """`memory_optim`: let Paddle reuse the memory of dead intermediates. `ir_optim`: use its graph fusions."""

    memory_optim: bool = True
    ir_optim: bool = True


class Paddle(Engine):
    """Paddle Inference with native CPU kernels. oneDNN is explicitly off."""

    accelerated = False
    packages: tuple[str, ...] = ("paddlepaddle",)
    modules = ("zlib", "paddle.inference")  # zlib first: PaddlePaddle/Paddle#70538
    reads: tuple[str, ...] = ("paddle",)
    scenarios: tuple[str, ...] = ("batch",)
    run_options: type = RunOptions
    runs_pieces = True

    def build(
        self, model: ExportedModel, calibration: Path | None, variant: Variant, options: Any, out: Path
    ) -> dict[str, Any]:
        """Link to the exported or calibrated model. It is the engine: Paddle has no serialized form for this path. A
        batch is set in a program of its own.
        """
        names = ("model.pdmodel", "model.pdiparams")
        files = [calibration / "quantized" / name for name in names] if calibration else paddle_files(model)
        if variant.batch > 1:
            batched = with_batch(files[0].read_bytes(), variant.batch)
            link_files(files[1:], out)
            (out / "model.pdmodel").write_bytes(batched)
        else:
            link_files(files, out)
        if calibration is None:
            return {}
        return {"fp32_layers": len(read_json(calibration / "status.json")["fp32_layers"])}

    def open(self, engine: Path, variant: Variant, options: Any, threads: int) -> PaddleSession:
        """Load the model with oneDNN off and `threads` BLAS threads."""
        return native_session(engine / "model.pdmodel", threads, options)

    def open_profiled(self, engine: Path, variant: Variant, options: Any, threads: int) -> ProfiledPaddleSession:
        """Load the model as `open` does, and start Paddle's profiler, which counts the CPU's time alone."""
        if self.device != "cpu":
            raise Unsupported(f"engine {variant.engine}: of a GPU, Paddle's profiler counts the launches only")
        return ProfiledPaddleSession(self.open(engine, variant, options, threads))

    def network(self, engine: Path, model: ExportedModel, calibration: Path | None, work: Path) -> Path:
        """Return the program, which is the engine."""
        return engine / "model.pdmodel"

    def open_piece(
        self, piece: Path, variant: Variant, build_options: Any, run_options: Any, threads: int
    ) -> PaddleSession:
        """Load the piece as a whole program is loaded."""
        return self.open(piece.parent, variant, run_options, threads)


class PaddleSession:
    """A predictor, with handles of its one input and one output."""

    def __init__(self, config: Any) -> None:
        import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538

        import paddle.inference

        with framework_errors("opening the model", *RAISED):
            self._predictor = paddle.inference.create_predictor(config)
        self._input = self._predictor.get_input_handle(self._predictor.get_input_names()[0])
        self._output = self._predictor.get_output_handle(self._predictor.get_output_names()[0])

    def upload(self, image: Float32Image) -> None:
        """Copy into Paddle's own input tensor."""
        self._input.copy_from_cpu(image)

    def execute(self) -> None:
        """Run the predictor (blocking on the CPU)."""
        with framework_errors("running the network", *RAISED):
            self._predictor.run()

    def synchronize(self) -> None:
        """Nothing is in flight on the CPU."""

    def download(self) -> ClassMap | Logits:
        """Return a copy of the output: an H×W class map, N×H×W of a batch, or C×H×W logits."""
        return without_batch(self._output.copy_to_cpu())

    def run(self, tensors: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Run a program of many inputs and outputs."""
        for name, value in tensors.items():
            self._predictor.get_input_handle(name).copy_from_cpu(value)
        self.execute()
        return [self._predictor.get_output_handle(name).copy_to_cpu() for name in self._predictor.get_output_names()]


class ProfiledPaddleSession:
    """A session under Paddle's profiler, which counts what the process's operators do."""

    def __init__(self, session: PaddleSession) -> None:
        from paddle import profiler

        self.upload, self.synchronize, self.download = session.upload, session.synchronize, session.download
        self._session, self._runs, self._events = session, 0, list[dict[str, Any]]()
        self._profiler = profiler.Profiler(targets=[profiler.ProfilerTarget.CPU], on_trace_ready=self._keep)
        self._profiler.start()

    def execute(self) -> None:
        """Run the predictor."""
        self._session.execute()
        self._runs += 1

    def layers(self) -> list[LayerTimes]:
        """Return the operators in running order; the profiler knows their kinds and no names."""
        self._profiler.stop()
        self._profiler = None  # a process has one at a time
        return layers_of_events(self._events, self._runs)

    def _keep(self, profiler: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trace.json"
            profiler.export(str(path), format="json")
            self._events = read_json(path)["traceEvents"]


def layers_of_events(events: list[dict[str, Any]], runs: int) -> list[LayerTimes]:
    """Return the operators of Paddle's trace: its events of category Operator, which are the same in every run.

    Raises Failed where they are not.
    """
    found = sorted((event for event in events if event.get("cat") == "Operator"), key=lambda event: float(event["ts"]))
    kinds = [event["name"].rpartition("[")[0] for event in found]  # "conv2d[1.2 ms]"
    count = len(found) // max(runs, 1)
    if not found or kinds != kinds[:count] * runs:
        raise Failed(f"Paddle's profiler has {len(found)} operators of {runs} runs, which are not the same in each")
    return [
        LayerTimes(
            f"{at} {kinds[at]}", kinds[at], "", "", (), tuple(float(one["dur"]) * 1e-6 for one in found[at::count])
        )
        for at in range(count)
    ]


def native_session(program: Path, threads: int, options: RunOptions) -> PaddleSession:
    """Return a predictor with oneDNN off; the parameters lie beside `program`."""
    config = cpu_config(program, threads, options)
    config.disable_mkldnn()
    return PaddleSession(config)


def cpu_config(program: Path, threads: int, options: RunOptions) -> Any:
    """`paddle.inference.Config` of a CPU predictor; the parameters lie beside `program`."""
    import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538

    import paddle.inference

    config = paddle.inference.Config(str(program), str(program.with_suffix(".pdiparams")))
    config.disable_gpu()
    config.disable_glog_info()
    config.set_cpu_math_library_num_threads(threads)
    config.switch_ir_optim(options.ir_optim)
    if options.memory_optim:
        config.enable_memory_optim()
    return config


ENGINE = Paddle()
