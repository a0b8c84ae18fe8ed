"""Configurations with tags, bombs, and strings that a shell, a path or Snakemake could take for something else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from faults.fault import ROOT
from faults.hostile import Attack
from segbench.errors import InputError
from segbench.planning.check import read_config

FILES = ("config", "models", "variants", "calibrators", "datasets")
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{this}: &{this} [{', '.join(['*' + before] * 9)}]\n" for before, this in zip("abcdefgh", "bcdefghi", strict=True)
)
SHELL = (
    "$(touch pwned)", "`touch pwned`", "; touch pwned;", "a\ntouch pwned", "'; touch pwned; '", '"$(touch pwned)"',
    "-rf", "--help", "../../etc", "/etc/passwd", "{wildcards.x}", "{input}", "a b", "é", "\0", "%s", "~", "",
)  # fmt: skip


def attacks(folder: Path, trap: Path) -> Iterator[Attack]:
    """Tags and bombs in a file, hostile names, and values of the wrong kind."""
    tagged = {
        "python/object/apply": "models: !!python/object/apply:os.system ['touch pwned']",
        "python/object/new": "models: !!python/object/new:os.system ['touch pwned']",
        "python/name": "models: !!python/name:os.system",
        "python/module": "models: !!python/module:os",
        "own tag": "models: !evil x",
        "binary": "models: !!binary '////'",
        "set": "models: !!set {a, b}",
        "bomb of 9**9 in a number's place": f"{BOMB}rounds: *i\n",
        "bomb of 9**9 in a list's place": f"{BOMB}models: *i\n",
        "bomb of 9**9 in an engine's options": BOMB + "variant_catalogue: {onnxruntime-fp32: {run: {spinning: *i}}}\n",
        "10,000 brackets": "models: " + "[" * 10_000,
        "10,000 levels": "\n".join(" " * n + "a:" for n in range(2000)),
        "a list": "- a\n- b",
        "a text": "hello",
        "merge of itself": "a: &a\n  <<: *a",
        "number of 5000 digits": "rounds: " + "9" * 5000,
        "not a number": "timing: {target: .nan}",
        "infinite": "limits: {stall_s: .inf}",
        "key that is a list": "? [a, b]\n: c",
        "control characters": "models: [\x01]",
    }
    for name, text in tagged.items():
        said = "YAML aliases" if name.startswith("bomb") else "overlay.yaml"
        yield Attack(f"YAML: {name}", _overlay(folder / "overlay.yaml", text), said)
    for number, word in enumerate(SHELL):
        yield Attack(f"model named {word!r}", _setting({"models": [word]}), "models")
        yield Attack(f"model catalogue with {word!r}", _setting({"model_catalogue": {word: MODEL}}), "model_catalogue")
        yield Attack(f"data set named {word!r}", _setting({"dataset": word}), "dataset")
        if number < 6:
            kind = {"variant_catalogue": {"onnxruntime-fp32": {"engine": word, "precision": "fp32"}}}
            yield Attack(f"engine named {word!r}", _setting(kind), "engine")


MODEL = {"kind": "onnx", "weights": {"path": "x.onnx"}, "input": {"height": 8, "width": 8}}


def _merged(more: dict[str, Any]) -> dict[str, Any]:
    """The project's configuration with `more` laid over it, as Snakemake merges."""
    whole: dict[str, Any] = {}
    for name in FILES:
        whole |= yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text())
    for key, value in more.items():
        both = isinstance(value, dict) and isinstance(whole.get(key), dict)
        whole[key] = {**whole[key], **value} if both else value
    return whole


def _setting(more: dict[str, Any]) -> Callable[[], object]:
    return lambda: _one_line(lambda: read_config(_merged(more), []))


def _overlay(path: Path, text: str) -> Callable[[], object]:
    def act() -> object:
        path.write_text(text)
        return _one_line(lambda: _read(path))

    return act


def _read(path: Path) -> object:
    from snakemake.common.configfile import load_configfile
    from snakemake.exceptions import WorkflowError
    from yaml import YAMLError

    try:
        overlay = load_configfile(str(path))
    except (
        WorkflowError,
        YAMLError,
        ValueError,
        RecursionError,
    ) as error:
        # Snakemake reads the file first, and says it in its own words.
        raise InputError(f"{path}: {' '.join(str(error).split())}") from None
    return read_config(_merged(overlay), [str(path)])


def _one_line(act: Callable[[], object]) -> object:
    """All faults of a configuration are told at once, one a line: the first stands for them."""
    try:
        return act()
    except InputError as error:
        raise InputError(str(error).split("\n")[0]) from None
