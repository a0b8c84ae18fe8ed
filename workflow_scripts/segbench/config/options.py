"""Turn engine options of the configuration into the engine's own dataclass."""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
import typing
from dataclasses import dataclass
from typing import Any

from segbench.errors import InputError


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
    """An engine at a precision: an entry of `variant_catalogue`."""

    name: str
    engine: str
    precision: str


@dataclass(frozen=True)
class NoOptions:
    """There are no options."""
