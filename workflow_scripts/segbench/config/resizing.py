"""The settings `preprocessing.resize` and `preprocessing.window`: their keys, and what holds where one is left out.

Engines' processes read them from model.json. They know no pydantic, so the defaults stand here and not in the schema.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Size = tuple[int, int]  # height, width
Kind = Literal["none", "stretch", "short_side", "long_side", "letterbox"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "area", "lanczos"]
Convention = Literal["paddleseg", "mmsegmentation", "transformers"]
SHORT_FORMS = ("none", "stretch")  # kinds that are written as one word where no other key is set


class Resizing(NamedTuple):
    """`preprocessing.resize`. The schema says what the keys mean."""

    kind: Kind = "none"
    size: Any = None
    max_long_side: int | None = None
    enlarge: bool = True
    divisor: int = 1
    interpolation: Interpolation = "bilinear"
    convention: Convention = "paddleseg"
    pad_value: float | Literal["mean"] | None = None
    align: Literal["corner", "centre"] = "corner"

    @classmethod
    def of(cls, preprocessing: dict[str, Any]) -> Resizing:
        """Return the setting of an entry's `preprocessing`, which may be one word."""
        given: Any = preprocessing.get("resize", "none")
        return cls(**({"kind": given} if isinstance(given, str) else given))

    def written(self) -> str | dict[str, Any]:
        """Return the setting as an entry has it: one word where that says it all."""
        return self.kind if self.kind in SHORT_FORMS and self == Resizing(self.kind) else self._asdict()

    @property
    def padding(self) -> float | Literal["mean"] | None:
        """The value beside a smaller image; None: a smaller image is refused."""
        return "mean" if self.pad_value is None and self.kind == "letterbox" else self.pad_value


def sides(value: Any) -> Size:
    """Return height and width of a setting that is one number for both, or has both."""
    return (value["height"], value["width"]) if isinstance(value, dict) else (value, value)


def stride_of(preprocessing: dict[str, Any], size: Size) -> Size | None:
    """Return how far a window of `size` moves, down and to the right; None: no window slides.

    Two thirds of the window, as mmsegmentation's and PaddleSeg's configurations for 512×512 (341) have it, is what
    holds where no stride is given.
    """
    window = preprocessing.get("window")
    if window is None:
        return None
    height, width = (max(1, round(length * 2 / 3)) for length in size)
    given = window.get("stride")
    return sides(given) if given else (height, width)


def may_resize(preprocessing: dict[str, Any]) -> bool:
    """Return whether images of another size than the model's input are taken."""
    return preprocessing.get("window") is not None or Resizing.of(preprocessing) != Resizing()
