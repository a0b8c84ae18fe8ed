"""Files, names, addresses and configurations made to do harm: each is refused in one clear line, and nothing is run."""

from __future__ import annotations

import importlib
import os
import random
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from faults.fault import Case
from segbench.errors import InputError

PARTS = ("pickles", "pictures", "archives", "networks", "settings", "servers", "places")
MAX_S = 20.0  # a case that takes longer is lost: a reader was made to work for ever
MAX_GROWTH_KIB = 1 << 20  # of the process's peak memory over all cases


class Attack(NamedTuple):
    """`act` reads what is hostile, and must raise InputError with `said` in its one line (None: must be harmless)."""

    name: str
    act: Callable[[], object]
    said: str | None


def cases(count: int, seed: int, folder: Path) -> Iterator[Case]:
    """`count` attacks of all parts, or all of them where there are fewer."""
    trap = folder / "pwned"
    os.chdir(folder)  # where a command that got through would leave it
    parts = [importlib.import_module(f"faults.hostile_{part}") for part in PARTS]
    attacks = [attack for part in parts for attack in part.attacks(folder, trap)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for attack in random.Random(seed).sample(attacks, min(count, len(attacks))):
        began = time.monotonic()
        lost, told = _try(attack)
        if time.monotonic() - began > MAX_S:
            lost = f"took {time.monotonic() - began:.0f} s"
        if trap.exists():
            lost = "its code was run"
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak > MAX_GROWTH_KIB:
            lost = "took more than 1 GiB of memory"
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        yield Case("hostile", attack.name, lost, told)


def _try(attack: Attack) -> tuple[str, str]:
    """What is wrong with how it ended (empty: nothing), and what was said."""
    try:
        attack.act()
    except InputError as error:
        told = str(error)
        if attack.said is None or attack.said not in told or "\n" in told:
            return f"wanted: {attack.said!r}, in one line", told[:300]
        return "", told[:300]
    except Exception as error:
        return f"ended in {type(error).__name__}, not in a clear line", str(error)[:300]
    return ("" if attack.said is None else "was accepted"), "harmless"
