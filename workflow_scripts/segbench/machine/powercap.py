"""Read the energy counters of the CPU (RAPL), as Linux's powercap has them (Documentation/power/powercap/powercap.rst).

A package's counter holds its cores and its graphics. Memory has a counter of its own on some machines. No counter sees
fans, disks, the power supply or a GPU on a card.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

MOUNTED = Path("/sys/class/powercap")
COUNTED = ("package", "dram")  # how the names of the parts begin that do not hold each other


class Part(NamedTuple):
    """A part of the machine with a counter: its name, the counter's folder, and where the counter begins again."""

    name: str
    folder: Path
    range_uj: int


def parts(mounted: Path = MOUNTED) -> tuple[list[Part], str]:
    """Return the parts whose counters can be read and add up, or why there are none."""
    found = []
    for folder in sorted(mounted.glob("intel-rapl:*")):  # AMD's too; intel-rapl-mmio has the same counters again
        try:
            name = (folder / "name").read_text().strip()
            if name.startswith(COUNTED):
                found.append(Part(name, folder, int((folder / "max_energy_range_uj").read_text())))
                read([found[-1]])
        except PermissionError as error:
            return [], f"{error.filename}: not readable: as root, chmod a+r it after each start of the machine"
        except (OSError, ValueError) as error:
            return [], f"{folder}: not as powercap lays it out ({error})"
    return found, "" if found else f"{mounted} has no counter of a package (no RAPL here, or a virtual machine)"


def read(counted: list[Part]) -> list[int]:
    """Return each part's counter in microjoules."""
    return [int((part.folder / "energy_uj").read_text()) for part in counted]


def joules(counted: list[Part], before: list[int], after: list[int]) -> float:
    """Return the energy that the parts used between two readings. A counter may have begun again once."""
    used = zip(counted, before, after, strict=True)
    return sum((new - old) % (part.range_uj + 1) if new < old else new - old for part, old, new in used) * 1e-6
