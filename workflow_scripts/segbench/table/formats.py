"""Write figures for reading: in Markdown, in the report and in plots. What was not measured is empty."""

from __future__ import annotations

import math
from typing import Any


def text(value: Any) -> str:
    """Write a name, a count or a sentence as it is."""
    return "" if value is None else str(value)


def miou(value: float | None) -> str:
    """Write 4 decimals, as the published page does."""
    return "" if value is None else f"{value:.4f}"


def change(value: float | None) -> str:
    """Write 4 decimals with a sign, which is left out where all decimals are zero."""
    return "" if value is None else f"{value:+.4f}" if round(value, 4) else "0.0000"


def part_of(part: int | None, whole: int | None) -> str:
    """Write a number out of another, such as "3 of 250"."""
    return "" if part is None or whole is None else f"{part} of {whole}"


def share(value: float | None) -> str:
    """Write a share of pixels, rounded down, so that 1.000000 means all of them."""
    return "" if value is None else f"{math.floor(value * 1e6) / 1e6:.6f}"


def seconds(value: float | None, half_width: float | None = None) -> str:
    """Write 3 decimals as the published page does, and below 0.1 s three significant digits.

    Where `half_width`, that of the value's interval as a fraction, does not carry so many, there are fewer.
    """
    if value is None:
        return ""
    decimals = 3 if value >= 0.0995 or value <= 0 else 2 - math.floor(math.log10(value))
    if half_width and value > 0:
        decimals = max(0, min(decimals, _decimals_of(value * half_width)))
    return f"{value:.{decimals}f}"


def _decimals_of(error: float) -> int:
    """Return the decimals that an error carries, by the rule of the Particle Data Group (Review of Particle Physics,
    introduction, 5.3): two digits of the error where they are 10 to 35, else one.
    """
    exponent = math.floor(math.log10(error))
    return (1 if error / 10**exponent < 3.55 else 0) - exponent


def significant(value: float | None, digits: int = 2) -> str:
    """Write a positive number with this many significant digits, and no exponent."""
    return "" if value is None else f"{value:.{max(0, digits - 1 - math.floor(math.log10(value)))}f}"


def tenths(value: float | None) -> str:
    """Write 1 decimal, for the seconds of what runs once."""
    return "" if value is None else f"{value:.1f}"


def interval(low: float | None, high: float | None) -> str:
    """Write an interval of seconds."""
    return "" if low is None or high is None else f"{seconds(low)}–{seconds(high)}"


def percent(value: float | None) -> str:
    """Write a fraction as a percentage, with two digits at least."""
    return "" if value is None else f"{100 * value:.1f}%" if value < 0.0995 else f"{100 * value:.0f}%"


def span(low: float | None, high: float | None) -> str:
    """Write an interval of mIoU."""
    return "" if low is None or high is None else f"{miou(low)}–{miou(high)}"


def span_of_change(low: float | None, high: float | None) -> str:
    """Write an interval of a difference in mIoU."""
    return "" if low is None or high is None else f"{change(low)} to {change(high)}"


def bounds(low: float | None, high: float | None) -> str:
    """Write the bounds of a ratio with 2 decimals."""
    return "" if low is None or high is None else f"{low:.2f}–{high:.2f}"


def ratio(value: float | None) -> str:
    """Write a speed-up with 2 decimals."""
    return "" if value is None else f"{value:.2f}"


def megabytes(value: int | None) -> str:
    """Write bytes as megabytes (10⁶ bytes)."""
    return "" if value is None else f"{value / 1e6:.0f}"
