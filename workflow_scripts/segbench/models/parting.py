"""Find the node after which a network's class map is another than the reference's, by bisection over its cuts.

Engines fuse nodes, so that a node may be right by itself and wrong together with those before it. The search therefore
has two ends: first the last node that it takes, then the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from segbench.models.pieces import Network

# Whether the class map is another where the nodes first … last − 1 run on the engine in question, and all others on
# the reference. None: these pieces do not run.
Parts = Callable[[int, int], bool | None]


class Place(NamedTuple):
    """Where the class map parts, as numbers of nodes: not before node `before`, but before node `behind`. The nodes
    `start` … `behind` − 1 are the fewest in running order that do it.
    """

    before: int
    behind: int
    start: int


def turn(places: Sequence[int], says: Callable[[int], bool | None]) -> tuple[int, int]:
    """Return two neighbours of `places` between which `says` turns from no to yes. It says no at the first of them and
    yes at the last; a place where it cannot say is passed over.
    """
    left = list(places)
    while len(left) > 2:
        middle = len(left) // 2
        said = says(left[middle])
        if said is None:
            del left[middle]
        else:
            left = left[: middle + 1] if said else left[middle:]
    return left[0], left[1]


def find(places: Sequence[int], parts: Parts) -> Place:
    """Return where the class map parts. `places`: where the network can be cut, from 0 to the number of its nodes."""
    before, behind = turn(places, lambda place: parts(0, place))
    if before == 0 or parts(before, behind):
        return Place(before, behind, before)
    backwards = [place for place in reversed(places) if place <= before]
    return Place(before, behind, turn(backwards, lambda place: parts(place, behind))[1])


def fewest(network: Network, place: Place, parts: Callable[[list[int]], bool | None]) -> list[int]:
    """Return the nodes of a place without those of branches that it does without, where `parts` says so of some nodes.

    The last nodes stay, and what they are made of from the first one on: without it the class map does not part.
    """
    ancestors = {number: _ancestors(network, number, place.start) for number in range(place.start, place.behind)}
    last = range(place.before, place.behind)
    left = set(last).union(*(ancestors[number] for number in last))
    for number in range(place.before - 1, place.start, -1):
        if number in left and place.start not in ancestors[number]:
            without = left - ancestors[number] - {number}
            if parts(sorted(without)):
                left = without
    return sorted(left)


def _ancestors(network: Network, number: int, start: int) -> set[int]:
    """Return the nodes from `start` on that a node is made of."""
    wanted, found = set(network.nodes[number].reads), set[int]()
    for before in range(number - 1, start - 1, -1):
        if wanted & set(network.nodes[before].makes):
            found.add(before)
            wanted |= set(network.nodes[before].reads)
    return found
