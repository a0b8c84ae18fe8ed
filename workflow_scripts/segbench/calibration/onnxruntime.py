"""Make tables with ONNX Runtime's calibrators: min-max, percentile, entropy (KL), and MSE on their histograms."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
import time
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from segbench.calibration import qdq
from segbench.calibration.base import TABLE, Calibrator, Operator, Task
from segbench.calibration.table import CalibrationTable, write_table
from segbench.errors import Failed
from segbench.files import atomic
from segbench.machine.cpu import package_version
from segbench.process.supervise import progress

if TYPE_CHECKING:
    from segbench.calibration.images import CalibrationImages
    from segbench.models.exported import ExportedModel

LEVELS = 256
CANDIDATES = 64  # shares of the full range that MSE tries
KEPT_EVERY_S = 5.0  # what a stopped calibration loses at most, and an image

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Options:
    """`method`: minmax, percentile, entropy or mse. `percentile`: share of values inside the range, in percent.
    `bins`: number of bins in each histogram.
    """

    method: str = "percentile"
    percentile: float = 99.99
    bins: int = 2048

    def __post_init__(self) -> None:
        if self.method not in ("minmax", "percentile", "entropy", "mse"):
            raise ValueError("method must be one of minmax, percentile, entropy, mse")
        if not 50 < self.percentile <= 100:
            raise ValueError("percentile must be above 50, at most 100")
        if self.bins < LEVELS:
            raise ValueError(f"bins must be at least {LEVELS}")


class ONNXRuntimeTables(Calibrator):
    """Runs one image after another through the FP32 twin, with all activations as outputs."""

    packages = ("onnxruntime", "onnx")
    reads = ("onnx",)
    leaves_table = True
    options = Options

    def calibrate(self, task: Task, options: Any, out: Path) -> dict[str, Any]:
        """Write `table.json`. Unfinished work is kept in `task.cache`."""
        with tempfile.TemporaryDirectory(dir=out) as scratch:
            prepared = qdq.prepare(task.model, Path(scratch))
            ranges = collect(prepared, task.images, options, task.cache / f"{_key(task, options)}.npz", Path(scratch))
        table = CalibrationTable(
            model=task.model.digest,
            images={row["image_id"]: row["image_sha256"] for row in task.images.rows},
            method={"library": "onnxruntime", **asdict(options)},
            versions={name: str(package_version(name)) for name in self.packages},
            ranges=ranges,
        )
        write_table(out / TABLE, table)
        return {"tensor_count": len(ranges)}

    def operators(self, model: ExportedModel, calibration: Path, work: Path) -> list[Operator]:
        """Return the nodes of the prepared graph. Engines call them by their own names or by those of their results."""
        return qdq.operators(qdq.prepare(model, work))


def collect(
    prepared: Path, images: CalibrationImages, options: Options, unfinished: Path, scratch: Path
) -> dict[str, tuple[float, float]]:
    """Return ranges by tensor. `unfinished` is read where it exists, written every few seconds, and removed at the end.

    Raises Failed, naming the tensor, when an activation is not a number.
    """
    collector = _collector(prepared, options, scratch / "augmented.onnx")
    done, kept = _restore(collector, unfinished), time.monotonic()
    for number in range(done, len(images)):
        try:
            feed = {collector.infer_session.get_inputs()[0].name: images[number]}
            with redirect_stdout(io.StringIO()):  # it prints a line for every image
                collector.collect_data(_Once(feed))
        except NotFinite as error:
            raise Failed(f"calibrating: activation {error} is not a number ({images.name(number)})") from None
        if time.monotonic() - kept >= KEPT_EVERY_S:
            _keep(collector, number + 1, unfinished)
            kept = time.monotonic()
    progress("computing ranges")
    ranges = _ranges(collector, options)
    unfinished.unlink(missing_ok=True)
    return {name: (min(low, 0.0), max(high, 0.0)) for name, (low, high) in sorted(ranges.items())}


class _Once:
    """A data reader of one image. The library keeps the activations of all images of a reader until its end."""

    def __init__(self, feed: dict[str, Any]) -> None:
        self._feeds = [feed]

    def get_next(self) -> dict[str, Any] | None:
        """Return the feed, then None."""
        return self._feeds.pop() if self._feeds else None


class NotFinite(Exception):
    """A tensor, which the message names, holds NaN or infinity."""


class _Checked:
    """A session whose outputs are checked before a calibrator merges them, since NaN would get lost in a minimum."""

    def __init__(self, session: Any, graph: Any) -> None:
        self._session = session
        self.get_inputs, self.get_outputs = session.get_inputs, session.get_outputs
        self._place = {name: place for place, node in enumerate(graph.node) for name in node.output}

    def run(self, names: Any, feed: dict[str, Any]) -> Any:
        """Run the session. Raises NotFinite for the first tensor, in the graph's order, that is not finite."""
        values = self._session.run(names, feed)
        outputs = [output.name for output in self.get_outputs()]
        bad = [
            name
            for name, value in zip(outputs, values, strict=True)
            if value.dtype.kind == "f" and not np.isfinite(value.sum(dtype=np.float64))
        ]
        if bad:
            first = min(bad, key=lambda name: self._place.get(name, 0))
            raise NotFinite(repr(first))
        return values


class _Extremes:
    """Replaces the library's histograms where only lowest and highest values are needed.

    The library's own min-max calibrator reduces inside the graph, where NaN gets lost.
    """

    def __init__(self) -> None:
        self.histogram_dict: dict[str, tuple[Any, ...]] = {}

    def collect(self, values: dict[str, list[Any]]) -> None:
        """Merge the activations of some images, by tensor name."""
        for name, arrays in values.items():
            seen = self.histogram_dict.get(name, (None, None, np.float32(np.inf), np.float32(-np.inf)))
            low, high = min(array.min() for array in arrays), max(array.max() for array in arrays)
            self.histogram_dict[name] = (np.zeros(0), np.zeros(0), min(seen[2], low), max(seen[3], high))


def _collector(prepared: Path, options: Options, augmented: Path) -> Any:
    from onnxruntime.quantization.calibrate import EntropyCalibrater, PercentileCalibrater

    given: dict[str, Any] = {"op_types_to_calibrate": list(qdq.OPERATORS), "augmented_model_path": str(augmented)}
    if options.method == "entropy":
        collector = EntropyCalibrater(prepared, **given)
    else:
        collector = PercentileCalibrater(prepared, num_bins=options.bins, percentile=options.percentile, **given)
    if options.method == "minmax":
        collector.collector = _Extremes()
    choose, without_range = collector.select_tensors_to_calibrate, qdq.masked_tensors(collector.model.graph)

    def chosen(model: Any) -> Any:
        tensors, facts = choose(model)
        return tensors - without_range, facts

    collector.select_tensors_to_calibrate = chosen
    collector.augment_graph()
    collector.create_inference_session()
    collector.infer_session = _Checked(collector.infer_session, collector.model.graph)
    return collector


def _ranges(collector: Any, options: Options) -> dict[str, tuple[float, float]]:
    found = collector.collector.histogram_dict.items()  # counts, edges, lowest, highest, …
    if options.method == "minmax":
        return {name: (float(entry[2]), float(entry[3])) for name, entry in found}
    if options.method == "mse":
        return {name: least_squared_error(np.asarray(e[0], float), np.asarray(e[1], float)) for name, e in found}
    data = collector.compute_data().data
    return {name: (float(np.min(d.lowest)), float(np.max(d.highest))) for name, d in data.items()}


def least_squared_error(counts: Float, edges: Float) -> tuple[float, float]:
    """Return the range, a share of the histogram's, whose 256 levels give the least squared error.

    A histogram has `counts` (n) and `edges` (n + 1). Each bin stands for its centre.
    """
    held = np.flatnonzero(counts)
    lowest, highest = edges[held[0]], edges[held[-1] + 1]
    centres, counts = ((edges[:-1] + edges[1:]) / 2)[held], counts[held]
    best, least = (float(lowest), float(highest)), np.inf
    for share in np.linspace(1, 0.2, CANDIDATES):
        low, high = min(lowest * share, 0.0), max(highest * share, 0.0)
        step = (high - low) / (LEVELS - 1) or 1.0
        rounded = np.clip(np.round((centres - low) / step), 0, LEVELS - 1) * step + low
        error = float((counts * (rounded - centres) ** 2).sum())
        if error < least:
            best, least = (float(low), float(high)), error
    return best


# State of a stopped calibration


def _key(task: Task, options: Options) -> str:
    """Return one name for the same model, images and method."""
    images = [row["image_sha256"] for row in task.images.rows]
    model = [task.model.digest, task.model.facts["preprocessing"]]
    facts = [model, images, asdict(options), package_version("onnxruntime")]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def _keep(collector: Any, done: int, path: Path) -> None:
    """Write the state so far, whole or not at all."""
    state: dict[str, Any] = {"done": np.int64(done)}
    for name, entry in collector.collector.histogram_dict.items():
        state |= {f"{number}/{name}": np.asarray(part) for number, part in enumerate(entry)}
    with atomic(path) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, **state)


def _restore(collector: Any, path: Path) -> int:
    """Restore the state of an earlier run. Return the number of its images, 0 where there was none."""
    from onnxruntime.quantization.calibrate import HistogramCollector

    try:
        with np.load(path, allow_pickle=False) as stored:
            state = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, BadZipFile):
        return 0
    done = int(state.pop("done"))
    entries: dict[str, list[Any]] = {}
    for key in sorted(state):
        entries.setdefault(key.split("/", 1)[1], []).append(state[key] if state[key].ndim else state[key][()])
    if collector.collector is None:
        names = ("method", "symmetric", "num_bins", "num_quantized_bins", "percentile", "scenario")
        collector.collector = HistogramCollector(**{name: getattr(collector, name) for name in names})
    collector.collector.histogram_dict = {name: tuple(parts) for name, parts in entries.items()}
    print(f"going on after {done} images", flush=True)
    return done


CALIBRATOR = ONNXRuntimeTables()
