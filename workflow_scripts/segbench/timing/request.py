"""The command line of a timed job, the request that its parent sends to its child, and the facts that come back.

The parent waits beside the clock's start, so this module imports nothing that takes time.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, TypedDict


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
