"""Turn engine options of the configuration into the engine's own dataclass."""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from segbench.errors import InputError

# The keys of a variant that say how it runs images, with what they are where it runs one after the other.
SCENARIO: dict[str, int | None] = {"batch": 1, "streams": 1, "threads": None}


def parse_options(kind: type, given: dict[str, Any] | None, where: str) -> Any:
    """Return an instance of dataclass `kind` from the mapping `given`.

    Raises InputError with `where`, the key, its value and what is allowed (or the nearest known key).
    """
    fields = {f.name for f in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for key, value in (given or {}).items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            known = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(fields)) or 'none'}"
            raise InputError(f"{where}.{key}: unknown key; {known}")
        if not _fits(value, hints[key]):
            raise InputError(f"{where}.{key}: {value!r} is not {_describe(hints[key])}")
        values[key] = tuple(value) if isinstance(value, list) else value
    try:
        return kind(**values)
    except ValueError as error:
        raise InputError(f"{where}: {error}, got {json.dumps(given)}") from None


def _fits(value: Any, hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in typing.get_args(hint))
    if hint is type(None):
        return value is None
    if origin is tuple:
        return isinstance(value, list) and all(_fits(v, typing.get_args(hint)[0]) for v in value)
    if origin is dict:
        return isinstance(value, dict)
    if hint is Any:
        return True
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _describe(hint: Any) -> str:
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", type(None): "null"}
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(_describe(part) for part in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return f"a list (of {_describe(typing.get_args(hint)[0])} each)"
    if typing.get_origin(hint) is dict:
        return "a mapping"
    return words.get(hint, str(hint))


@dataclass(frozen=True)
class Variant:
    """An engine at a precision: an entry of `variant_catalogue`. `batch`: images that it takes at a time; `streams`:
    runs that are under way at the same time.
    """

    name: str
    engine: str
    precision: str
    batch: int = 1
    streams: int = 1

    @property
    def scenario(self) -> str:
        """Return `batch` or `streams` for a variant that does not run one image after the other, else `single`."""
        return scenario_of(self.batch, self.streams)

    @property
    def single(self) -> Variant:
        """Return the variant as it runs one image after the other."""
        return dataclasses.replace(self, batch=1, streams=1)


def scenario_of(batch: int, streams: int) -> str:
    """Return the word for a way to run images. MLPerf calls the first SingleStream; `streams` is its Offline."""
    return "batch" if batch > 1 else "streams" if streams > 1 else "single"


def base_variant(name: str, entries: Mapping[str, Mapping[str, Any]], chosen: Iterable[str]) -> str:
    """Return the first chosen variant that differs from this one in no more than how it runs images, and runs one after
    the other. Without one, it is the variant itself. `entries`: of `variant_catalogue`.
    """
    if not entries[name].keys() & SCENARIO.keys():
        return name
    plain = {key: value for key, value in entries[name].items() if key not in SCENARIO}
    return next((other for other in chosen if entries[other] == plain), name)


@dataclass(frozen=True)
class NoOptions:
    """There are no options."""
