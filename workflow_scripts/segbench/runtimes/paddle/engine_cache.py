"""Paddle's folder `_opt_cache`: calibration tables and serialized TensorRT engines, and whether they are what they
should be.

Their names end in a hash of the names of a subgraph's inputs and outputs and of the numbers that Paddle's passes gave
them, of neither weights nor GPU: one folder per model and variant. Paddle only warns of an engine that it cannot read
and builds another; where it finds no table under the name that it computes, it starts calibrating.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from segbench.errors import Failed
from segbench.files import sha256_of
from segbench.runtimes.paddle.inference_log import TensorRTLog

CACHE = "_opt_cache"
TABLE, ENGINE = "trt_calib_*", "trt_serialized_*"
LATE_S = 60.0  # a table is written when the predictor is destroyed, which may come after the last reference is gone


def take_tables(cache: Path, count: int) -> list[Path]:
    """The calibration tables of `count` subgraphs, once all are there and whole.

    Raises Failed where they do not come within LATE_S seconds, and for what they hold.
    """
    until = time.monotonic() + LATE_S
    before: dict[Path, int] = {}
    while True:
        found = {path: path.stat().st_size for path in sorted(cache.glob(TABLE))}
        if len(found) >= count and found == before and all(found.values()):
            break
        if time.monotonic() > until:
            break
        before = found
        time.sleep(0.1)
    if len(found) < count:
        others = sorted(path.name for path in cache.glob("*") if path not in found)
        there = f"; {CACHE} has {', '.join(others)}" if others else ""
        raise Failed(f"Paddle left {len(found)} calibration tables for {count} TensorRT subgraphs{there}")
    for path in found:
        _check_table(path)
    return list(found)


def _check_table(path: Path) -> None:
    """Raises Failed unless it reads as TensorRT writes it: a line with its version, then `tensor: scale` in hex."""
    first, *scales = path.read_text(errors="replace").splitlines() or [""]
    if not re.fullmatch(r"TRT-\d+-\w+", first):
        raise Failed(f"{path.name} is no TensorRT calibration table: it begins with {first[:40]!r}")
    if not scales:
        raise Failed(f"the calibration table {path.name} is empty: TensorRT saw no image")


def take_engines(cache: Path, log: TensorRTLog, calibrated: bool) -> list[Path]:
    """The serialized engines that a build has left. Raises Failed where a subgraph has none."""
    found = sorted(path for path in cache.glob(ENGINE) if path.stat().st_size)
    if len(found) != len(log.subgraphs):
        told = f"TensorRT left {len(found)} serialized engines for {len(log.subgraphs)} subgraphs"
        if calibrated:
            told += "; the calibration tables are of other subgraphs: calibrate again with the build's options"
        raise Failed(told)
    return found


def digests(cache: Path) -> dict[str, str]:
    """SHA-256 of each serialized engine, by its name."""
    return {path.name: sha256_of(path) for path in sorted(cache.glob(ENGINE))}


def check_loaded(log: TensorRTLog, before: dict[str, str], after: dict[str, str]) -> None:
    """Raises Failed unless every subgraph's serialized engine was loaded, and none was built or written anew."""
    if new := sorted(after.keys() - before.keys()):
        raise Failed(
            f"this process computed another name for its subgraph ({', '.join(new)}) than the build did"
            f" ({', '.join(before)}), so that Paddle did not find the serialized engine and built another: not timed"
        )
    if log.calibrating:
        raise Failed(
            "Paddle found no calibration table under the name that this process computes for its subgraph (there:"
            f" {', '.join(before)}) and began to calibrate: not timed"
        )
    if log.unreadable or log.built:
        raise Failed("TensorRT could not read its serialized engine and built another: not timed")
    if log.loaded != len(before) or log.loaded != len(log.subgraphs) or not log.loaded:
        told = f"{log.loaded} loaded, {len(before)} there, {len(log.subgraphs)} subgraphs"
        raise Failed(f"not every serialized TensorRT engine was loaded ({told}): not timed")
    if before != after:
        raise Failed("a serialized TensorRT engine was rewritten while it was opened: not timed")


def check_identity(built: dict[str, Any], here: dict[str, Any], engine: Path) -> None:
    """Raises Failed where the engine was built by another GPU, driver, TensorRT or Paddle: it would not be the same."""
    differing = [f"{key} {built.get(key)} there, {here[key]} here" for key in here if built.get(key) != here[key]]
    if differing:
        raise Failed(f"foreign engine, not run: {'; '.join(differing)}; delete {engine} and run again to build it here")
