"""Graph passes that an engine of Paddle's leaves out: the search for them, and where an engine keeps their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from segbench.files import read_json

LEFT_OUT = "left_out.json"  # in the engine's folder, where there are any


def left_out(engine: Path) -> list[str]:
    """Return the passes that an engine leaves out, since they make it compute another function."""
    path = engine / LEFT_OUT
    found: list[str] = read_json(path) if path.exists() else []
    return found


def guilty_passes(passes: Sequence[str], agrees: Callable[[Sequence[str]], bool]) -> list[str] | None:
    """Return the fewest passes that have to be left out, as bisection finds them; None where leaving all out is of no
    use.

    `agrees` says whether the class maps are right without the given passes; with all passes they are not. Of several
    answers the one with the first of `passes` is found. Each guilty pass takes about log2(len(passes)) trials.
    """
    if not agrees(passes):
        return None
    found: list[str] = []
    end = len(passes)  # without `found` and the passes before `end` the maps are right
    while True:
        wrong = 0  # without `found` and the passes before `wrong` they are not
        while end - wrong > 1:
            middle = (wrong + end) // 2
            if agrees([*found, *passes[:middle]]):
                end = middle
            else:
                wrong = middle
        end -= 1
        found.append(passes[end])
        if end == 0 or agrees(found):
            return found
