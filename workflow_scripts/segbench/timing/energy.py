"""Measure the energy of timed runs: counters before and after, less what the same machine uses while it idles."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, TypedDict

from segbench.machine import powercap
from segbench.timing import clock


class Energy(TypedDict, total=False):
    """The energy of a round's timed runs. `joules` is all that the `parts` used, and `idle_w` what they use when idle.
    Where it could not be read there is only a `reason`.
    """

    reason: str
    parts: list[str]
    joules: float
    idle_w: float
    wall_s: float
    images: int


class Meter:
    """Read the counters of a powercap folder. Make it before an engine is opened: it waits for `idle_s` seconds, to see
    what the machine uses then.
    """

    def __init__(self, folder: Path, idle_s: float) -> None:
        self._parts, self._reason = powercap.parts(folder)
        self._idle_w = 0.0
        if self._parts:
            before = powercap.read(self._parts)
            _, waited_s = clock.with_seconds(lambda: time.sleep(idle_s))
            self._idle_w = powercap.joules(self._parts, before, powercap.read(self._parts)) / waited_s
        self.start()

    def start(self) -> None:
        """Begin to measure."""
        self._before = powercap.read(self._parts)

    def stop(self, wall_s: float, images: int) -> Energy:
        """Return what was used since `start`, in `wall_s` seconds for as many images."""
        if not self._parts:
            return {"reason": self._reason}
        used = powercap.joules(self._parts, self._before, powercap.read(self._parts))
        names = [part.name for part in self._parts]
        return {
            "reason": "", "parts": names, "joules": used, "idle_w": self._idle_w, "wall_s": wall_s, "images": images,
        }  # fmt: skip


def of_image(energy: dict[str, Any]) -> float | None:
    """Return joules of an image beyond those of the idle machine; None where they could not be read."""
    if energy.get("joules") is None or not energy["images"]:
        return None
    return float(energy["joules"] - energy["idle_w"] * energy["wall_s"]) / int(energy["images"])


def meter_of(settings: dict[str, Any] | None) -> Meter | None:
    """Return the meter that the section `energy` of the configuration asks for; None where it asks for none."""
    return Meter(Path(settings["powercap"]), settings["idle_s"]) if settings else None
