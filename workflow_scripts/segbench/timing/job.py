"""What every timed job starts with: an engine opened as its variant says, and the images that it will see.

Rounds (`infer`), pairs (`time_pair`) and LoadGen (`time_loadgen`) share it, so that they time the same thing.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segbench.arrays import Float32Image
from segbench.config.options import Variant, parse_options
from segbench.engines.base import Session, load
from segbench.errors import Unsupported
from segbench.files import check_manifest, read_json
from segbench.images.decoded import ImageReader
from segbench.images.index import Row
from segbench.images.normalize import Normalizer
from segbench.machine import nvml, topology
from segbench.machine.cpu import Machine, this_machine
from segbench.process.supervise import progress
from segbench.scoring.predictions import PredictionsWriter
from segbench.timing import clock
from segbench.timing.disturbance import Disturbance, Watch
from segbench.timing.prefetch import MOST_HELPERS, Ahead, InTurn

Rows = list[Row]


@dataclass(frozen=True)
class Opened:
    """An engine's session with what surrounds it: the model's preprocessing, this machine, the process's CPUs."""

    session: Session
    read: ImageReader
    normalize: Normalizer
    preprocessing: dict[str, Any]
    device: str
    machine: Machine
    threads: int
    cpus: list[topology.Cpu]

    def image(self, row: Row) -> Float32Image:
        """The network's input (1×3×H×W) from an image of the index."""
        return self.normalize(self.read(row), row["image"])

    def feed(self, rows: Rows, predictions: PredictionsWriter) -> InTurn | Ahead:
        """What brings the images of `rows` and takes the class maps: beside the clock only where a GPU is timed."""
        size = self.normalize.height, self.normalize.width
        helpers = min(MOST_HELPERS, len(os.sched_getaffinity(0)) - 1)
        if self.device == "gpu" and helpers > 0:
            return Ahead(rows, predictions, self.read, self.preprocessing, size, helpers)
        return InTurn(rows, predictions, self.image)

    def watch(self, helpers: Sequence[int] = ()) -> Watch:
        """Watch what else the machine does from now on; the GPU too where the engine is on it."""
        return Watch(self.threads, nvml.read, helpers) if self.device == "gpu" else Watch(self.threads)


def open_engine(request: dict[str, Any]) -> Opened:
    """Settle threads, check the engine's files and open it.

    `request`: `variant` (name, engine, precision), `options` of its run, `engine` (folder) and `engine_status` (its
    status.json), `model` (model.json), `threads` (0: `Machine.default_threads`; never more than the control group's
    quota gives), `timing` (the section; None: not timed), `decoded` (decoded.json; absent: images are decoded when
    used).
    Raises Unsupported where the variant cannot run here, InputError for damaged files.
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
    progress("opening the engine")
    session = engine.open(Path(request["engine"]), variant, options, threads)
    model = read_json(request["model"])
    normalize = Normalizer(model["preprocessing"], model["input"]["height"], model["input"]["width"])
    reader = ImageReader(request.get("decoded"))
    return Opened(session, reader, normalize, model["preprocessing"], engine.device, machine, threads, cpus)


def disturbed(what: Disturbance, timing: dict[str, Any]) -> bool:
    """Whether a timed stretch has to be run again: others took the machine, or it was throttled."""
    return bool(what.throttled) or bool(what.contended(timing["contention_share"]))


def choose_images(rows: Rows, round_number: int, timing: dict[str, Any] | None, first: int) -> Rows:
    """All rows in order for round 1, the `first` (0: all) of them where nothing is timed; for later rounds a subset in
    an order of its own, by seed."""
    if timing is None:
        return rows[:first] if first else rows
    if round_number == 1:
        return rows
    chooser = random.Random(f"{timing['seed']}-{round_number}")
    return chooser.sample(rows, min(timing["images_per_round"], len(rows)))
