"""Start a timed job: open an engine as its variant says, and choose the images that it will see.

Rounds (`infer`), pairs (`time_pair`) and LoadGen (`time_loadgen`) share this, so that they time the same thing.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from segbench.arrays import ClassMap, Float32Image, Logits
from segbench.config.options import Variant, parse_options
from segbench.engines.base import Session, first_no, has_scenario, load
from segbench.errors import Unsupported
from segbench.files import check_manifest, read_json
from segbench.images.choice import by_name
from segbench.images.decoded import ImageReader
from segbench.images.index import IndexEntry
from segbench.images.normalize import Normalizer, enlarged_class_map
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
    framework_s: float | None = None  # the framework's part of it; None: not told apart
    batch: int = 1  # images that the session runs at once
    head: str = "argmax"  # of the model
    streams: tuple[Session, ...] = ()  # sessions that run at the same time, `session` among them; none: it runs alone

    def image(self, row: IndexEntry) -> Float32Image:
        """Return the network's inputs (N×3×H×W) from an image of the index: one, or those of a sliding window."""
        return self.normalize(self.read(row), row["image"])

    def batches(self, images: Iterable[tuple[IndexEntry, Float32Image]]) -> Iterator[tuple[Entries, Float32Image]]:
        """Yield the images that run together: their rows, and their inputs, which are valid until the next.

        Without a batch these are single images. The last batch is filled up with its last image. Raises Unsupported
        where an image has several inputs, since a batch has one of each image.
        """
        if self.batch == 1:
            yield from (([row], image) for row, image in images)
            return
        coming = iter(images)
        inputs = np.empty((self.batch, 3, self.normalize.height, self.normalize.width), np.float32)
        while True:
            rows: Entries = []
            for row, image in itertools.islice(coming, self.batch):
                if len(image) > 1:
                    raise Unsupported("a window slides over this model's images, and a batch is of whole images")
                inputs[len(rows) :] = image
                rows.append(row)
            if not rows:
                return
            yield rows, inputs

    def class_maps(self, ran: clock.Latency, rows: Entries) -> list[ClassMap]:
        """Return the class map of each of `rows`, which ran together."""
        return [ran.class_map] if self.batch == 1 else list(ran.class_map[: len(rows)])

    def image_source(
        self, rows: Entries, predictions: PredictionsWriter, again: bool = False
    ) -> InlineSource | PrefetchingSource:
        """Return the source of images and sink of class maps: helper processes for a timed GPU, else this process.

        `again`: the images come again and again, without an end.
        """
        coming = itertools.cycle(rows) if again else iter(rows)
        helpers = min(MAX_HELPERS, len(os.sched_getaffinity(0)) - 1)
        if self.device == "gpu" and helpers > 0 and self.batch == 1:
            shape = max(map(self.normalize.count, rows), default=1), self.normalize.height, self.normalize.width
            return PrefetchingSource(coming, predictions, self.read, self.preprocessing, shape, helpers)
        return InlineSource(coming, predictions, self.image)

    def watch(self, helpers: Sequence[int] = ()) -> Watch:
        """Watch what else the machine does from now on. The GPU is watched too where the engine is on it."""
        if self.device != "gpu":
            return Watch(self.threads)
        return Watch(self.threads, nvml.read, helpers, resident=self.resident)


class ClassMapOnHost:
    """A session of an engine that ends in logits. The host makes the class map, within the timed call: the row's time
    has the same result as that of an engine that ends in the class map.
    """

    def __init__(self, session: Session, height: int, width: int) -> None:
        self._session, self._size = session, (height, width)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def execute(self) -> None:
        """Run the network, copy its logits to the host, and make the class map, or those of a batch."""
        self._session.execute()
        self._session.synchronize()
        logits = cast(Logits, self._session.download())
        maps = [enlarged_class_map(one, *self._size) for one in (logits if logits.ndim == 4 else logits[None])]
        self._class_map = maps[0] if logits.ndim == 3 else np.stack(maps)

    def download(self) -> ClassMap:
        """Return the H×W class map, or those of a batch, N×H×W."""
        return self._class_map


def open_engine(
    request: Request, profiled: bool = False, one_by_one: bool = True, as_start: bool = False
) -> TimedSession:
    """Settle the threads, check the engine's files, and open the engine, with its own profiler on where `profiled`.

    In the request, `threads` 0 stands for `Machine.default_threads`. A control group's quota bounds the number. Raises
    Unsupported where the variant cannot run here, or where the job runs images `one_by_one` and the variant does not;
    InputError for damaged files.

    `as_start`: the start is what is timed. The files are not read before, so another process has to check them, and on
    a CPU the framework's part of the time is told apart.
    """
    variant, timing = Variant(**request["variant"]), request["timing"]
    engine, machine = load(variant.engine), this_machine()
    support = first_no(has_scenario(engine, variant), engine.supports(variant, machine))
    if not support.ok:
        raise Unsupported(support.reason)
    if one_by_one and variant.scenario != "single":
        raise Unsupported(f"this job runs one image after the other, and {variant.name} does not")
    threads = topology.within_quota(request["threads"] or machine.default_threads, machine.cpu_quota)
    if variant.streams > threads:
        raise Unsupported(f"{variant.streams} streams need a thread each, and the engine has {threads} (key threads)")
    cpus = clock.settle_threads(threads, pin=timing is None or timing["pin"])
    options = parse_options(engine.run_options, request["options"], f"variant_catalogue.{variant.name}.run")
    if not as_start:
        check_manifest(Path(request["engine"]), read_json(request["engine_status"])["manifest"])
    resident = nvml.read() if engine.device == "gpu" else None
    progress("opening the engine")
    of_engine = Path(request["engine"]), variant, options, threads
    opened = engine.open_profiled if profiled else engine.open

    def sessions() -> list[Session]:
        return engine.open_streams(*of_engine) if variant.streams > 1 else [opened(*of_engine)]

    # Some engines on a GPU set variables before they import their framework, so only `open` may import it.
    apart = as_start and engine.device == "cpu"
    framework_s = clock.elapsed_s(lambda: engine.import_framework(building=False)) if apart else None
    (session, *others), open_s = clock.with_seconds(sessions)
    model = read_json(request["model"])
    head = model.get("head", "argmax")
    if head == "logits":
        size = model["input"]["height"], model["input"]["width"]
        session, *others = (cast(Session, ClassMapOnHost(one, *size)) for one in (session, *others))
    normalize = Normalizer(model["preprocessing"], model["input"]["height"], model["input"]["width"])
    reader = ImageReader(request["decoded"])
    preprocessing = model["preprocessing"]
    streams = (session, *others) if others else ()
    return TimedSession(
        session, reader, normalize, preprocessing, engine.device, machine, threads, cpus, resident,
        open_s + (framework_s or 0.0), framework_s, variant.batch, head, streams,
    )  # fmt: skip


def disturbed(what: Disturbance, timing: dict[str, Any]) -> bool:
    """Return whether a timed stretch has to be run again, since others took the machine or it was throttled."""
    return bool(what.throttled) or bool(what.contended(timing["contention_share"]))


def choose_images(rows: Entries, timing: dict[str, Any]) -> Entries:
    """Choose the images that are timed, `images_per_round` of them, by a hash of seed and name.

    A picture that is added to the data set then leaves the others' choice, and most often the whole choice, as it was.
    """
    return by_name(rows, lambda row: row["image_id"], timing["images_per_round"], timing["seed"])
