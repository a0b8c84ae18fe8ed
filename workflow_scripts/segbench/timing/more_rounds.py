"""Choose how many further rounds each row gets, since its interval is wide.

Stein's two-stage sampling (Annals of Mathematical Statistics 16, 1945): the planned rounds tell how much the rounds of
a row vary, and this tells how many would make its interval narrow enough. The final interval is of all rounds together.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import NamedTuple

from segbench.timing.intervals import deviation_of_rounds, half_width


class Row(NamedTuple):
    """A row that was timed: the figure of each planned round, the seconds that one round takes in all, and the model in
    whose blocks it stands.
    """

    figures_s: list[float]
    round_s: float
    model: str = ""


def further_rounds(
    rows: Mapping[str, Row], target: float, max_rounds: int, budget_s: float, control_s: float = 0.0
) -> dict[str, int]:
    """Return the number of further rounds by row; rows without any are left out.

    The row with the widest expected interval gets the next round, until all are within ± `target` (a fraction), have
    `max_rounds`, or `budget_s` seconds are given away. The first of a block takes a round of the control with it,
    of `control_s` seconds. Fewer than 3 rounds do not tell how much a row varies.
    """
    spread = {name: deviation_of_rounds(row.figures_s) for name, row in rows.items() if len(row.figures_s) >= 3}
    counts = {name: len(rows[name].figures_s) for name in spread}
    queue = [(-half_width(spread[name], counts[name]), name) for name in spread]
    heapq.heapify(queue)
    blocks = set[tuple[str, int]]()
    while queue:
        width, name = heapq.heappop(queue)
        if -width <= target:
            break
        block = (rows[name].model, counts[name] + 1)
        cost = rows[name].round_s + (0 if block in blocks else control_s)
        if counts[name] >= max_rounds or cost > budget_s:
            continue
        budget_s -= cost
        blocks.add(block)
        counts[name] += 1
        heapq.heappush(queue, (-half_width(spread[name], counts[name]), name))
    return {name: more for name, count in counts.items() if (more := count - len(rows[name].figures_s))}
