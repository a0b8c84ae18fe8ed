"""Bring images to the clock and take class maps from it, in turn with it or in processes beside it.

Helper processes work beside the clock only while a GPU is timed. They decode and normalise the next images, and
compress the last class maps. They share memory of a fixed size with the timed process, which reads and writes their
pipes between two images. The timed process has no thread for that: a thread that holds Python's lock would be timed
too.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import cv2
import numpy as np

from segbench.arrays import ClassMap, Float32Image
from segbench.errors import Failed, InputError
from segbench.images.decoded import ImageReader
from segbench.images.index import IndexEntry
from segbench.images.normalize import Normalizer
from segbench.scoring.predictions import Packed, PredictionsWriter, pack

MAX_HELPERS = 4  # decoding takes 40 to 75 ms at 1024×2048, a fast network on a GPU 10 to 20
Shape = tuple[int, int, int]  # the most inputs of an image, their height and width
SLOTS = 2  # images of each helper: one may be in use while the other is being made


class InlineSource(contextlib.AbstractContextManager["InlineSource"]):
    """Work in the timed process: an image is made ready, then timed, then its class map is saved."""

    helpers: tuple[int, ...] = ()

    def __init__(
        self, rows: Iterable[IndexEntry], predictions: PredictionsWriter, prepare: Callable[[IndexEntry], Float32Image]
    ) -> None:
        self._rows, self._prepare = rows, prepare
        self.save = predictions.add

    def __exit__(self, *_: object) -> None:
        """There is nothing to end."""

    def images(self) -> Iterator[tuple[IndexEntry, Float32Image]]:
        """Each row with its image, which is valid until the next."""
        for row in self._rows:
            yield row, self._prepare(row)

    def finish(self) -> None:
        """Nothing is left to do, since all class maps are saved already."""


class PrefetchingSource(contextlib.AbstractContextManager["PrefetchingSource"]):
    """Work in `count` helper processes, in turn. Helper i mod `count` gets image i and its class map.

    `rows` may have no end. `shape`: the most inputs of an image, their height and width in pixels. A helper's
    InputError is raised when its image is due.
    """

    def __init__(
        self,
        rows: Iterable[IndexEntry],
        predictions: PredictionsWriter,
        reader: ImageReader,
        preprocessing: dict[str, Any],
        shape: Shape,
        count: int,
    ) -> None:
        self._coming, self._predictions = iter(rows), predictions
        self._ordered: deque[IndexEntry] = deque()
        # The memory is one piece: where /dev/shm is too small for it, it becomes a file elsewhere. Many small pieces
        # would be promised more than there is.
        memory = get_context("spawn").RawArray(ctypes.c_uint8, count * _bytes_per_helper(*shape))
        task = _Task(reader, preprocessing, shape, predictions.keep_maps)
        self._all = [_Helper(number, memory, task) for number in range(count)]
        for helper in self._all:
            helper.receive()  # the helper is ready, so its start stays out of the timed stretch
        self.helpers = tuple(helper.process_id for helper in self._all)
        self._unsaved: deque[tuple[str, _Helper]] = deque()  # oldest first

    def images(self) -> Iterator[tuple[IndexEntry, Float32Image]]:
        """Each row with its image, which is valid until the next."""
        for number in range(SLOTS * len(self._all)):
            self._order(number)
        for number in itertools.count():
            if not self._ordered:
                return
            row = self._ordered.popleft()
            self._current = self._all[number % len(self._all)]
            count = self._current.receive()
            yield row, self._current.images[self._slot(number)][:count]
            self._order(number + SLOTS * len(self._all))

    def save(self, image_id: str, class_map: ClassMap) -> None:
        """Hand over the class map of the image that `images` gave last."""
        self._predictions.check(image_id, class_map, stacked=not self._predictions.keep_maps)
        if len(self._unsaved) == len(self._all):  # the oldest class map is with this helper
            self._collect()
        self._current.class_map[: len(class_map)] = class_map
        self._current.send(len(class_map))
        self._unsaved.append((image_id, self._current))

    def finish(self) -> None:
        """Wait until all class maps are saved."""
        while self._unsaved:
            self._collect()

    def __exit__(self, *_: object) -> None:
        """End the helpers."""
        for helper in self._all:
            helper.stop()

    def _slot(self, number: int) -> int:
        return number // len(self._all) % SLOTS

    def _order(self, number: int) -> None:
        row = next(self._coming, None)
        if row is not None:
            self._ordered.append(row)
            self._all[number % len(self._all)].send((self._slot(number), row))

    def _collect(self) -> None:
        """Save the oldest class map. Answers that come before it are for images that nobody will ask for."""
        image_id, helper = self._unsaved.popleft()
        while not isinstance(packed := helper.receive(), Packed):
            continue
        self._predictions.add_packed(image_id, packed)


@dataclass(frozen=True)
class _Task:
    """The facts that every helper gets once, at its start."""

    reader: ImageReader
    preprocessing: dict[str, Any]
    shape: Shape
    keep_maps: bool


class _Helper:
    """A helper process, seen from the timed process: its part of the shared memory, and a pipe."""

    def __init__(self, number: int, memory: Any, task: _Task) -> None:
        self.images, self.class_map = _views(memory, number, task.shape)
        self._pipe, far_end = get_context("spawn").Pipe()
        self._process = get_context("spawn").Process(target=_help, args=(far_end, number, memory, task), daemon=True)
        self._process.start()
        far_end.close()
        self.process_id = self._process.pid or 0

    def send(self, request: tuple[int, IndexEntry] | int) -> None:
        """Ask for an image (its slot and row), or for the class map (the number of its lines)."""
        with self._alive():
            self._pipe.send(request)

    def receive(self) -> Packed | int:
        """Return the next answer, in the order of the requests. A number says how many inputs of an image are ready."""
        with self._alive():
            answer: Packed | InputError | int = self._pipe.recv()
        if isinstance(answer, InputError):
            raise answer
        return answer

    @contextlib.contextmanager
    def _alive(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError):
            raise Failed("a process that prepares images has died, most likely out of memory") from None

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self._pipe.close()
        self._process.kill()
        self._process.join()


def _help(pipe: Connection, number: int, memory: Any, task: _Task) -> None:
    """Answer requests in the helper process until the timed process closes the pipe."""
    cv2.setNumThreads(1)
    images, class_map = _views(memory, number, task.shape)
    normalizers = [Normalizer(task.preprocessing, *task.shape[1:], buffer=image) for image in images]
    pipe.send(0)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            request = pipe.recv()
            try:
                pipe.send(_answer(request, task, normalizers, class_map))
            except InputError as error:
                pipe.send(error)


def _answer(
    request: tuple[int, IndexEntry] | int, task: _Task, normalizers: list[Normalizer], class_map: ClassMap
) -> Packed | int:
    if isinstance(request, int):
        return pack(class_map[:request], task.keep_maps)
    slot, row = request
    return len(normalizers[slot](task.reader(row), row["image"]))


def _bytes_per_helper(inputs: int, height: int, width: int) -> int:
    return -(-(SLOTS * 3 * 4 + 1) * inputs * height * width // 64) * 64  # whole cache lines


def _views(memory: Any, number: int, shape: Shape) -> tuple[list[Float32Image], ClassMap]:
    """Return a helper's images, float32 N×3×H×W, and its class maps, uint8, one below the other, in shared memory."""
    inputs, height, width = shape
    pixels, start = inputs * height * width, number * _bytes_per_helper(*shape)
    images = np.frombuffer(memory, np.float32, SLOTS * 3 * pixels, start).reshape(SLOTS, inputs, 3, height, width)
    class_map = np.frombuffer(memory, np.uint8, pixels, start + images.nbytes).reshape(inputs * height, width)
    return list(images), class_map
