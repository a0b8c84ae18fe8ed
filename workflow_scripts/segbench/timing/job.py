"""What every timed job starts with: an engine opened as its variant says, and the images that it will see.

Rounds (`infer`), pairs (`time_pair`) and LoadGen (`time_loadgen`) share it, so that they time the same thing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from segbench.arrays import Float32Image
from segbench.config.options import Variant, parse_options
from segbench.engines.base import Session, load
from segbench.errors import Unsupported
from segbench.files import check_manifest, read_json
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
    """A built engine and how to run it: what a child process is asked to open. Paths are texts."""

    engine: str  # folder of the engine
    engine_status: str  # its status.json
    variant: dict[str, str]  # name, engine, precision
    options: dict[str, Any]  # of the engine's run


class JobRequest(TypedDict):
    """What every timed job is asked, whichever engine it opens."""

    model: str  # model.json
    index: str  # index.csv of the images
    decoded: str | None  # decoded.json of these images; None: images are decoded when used
    timing: Any  # the section of the configuration; None: not timed
    threads: int  # of the engine; 0: all physical cores


class Request(EngineRequest, JobRequest):
    """What a job of one engine is asked."""


class RoundRequest(Request):
    """What the job of one round is asked."""

    round: int  # from 1
    shard: str
    images: int  # where nothing is timed: the first so many; 0: all
    latencies: str  # file to write
    predictions: str  # file to write


class RoundFacts(TypedDict, total=False):
    """What a round adds to its status.json; the flags are absent where nothing was timed."""

    environment: dict[str, Any]  # moved to environment.json
    warm_up_runs: int
    steady: bool | None  # whether warm-up ended with steady times; None: no warm-up
    contended: bool | None  # others took the machine, in the last try; None: not known
    throttled: bool | None  # heat, power or a quota slowed the machine, in the last try; None: not known
    busy_threads: int | None  # threads that computed, in the last try
    repeats: int  # tries before the last one
    contention_share: float  # what contended was judged by
    disturbances: list[dict[str, Any]]  # a record for each try


def job_arguments(parser: argparse.ArgumentParser, timing: bool = True) -> None:
    """Add the options of every timed job; `timing`: whether the section must be given."""
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
    """The request of `job_arguments`."""
    return {
        "model": str(args.model),
        "index": str(args.index),
        "decoded": args.decoded and str(args.decoded),
        "timing": args.timing,
        "threads": args.threads,
    }


def request_of(args: argparse.Namespace) -> Request:
    """The request of `job_arguments` and `engine_arguments`."""
    engine: EngineRequest = {
        "engine": str(args.engine),
        "engine_status": str(args.engine_status),
        "variant": args.variant,
        "options": args.options,
    }
    return {**engine, **job_request(args)}


@dataclass(frozen=True)
class TimedSession:
    """An engine's session with what surrounds it: the model's preprocessing, this machine, the process's CPUs."""

    session: Session
    read: ImageReader
    normalize: Normalizer
    preprocessing: dict[str, Any]
    device: str
    machine: Machine
    threads: int
    cpus: list[topology.Cpu]
    resident: nvml.GPUState | None = None  # the GPU before this process used it

    def image(self, row: IndexEntry) -> Float32Image:
        """The network's input (1×3×H×W) from an image of the index."""
        return self.normalize(self.read(row), row["image"])

    def image_source(self, rows: Entries, predictions: PredictionsWriter) -> InlineSource | PrefetchingSource:
        """Source of images and sink of class maps: helper processes where a GPU is timed, in this process otherwise."""
        size = self.normalize.height, self.normalize.width
        helpers = min(MAX_HELPERS, len(os.sched_getaffinity(0)) - 1)
        if self.device == "gpu" and helpers > 0:
            return PrefetchingSource(rows, predictions, self.read, self.preprocessing, size, helpers)
        return InlineSource(rows, predictions, self.image)

    def watch(self, helpers: Sequence[int] = ()) -> Watch:
        """Watch what else the machine does from now on; the GPU too where the engine is on it."""
        if self.device != "gpu":
            return Watch(self.threads)
        return Watch(self.threads, nvml.read, helpers, resident=self.resident)


def open_engine(request: Request) -> TimedSession:
    """Settle threads, check the engine's files and open it.

    Of the request, `threads` 0 stands for `Machine.default_threads`; a control group's quota bounds them.
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
    resident = nvml.read() if engine.device == "gpu" else None
    progress("opening the engine")
    session = engine.open(Path(request["engine"]), variant, options, threads)
    model = read_json(request["model"])
    normalize = Normalizer(model["preprocessing"], model["input"]["height"], model["input"]["width"])
    reader = ImageReader(request["decoded"])
    preprocessing = model["preprocessing"]
    return TimedSession(session, reader, normalize, preprocessing, engine.device, machine, threads, cpus, resident)


def disturbed(what: Disturbance, timing: dict[str, Any]) -> bool:
    """Whether a timed stretch has to be run again: others took the machine, or it was throttled."""
    return bool(what.throttled) or bool(what.contended(timing["contention_share"]))


def choose_images(rows: Entries, round_number: int, timing: dict[str, Any] | None, first: int) -> Entries:
    """All rows in order for round 1, the `first` (0: all) of them where nothing is timed; for later rounds a subset in
    an order of its own, by seed."""
    if timing is None:
        return rows[:first] if first else rows
    if round_number == 1:
        return rows
    chooser = random.Random(f"{timing['seed']}-{round_number}")
    return chooser.sample(rows, min(timing["images_per_round"], len(rows)))
