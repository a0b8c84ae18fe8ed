"""Compare what a timed inference costs beside the network: SegBench's round, OpenVINO's benchmark_app, a plain loop,
and optimum-benchmark's process launcher where `--optimum` names a Python that has it.

Each starts from nothing, in turn (A B C C B A), with the same built engine, threads and number of timed inferences. The
harness is the wall time of all processes less the time inside the network. The loop is what is left when nothing is
checked: ONNX Runtime or OpenVINO, its session, two runs to warm up, and a list of times.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from segbench.errors import InputError
from segbench.files import read_json, write_json
from segbench.machine.cpu import this_machine
from segbench.process.lifetime import command
from segbench.timing.latencies import read_compute_s

from validation.common import TIME_ROUND, Place, leave, parser, place_of

ENGINES = {"onnxruntime-fp32": "model.onnx", "openvino-fp32": "model.xml"}
LEFT_OUT = {
    "SegBench": "nothing: checks of files, warm-up until steady, disturbance, digests of class maps, environment",
    "benchmark_app": "real images (it draws noise), warm-up (one run), a check of what it computes, disturbance",
    "optimum-benchmark": "real images (it draws noise), warm-up (eleven runs), a check of what it computes, disturbance"
    " (its parent polls without a pause beside the clock, which takes a CPU)",
    "a loop": "all of it, and supervision: a crash ends the run",
}
# Its generator of inputs and its ONNX Runtime backend share no name for semantic segmentation. As a classifier, the
# same network runs with the same input. Runs of its warm-up are inside the network too.
OPTIMUM = """
import os, sys
os.environ.update(HF_HUB_OFFLINE="1", LOG_TO_FILE="0")
from optimum_benchmark import Benchmark, BenchmarkConfig, InferenceConfig, ORTConfig, ProcessConfig
folder, (threads, count, height, width) = sys.argv[1], map(int, sys.argv[2:])
backend = ORTConfig(
    model=folder, task="image-classification", library="transformers", model_type="segformer", device="cpu",
    session_options={"intra_op_num_threads": threads},
)
shapes = {"batch_size": 1, "num_channels": 3, "height": height, "width": width}
scenario = InferenceConfig(iterations=count, duration=0, input_shapes=shapes)
report = Benchmark.launch(BenchmarkConfig("round", backend, scenario, ProcessConfig()))
first, timed = report.first_forward.latency, report.forward.latency
print("inside:", first.total + timed.total + scenario.warmup_runs * timed.mean, "count:", timed.count, flush=True)
"""
LOOPS = {
    "onnxruntime-fp32": """
settings = onnxruntime.SessionOptions()
settings.intra_op_num_threads = threads
session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
image = numpy.random.default_rng(0).random(session.get_inputs()[0].shape, numpy.float32)
run = lambda: session.run(None, {session.get_inputs()[0].name: image})
""",
    "openvino-fp32": """
network = openvino.Core().compile_model(path, "CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"})
image = numpy.random.default_rng(0).random(tuple(network.input(0).shape), numpy.float32)
request = network.create_infer_request()
run = lambda: request.infer({0: image})
""",
}
LOOP = """import sys, time, numpy, {module}
path, threads, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
{body}
run(), run()
times = []
for _ in range(count):
    start = time.perf_counter()
    run()
    times.append(time.perf_counter() - start)
print(sum(times))
"""


class Run(NamedTuple):
    """One launch: wall seconds, seconds inside the network, timed inferences."""

    wall_s: float
    inside_s: float
    inferences: int

    @property
    def harness_ms(self) -> float:
        """Milliseconds beside the network for each timed inference."""
        return (self.wall_s - self.inside_s) / self.inferences * 1000


class Launchers:
    """The ways to time one built variant."""

    def __init__(self, place: Place, variant: str, timing: dict[str, Any], optimum: str = "") -> None:
        self._place, self._side, self._variant = place, place.side(variant), variant
        self._timing, self._threads = timing, this_machine().default_threads
        self._model = str(Path(self._side["engine"]) / ENGINES[variant])
        self._optimum = optimum

    def segbench(self, _: int = 0) -> Run:
        """Time a round as the workflow does, parent and child. It says itself how many inferences that is."""
        place, side = self._place, self._side
        data = place.results / "data" / place.dataset / "val"
        with tempfile.TemporaryDirectory() as folder:
            outputs = {name: f"{folder}/{name}" for name in ("latencies", "replaced", "predictions")}
            outputs |= {name: f"{folder}/{name}.json" for name in ("environment", "status")}
            asked = {
                **{"engine": side["engine"], "engine-status": side["engine_status"], "round": "1", "threads": "0"},
                "variant": json.dumps(side["variant"]),
                "timing": json.dumps(self._timing),
                "model": str(place.results / "models" / place.model / "model.json"),
                **{"index": str(data / "index.csv"), "decoded": str(data / "decoded.json"), **outputs},
            }
            wall, _said = _run([TIME_ROUND, *(word for name, value in asked.items() for word in (f"--{name}", value))])
            status = read_json(outputs["status"])
            if status["status"] != "ok":
                raise InputError(f"{self._variant}: {status['status']}: {status['reason']}")
            times = read_compute_s(Path(outputs["latencies"]))
        # Runs of the warm-up are inside the network too.
        return Run(wall, sum(times) + status["warm_up_runs"] * statistics.median(times), len(times))

    def benchmark_app(self, count: int) -> Run:
        """Run OpenVINO's own tool, one synchronous request."""
        start = "from openvino.tools.benchmark.main import main; main()"
        words = ["-c", start, "-m", self._model, "-d", "CPU", "-api", "sync", "-hint", "none"]
        words += ["-infer_precision", "f32"]  # its default is a 16-bit shortcut where the CPU has one
        wall, said = _run([*words, "-nstreams", "1", "-nthreads", str(self._threads), "-niter", str(count)])
        found = {name: re.search(rf"{name}:\s+([\d.]+)", said) for name in ("Count", "Average")}
        if not all(found.values()):
            raise InputError(f"benchmark_app printed no count or no average:\n{said[-2000:]}")
        done, mean_ms = (float(one.group(1)) for one in found.values() if one)
        return Run(wall, done * mean_ms / 1000, int(done))

    def optimum(self, count: int) -> Run:
        """Run optimum-benchmark's process launcher on the engine's own file."""
        with tempfile.TemporaryDirectory() as folder:
            size = as_transformers(Path(self._model), Path(folder))
            numbers = map(str, (self._threads, count, *size))
            wall, said = _run(["-c", OPTIMUM, folder, *numbers], self._optimum)
        found = re.search(r"inside: ([\d.]+) count: (\d+)", said)
        if not found:
            raise InputError(f"optimum-benchmark printed no count:\n{said[-2000:]}")
        return Run(wall, float(found[1]), int(found[2]))

    def loop(self, count: int) -> Run:
        """Run the plain loop."""
        module = self._variant.partition("-")[0]
        text = LOOP.format(module=module, body=LOOPS[self._variant])
        wall, said = _run(["-c", text, self._model, str(self._threads), str(count)])
        return Run(wall, float(said), count)


def as_transformers(model: Path, folder: Path) -> tuple[int, int]:
    """Write an ONNX file into `folder` as transformers' libraries look for one, which is by the names of input and
    output. Return the input's height and width.
    """
    import onnx

    network = onnx.load(str(model))
    graph = network.graph
    names = {graph.input[0].name: "pixel_values", graph.output[0].name: "logits"}
    for value in (*graph.input, *graph.output):
        value.name = names[value.name]
    for node in graph.node:
        for tensors in (node.input, node.output):
            tensors[:] = [names.get(name, name) for name in tensors]
    onnx.save(network, str(folder / "model.onnx"))
    write_json(folder / "config.json", {"model_type": "segformer"})
    *_, height, width = (size.dim_value for size in graph.input[0].type.tensor_type.shape.dim)
    return height, width


def _run(words: list[str], python: str = sys.executable) -> tuple[float, str]:
    """Return the wall seconds of a Python process, and what it printed."""
    start = time.perf_counter()
    done = subprocess.run([python, *words], capture_output=True, text=True, check=False)
    wall = time.perf_counter() - start
    if done.returncode:
        raise InputError(f"{words[:3]} failed: {done.stderr[-2000:]}")
    return wall, done.stdout


@command
def main() -> None:
    """Launch each in turn, and print the harness's time."""
    made = parser(__doc__, turns=(3, "turns of six launches"))
    made.add_argument("--optimum", default="", help="Python of an environment with optimum-benchmark[onnxruntime]")
    args = made.parse_args()
    if args.variant not in ENGINES:
        raise InputError(f"--variant: {args.variant} has no loop here; known: {', '.join(ENGINES)}")
    if args.optimum and not args.variant.startswith("onnxruntime"):
        raise InputError("--optimum: optimum-benchmark opens ONNX files here; give --variant onnxruntime-fp32")
    place = place_of(args)
    launchers = Launchers(place, args.variant, place.request()["timing"], args.optimum)
    ways: dict[str, Callable[[int], Run]] = {"SegBench": launchers.segbench, "a loop": launchers.loop}
    if args.variant.startswith("openvino"):
        ways = {"SegBench": launchers.segbench, "benchmark_app": launchers.benchmark_app, "a loop": launchers.loop}
    if args.optimum:
        ways["optimum-benchmark"] = launchers.optimum
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    for _ in range(args.turns):
        for name in (*ways, *reversed(ways)):
            runs[name].append(ways[name](runs["SegBench"][0].inferences if runs["SegBench"] else 0))
    cells = [
        [
            name,
            f"{statistics.median(run.wall_s for run in found):.2f}",
            f"{statistics.median(run.harness_ms for run in found):.0f}",
            f"{min(run.harness_ms for run in found):.0f}–{max(run.harness_ms for run in found):.0f}",
            LEFT_OUT[name],
        ]
        for name, found in runs.items()
    ]
    header = ["launcher", "wall s", "harness ms an inference", "lowest–highest", "leaves out"]
    record = {"runs": {name: [run._asdict() for run in found] for name, found in runs.items()}}
    leave(args.out, f"launchers-{args.variant}", header, cells, record)


if __name__ == "__main__":
    main()
