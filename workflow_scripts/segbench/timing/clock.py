"""The one place that reads clocks: how long one image takes, and when the machine has warmed up.

Two times per image. `compute_s` runs from the call to the end of the device's work; `end_to_end_s` adds the copy of
the input to the device and of the class map back. Decoding, normalising, saving and scoring stand outside both.
"""

from __future__ import annotations

import gc
import itertools
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, TypeVar, cast

import numpy as np

from segbench.arrays import ClassMap, Float32Image
from segbench.engines.base import Session
from segbench.machine import topology
from segbench.machine.environment import THREAD_VARIABLES

T = TypeVar("T")


class Latency(NamedTuple):
    """Seconds of one image, and the class map that came out. `device_s`: the network by the device's own clock;
    None: it has none.
    """

    compute_s: float
    end_to_end_s: float
    class_map: ClassMap
    device_s: float | None = None


@dataclass(frozen=True)
class WarmUp:
    """Runs before timing: at least `min_runs`, at most `max_runs` or `max_s` seconds. They end when `is_steady`
    holds for the last `window` runs with `tolerance` (a fraction).
    """

    min_runs: int = 2
    max_runs: int = 60
    max_s: float = 10.0
    window: int = 20
    tolerance: float = 0.05


@contextmanager
def quiet() -> Iterator[None]:
    """Hold off Python's garbage collector. A collection inside a timed run would count as the model's time."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def settle_threads(threads: int, pin: bool) -> list[topology.Cpu]:
    """Fix the thread counts of numerical libraries, pin this process to `threads` cores, and return its CPUs.

    Call it before the framework is imported, whose thread pools read both when they start. If there are more threads
    than cores, the process keeps every CPU.
    """
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    cores = topology.cores(topology.read_cpus())
    if pin and threads <= len(cores):
        os.sched_setaffinity(0, cores[:threads])
    return topology.read_cpus()


def time_once(session: Session, image: Float32Image, batch: int = 1) -> Latency:
    """Time one image: the sum of its inputs (N×3×H×W), which run one after the other. Their class maps lie one below
    the other. With `batch`, N images run at once, and there are N×H×W class maps.
    """
    if len(image) == batch:
        return _time_input(session, image)
    runs = [_time_input(session, image[number : number + 1]) for number in range(len(image))]
    devices = [run.device_s for run in runs if run.device_s is not None]
    return Latency(
        sum(run.compute_s for run in runs),
        sum(run.end_to_end_s for run in runs),
        np.concatenate([run.class_map for run in runs]),
        sum(devices) if devices else None,
    )


def _time_input(session: Session, image: Float32Image) -> Latency:
    """Time one 1×3×H×W input by the monotonic nanosecond clock. The device is synchronised before each reading.

    Both times are the host's, whatever the engine, so that they compare. What a session's device has measured itself
    (`device_seconds`: CUDA events around the network) stands beside them.
    """
    start = time.perf_counter_ns()
    session.upload(image)
    session.synchronize()
    uploaded = time.perf_counter_ns()
    session.execute()
    session.synchronize()
    computed = time.perf_counter_ns()
    class_map = session.download()
    end = time.perf_counter_ns()
    on_device = getattr(session, "device_seconds", None)
    seconds = (computed - uploaded) * 1e-9, (end - start) * 1e-9
    return Latency(*seconds, cast(ClassMap, class_map), on_device() if on_device else None)


@dataclass(frozen=True)
class Finished:
    """An image that a stream has finished: its number among `images`, its latency, and when by the monotonic clock."""

    image: int
    latency: Latency
    at_s: float


def time_streams(sessions: Sequence[Session], images: Sequence[Float32Image], least_s: float) -> list[list[Finished]]:
    """Keep `sessions` busy, each in a thread, with `images` (1×3×H×W each), which come again and again.

    A session takes the next image as soon as it is done with one. They go on until as many are finished as there are
    images, and `least_s` seconds are over. Return the finished images in their order, in groups of as many as there are
    sessions. An image that finishes after the end had less company, and is left out.
    """
    done: list[Finished] = []
    failed: list[BaseException] = []
    numbers, enough = itertools.count(), threading.Event()
    count, start = len(sessions), time.perf_counter()

    def run(session: Session) -> None:
        try:
            while not enough.is_set():
                number = next(numbers) % len(images)
                latency = _time_input(session, images[number])
                done.append(Finished(number, latency, time.perf_counter() - start))
                if len(done) >= max(len(images), count) and done[-1].at_s >= least_s:
                    enough.set()
        except BaseException as error:  # a thread's own would be lost
            failed.append(error)
            enough.set()

    threads = [threading.Thread(target=run, args=(session,)) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    kept = sorted(done, key=lambda one: one.at_s)
    kept = kept[: next(at for at, one in enumerate(kept, 1) if at >= max(len(images), count) and one.at_s >= least_s)]
    whole = len(kept) // count * count
    return [kept[at : at + count] for at in range(0, whole, count)]


def elapsed_s(call: Callable[[], object]) -> float:
    """Seconds that `call` takes, whatever it leaves running."""
    return with_seconds(call)[1]


def with_seconds(call: Callable[[], T]) -> tuple[T, float]:
    """What `call` returns, and the seconds that it takes."""
    start = time.perf_counter_ns()
    returned = call()
    return returned, (time.perf_counter_ns() - start) * 1e-9


def process_age_s() -> float:
    """Seconds since this process was started, to the kernel's tick (10 ms)."""
    with open("/proc/self/stat") as stream:
        started = int(stream.read().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")


def warm_up(run: Callable[[], float], rule: WarmUp) -> tuple[int, bool | None]:
    """Call `run`, which returns its seconds, until they are steady.

    Return the number of runs, and whether they settled (None: no runs, or too slow for a window in `max_s`).
    """
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < rule.max_runs:
        times.append(run())
        if len(times) >= max(rule.min_runs, rule.window) and is_steady(times[-rule.window :], rule.tolerance):
            return len(times), True
        if len(times) >= rule.min_runs and time.perf_counter() - started > rule.max_s:
            break
    return len(times), False if len(times) >= rule.window else None


def warm_up_on(session: Session, image: Float32Image, rule: WarmUp) -> tuple[int, bool | None]:
    """Run one image until its times are steady, for a job whose timed runs follow each other without a pause."""
    return warm_up(lambda: time_once(session, image).compute_s, rule)


def drift(times: list[float]) -> float | None:
    """Return how much the median of the last third of `times`, in running order, exceeds that of the first third, as
    a fraction. None: there are fewer than two times in a third.
    """
    third = len(times) // 3
    if third < 2:
        return None
    return statistics.median(times[-third:]) / statistics.median(times[:third]) - 1


def is_steady(times: list[float], tolerance: float) -> bool:
    """Return whether the two halves of `times` look alike, after pyperf's test for warm-up runs.

    The first value must be no outlier of the rest (Tukey's fences). Means and quartiles of the halves must differ by at
    most `tolerance`, and their spreads (median absolute deviation) by at most twice that, as fractions of the median.
    """
    half = len(times) // 2
    first, second = times[:half], times[half:]
    scale = statistics.median(second)
    low, high = _quartiles(times[1:])
    fence = 1.5 * (high - low) + tolerance * scale
    if not low - fence <= times[0] <= high + fence:
        return False
    pairs = [
        (statistics.fmean(first), statistics.fmean(second)),
        *zip(_quartiles(first), _quartiles(second), strict=True),
    ]
    if any(abs(a - b) > tolerance * scale for a, b in pairs):
        return False
    return abs(_deviation(first) - _deviation(second)) <= 2 * tolerance * scale


def _quartiles(values: list[float]) -> tuple[float, float]:
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def _deviation(values: list[float]) -> float:
    centre = statistics.median(values)
    return statistics.median(abs(value - centre) for value in values)
