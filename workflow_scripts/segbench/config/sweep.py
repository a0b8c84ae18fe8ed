"""Expand a sweep into rows: entries of the catalogues that are made, and chosen, beside those that they are made from.

A made variant differs from its own in how it runs images, so both have one export and one calibration. A made model has
another input size or another head, which is another export.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from segbench.config.options import SCENARIO
from segbench.config.schema import Config, InputSize, Model, Resize, Variant

LETTERS = {"batch": "b", "streams": "s", "threads": "t"}  # of a made variant's name


class Fault(Exception):
    """A sweep that cannot be made. The message says why, and what would be right."""


def expand(config: Config) -> None:
    """Add the rows of `config.sweep` to the catalogues and to what is chosen, each behind its own, in place.

    Raises Fault. A chosen name that no catalogue has is left alone.
    """
    variants, models = config.variant_catalogue, config.model_catalogue
    for name in list(config.variants):
        if name in variants:
            _add(dict(_variants(config, name)), name, config.variants, variants)
    for name in list(config.models):
        if name in models:
            _add(dict(_models(config, name)), name, config.models, models)


def _add(made: Mapping[str, Any], name: str, chosen: list[str], catalogue: dict[str, Any]) -> None:
    for other, entry in made.items():
        if catalogue.setdefault(other, entry) != entry:
            raise Fault(f"makes an entry {other!r}, but there is another one of this name: rename that")
    place = chosen.index(name) + 1
    chosen[place:place] = [other for other in made if other not in chosen]


def _variants(config: Config, name: str) -> Iterator[tuple[str, Variant]]:
    """Yield the variants of a sweep from one that runs one image after the other, one setting at a time."""
    entry = config.variant_catalogue[name]
    if any(getattr(entry, key) != plain for key, plain in SCENARIO.items()):
        return
    for key, letter in LETTERS.items():
        for setting in getattr(config.sweep, key):
            if setting != SCENARIO[key]:
                yield f"{name}-{letter}{setting}", entry.model_copy(update={key: setting})


def _models(config: Config, name: str) -> Iterator[tuple[str, Model]]:
    entry = config.model_catalogue[name]
    for text in config.sweep.size:
        height, width = map(int, text.split("x"))
        if (height, width) != (entry.input.height, entry.input.width):
            yield model_name(name, text), _of_size(name, entry, height, width)
    for head in config.sweep.head:
        if head == "small_argmax" and entry.kind not in ("paddleseg", "narrow"):
            kinds = "is for kinds 'paddleseg' and 'narrow'"
            raise Fault(f"has head {head!r}, which {kinds}: model {name!r} is of kind {entry.kind!r}")
        if head != entry.head:
            yield f"{name}-{head}", entry.model_copy(update={"head": head, "title": f"{entry.title or name} {head}"})


def _of_size(name: str, entry: Model, height: int, width: int) -> Model:
    """Return the entry of a model at another input size. Images that are to have its size become it."""
    preprocessing = entry.preprocessing
    if preprocessing.window is None:
        resize = preprocessing.resize
        if resize.kind in ("short_side", "long_side"):
            raise Fault(f"model {name!r} resizes by {resize.kind!r}, which has a size of its own: give it made entries")
        if resize.kind == "none":
            resize = Resize(kind="stretch")
        preprocessing = preprocessing.model_copy(update={"resize": resize.model_copy(update={"size": None})})
    elif preprocessing.window.size is not None:
        raise Fault(f"model {name!r} has a window of a size of its own: leave preprocessing.window.size out")
    size = InputSize(height=height, width=width)
    title = f"{entry.title or name} {height}×{width}"
    return entry.model_copy(update={"input": size, "preprocessing": preprocessing, "title": title})


def model_name(name: str, size: str) -> str:
    """Return the name of a model's made entry of input size `size`, written as in the configuration."""
    return f"{name}-{size}"


def base_models(models: list[str], sizes: list[str]) -> dict[str, str]:
    """Return the chosen models that a sweep made, each with the one that it was made from."""
    return {made: name for name in models for size in sizes if (made := model_name(name, size)) in models}
