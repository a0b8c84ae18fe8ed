"""Say how long each stage of a run took."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Span(NamedTuple):
    """When a job of a rule began and ended: seconds since the epoch."""

    rule: str
    start: float
    end: float


def stage_times(spans: Iterable[Span]) -> str:
    """Return a line for each rule, the longest first: in how many seconds at least one of its jobs ran, and how many
    jobs there were. Empty without jobs.

    Jobs that run side by side count once, so a rule never takes longer than the run. Two rules that ran side by side
    both count.
    """
    of_rule: dict[str, list[Span]] = {}
    for span in spans:
        of_rule.setdefault(span.rule, []).append(span)
    times = sorted(((_covered_s(found), rule, len(found)) for rule, found in of_rule.items()), reverse=True)
    if not times:
        return ""
    width = max(map(len, of_rule))
    lines = [f"  {rule:{width}} {seconds:8.1f} s  {count:4} job{'s' * (count > 1)}" for seconds, rule, count in times]
    return "\n".join(["This run's stages:", *lines])


def _covered_s(spans: list[Span]) -> float:
    """Return the seconds in which at least one of the spans lasted."""
    covered, end = 0.0, float("-inf")
    for span in sorted(spans, key=lambda one: one.start):
        covered += max(0.0, span.end - max(span.start, end))
        end = max(end, span.end)
    return covered
