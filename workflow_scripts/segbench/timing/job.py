"""Start a timed job: open an engine as its variant says, and choose the images that it will see.

Rounds (`infer`), pairs (`time_pair`) and LoadGen (`time_loadgen`) share this, so that they time the same thing.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from segbench.arrays import ClassMap, Float32Image
from segbench.config.options import Variant, parse_options
from segbench.engines.base import Session, first_no, has_scenario, load
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

Entries = list[IndexEntry]


class EngineRequest(TypedDict):
    """A built engine and how to run it. A child process is asked to open it. Paths are texts."""

    engine: str  # folder of the engine
    engine_status: str  # its status.json
    variant: dict[str, Any]  # name, engine, precision; batch or streams where it has them
    options: dict[str, Any]  # of the engine's run


class JobRequest(TypedDict):
    """The part of a request that every timed job has, whichever engine it opens."""

    model: str  # model.json
    index: str  # index.csv of the images
    decoded: str | None  # decoded.json of these images; None: images are decoded when used
    timing: Any  # the section of the configuration; None: not timed
    threads: int  # of the engine; 0: all physical cores


class Request(EngineRequest, JobRequest):
    """The request of a job of one engine."""


class PassRequest(Request):
    """The request of the job that makes class maps."""

    logits: str  # folder of the engine that ends in logits, and its status.json; "": there is none
    logits_status: str
    shard: str
    images: int  # number of first images to run; 0: all
    predictions: str  # file to write


class RoundRequest(Request):
    """The request of the job of one timed round. Files to write: latencies, those of repeated tries, digests."""

    round: int  # from 1
    energy: dict[str, Any] | None  # the section of the configuration; None: not measured
    latencies: str
    replaced: str
    predictions: str


class RoundFacts(TypedDict, total=False):
    """The keys that a timed round adds to its status.json."""

    environment: dict[str, Any]  # moved to environment.json
    started: str  # when the timed runs began: ISO 8601, UTC
    open_s: float  # what it took in this process to load the framework and the engine
    first_mask_s: float  # the same, and the `end_to_end_s` of the first image or batch
    warm_up_runs: int
    warm_up_settled: bool | None  # None: no warm-up, or too few runs to say
    drift: float | None  # last third of the runs against the first, as a fraction; None: too few runs
    drift_tolerance: float  # the bound that `steady` was judged by
    steady: bool | None  # whether the drift is within its tolerance
    contended: bool | None  # others took the machine, in the last try; None: not known
    throttled: bool | None  # heat, power or a quota slowed the machine, in the last try; None: not known
    contention_share: float  # the bound that `contended` was judged by
    busy_threads: int | None  # threads that computed, in the last try
    engine_threads: int | None  # what the engine says that it uses; None: it does not tell
    repeats: int  # tries before the last one
    energy: dict[str, Any]  # of the last try, where it was asked for (see `energy.Energy`)
    changed: list[str]  # images whose class map differed within the round
    disturbances: list[dict[str, Any]]  # a record for each try


def job_arguments(parser: argparse.ArgumentParser, timing: bool = True) -> None:
    """Add the options of every timed job. `timing` says whether the section must be given."""
    parser.add_argument("--model", type=Path, required=True, help="model.json of the exported model")
    parser.add_argument("--index", type=Path, required=True, help="index.csv of the images to run")
    parser.add_argument("--decoded", type=Path, help="decoded.json of these images (none: decode them when used)")
    parser.add_argument("--timing", type=json.loads, required=timing, help="JSON: the configuration's section timing")
    parser.add_argument("--threads", type=int, default=0, help="engine threads (0: one per fast core of a socket)")


def engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name one built engine."""
    parser.add_argument("--engine", type=Path, required=True, help="folder of the built engine")
    parser.add_argument("--engine-status", type=Path, required=True, help="its status.json")
    parser.add_argument("--variant", type=json.loads, required=True, help="JSON: name, engine, precision")
    parser.add_argument("--options", type=json.loads, default={}, help="JSON: the engine's run options")


def job_request(args: argparse.Namespace) -> JobRequest:
    """Return the request from the options of `job_arguments`."""
    return {
        "model": str(args.model),
        "index": str(args.index),
        "decoded": args.decoded and str(args.decoded),
        "timing": args.timing,
        "threads": args.threads,
    }


def request_of(args: argparse.Namespace) -> Request:
    """Return the request from the options of `job_arguments` and `engine_arguments`."""
    engine: EngineRequest = {
        "engine": str(args.engine),
        "engine_status": str(args.engine_status),
        "variant": args.variant,
        "options": args.options,
    }
    return {**engine, **job_request(args)}


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
    batch: int = 1  # images that the session runs at once
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


def open_engine(request: Request, profiled: bool = False, one_by_one: bool = True) -> TimedSession:
    """Settle the threads, check the engine's files, and open the engine, with its own profiler on where `profiled`.

    In the request, `threads` 0 stands for `Machine.default_threads`. A control group's quota bounds the number. Raises
    Unsupported where the variant cannot run here, or where the job runs images `one_by_one` and the variant does not;
    InputError for damaged files.
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
    check_manifest(Path(request["engine"]), read_json(request["engine_status"])["manifest"])
    resident = nvml.read() if engine.device == "gpu" else None
    progress("opening the engine")
    of_engine = Path(request["engine"]), variant, options, threads
    opened = engine.open_profiled if profiled else engine.open

    def sessions() -> list[Session]:
        return engine.open_streams(*of_engine) if variant.streams > 1 else [opened(*of_engine)]

    (session, *others), open_s = clock.with_seconds(sessions)
    model = read_json(request["model"])
    normalize = Normalizer(model["preprocessing"], model["input"]["height"], model["input"]["width"])
    reader = ImageReader(request["decoded"])
    preprocessing = model["preprocessing"]
    streams = (session, *others) if others else ()
    return TimedSession(
        session, reader, normalize, preprocessing, engine.device, machine, threads, cpus, resident, open_s,
        variant.batch, streams,
    )  # fmt: skip


def disturbed(what: Disturbance, timing: dict[str, Any]) -> bool:
    """Return whether a timed stretch has to be run again, since others took the machine or it was throttled."""
    return bool(what.throttled) or bool(what.contended(timing["contention_share"]))


def choose_images(rows: Entries, timing: dict[str, Any]) -> Entries:
    """Choose the images that are timed, `images_per_round` of them, by a hash of seed and name.

    A picture that is added to the data set then leaves the others' choice, and most often the whole choice, as it was.
    """
    return by_name(rows, lambda row: row["image_id"], timing["images_per_round"], timing["seed"])
