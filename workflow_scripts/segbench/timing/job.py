"""Start a timed job: open an engine as its variant says, and choose the images that it will see.

Rounds (`infer`), pairs (`time_pair`) and LoadGen (`time_loadgen`) share this, so that they time the same thing.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.arrays import Float32Image
from segbench.config.options import Variant, parse_options
from segbench.engines.base import Session, load
from segbench.errors import Unsupported
from segbench.files import check_manifest, read_json
from segbench.images.choice import by_name
from segbench.images.decoded import ImageReader
from segbench.images.index import IndexEntry
from segbench.images.normalize import Normalizer
from segbench.machine import nvml, topology
from segbench.machine.cpu import Machine, this_machine
from segbench.process.supervise import progress
from segbench.scoring.predictions import PredictionsWriter
from segbench.timing import clock
from segbench.timing.disturbance import Disturbance, Watch
from segbench.timing.prefetch import MAX_HELPERS, InlineSource, PrefetchingSource
from segbench.timing.request import Request

Entries = list[IndexEntry]


@dataclass(frozen=True)
class TimedSession:
    """An engine's session with its surroundings: the model's preprocessing, this machine, the process's CPUs."""

    session: Session
    read: ImageReader
    normalize: Normalizer
    preprocessing: dict[str, Any]
    device: str
    machine: Machine
    threads: int
    cpus: list[topology.Cpu]
    resident: nvml.GPUState | None = None  # the GPU before this process used it
    open_s: float = 0.0  # what it took to load the framework and the engine

    def image(self, row: IndexEntry) -> Float32Image:
        """Return the network's inputs (N×3×H×W) from an image of the index: one, or those of a sliding window."""
        return self.normalize(self.read(row), row["image"])

    def image_source(
        self, rows: Entries, predictions: PredictionsWriter, again: bool = False
    ) -> InlineSource | PrefetchingSource:
        """Return the source of images and sink of class maps: helper processes for a timed GPU, else this process.

        `again`: the images come again and again, without an end.
        """
        coming = itertools.cycle(rows) if again else iter(rows)
        helpers = min(MAX_HELPERS, len(os.sched_getaffinity(0)) - 1)
        if self.device == "gpu" and helpers > 0:
            shape = max(map(self.normalize.count, rows), default=1), self.normalize.height, self.normalize.width
            return PrefetchingSource(coming, predictions, self.read, self.preprocessing, shape, helpers)
        return InlineSource(coming, predictions, self.image)

    def watch(self, helpers: Sequence[int] = ()) -> Watch:
        """Watch what else the machine does from now on. The GPU is watched too where the engine is on it."""
        if self.device != "gpu":
            return Watch(self.threads)
        return Watch(self.threads, nvml.read, helpers, resident=self.resident)


def open_engine(request: Request, profiled: bool = False) -> TimedSession:
    """Settle the threads, check the engine's files, and open the engine, with its own profiler on where `profiled`.

    In the request, `threads` 0 stands for `Machine.default_threads`. A control group's quota bounds the number. Raises
    Unsupported where the variant cannot run here, InputError for damaged files.
    """
    variant, timing = Variant(**request["variant"]), request["timing"]
    engine, machine = load(variant.engine), this_machine()
    support = engine.supports(variant, machine)
    if not support.ok:
        raise Unsupported(support.reason)
    threads = topology.within_quota(request["threads"] or machine.default_threads, machine.cpu_quota)
    cpus = clock.settle_threads(threads, pin=timing is None or timing["pin"])
    options = parse_options(engine.run_options, request["options"], f"variant_catalogue.{variant.name}.run")
    check_manifest(Path(request["engine"]), read_json(request["engine_status"])["manifest"])
    resident = nvml.read() if engine.device == "gpu" else None
    progress("opening the engine")
    opened = engine.open_profiled if profiled else engine.open
    session, open_s = clock.with_seconds(lambda: opened(Path(request["engine"]), variant, options, threads))
    model = read_json(request["model"])
    normalize = Normalizer(model["preprocessing"], model["input"]["height"], model["input"]["width"])
    reader = ImageReader(request["decoded"])
    preprocessing = model["preprocessing"]
    return TimedSession(
        session, reader, normalize, preprocessing, engine.device, machine, threads, cpus, resident, open_s
    )


def disturbed(what: Disturbance, timing: dict[str, Any]) -> bool:
    """Return whether a timed stretch has to be run again, since others took the machine or it was throttled."""
    return bool(what.throttled) or bool(what.contended(timing["contention_share"]))


def choose_images(rows: Entries, timing: dict[str, Any]) -> Entries:
    """Choose the images that are timed, `images_per_round` of them, by a hash of seed and name.

    A picture that is added to the data set then leaves the others' choice, and most often the whole choice, as it was.
    """
    return by_name(rows, lambda row: row["image_id"], timing["images_per_round"], timing["seed"])
