"""Masks: infinities that a network stores and adds to scores, of which a softmax makes zeros. No 8 bits hold them, so
what they are added to has no range and stays in FP32. An infinity that was computed from finite values is a fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

BOUNDED = frozenset(("softmax", "sigmoid", "exp", "tanh", "clip", "relu6", "hardsigmoid", "hard_sigmoid"))

Operator = tuple[str, Sequence[str], Sequence[str]]  # its kind, the tensors that it reads, those that it writes


def masked(operators: Iterable[Operator], infinite: Iterable[str]) -> set[str]:
    """Return the stored tensors that are `infinite`, and those that are computed from them, up to an operator whose
    results are bounded. `operators` stand in the order in which they run.
    """
    found = set(infinite)
    for kind, read, written in operators if found else ():
        if kind.lower() not in BOUNDED and not found.isdisjoint(read):
            found.update(written)
    return found
