"""ONNX models whose tensors lie elsewhere, and files that only look like models."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faults.fault import ROOT  # noqa: F401  it puts the modules on the path
from faults.hostile import Attack
from helpers.made import make_onnx_model
from segbench.models.onnx_files import read_onnx

OUTSIDE = "lies outside"
PLACES = {
    "/etc/passwd": OUTSIDE,
    "../secret.bin": OUTSIDE,
    "a/../../secret.bin": OUTSIDE,
    "link.bin": OUTSIDE,  # a symbolic link to ../secret.bin
    "loop.bin": "",  # one to itself
    "/dev/zero": OUTSIDE,
    "/proc/self/mem": OUTSIDE,
    "": OUTSIDE,
    ".": "is not beside it",
    "missing.bin": "is not beside it",
    "a\0b": "",
    "x" * 5000: "",
    "http://127.0.0.1/x": "is not beside it",
    "file:///etc/passwd": "is not beside it",
    "-rf": "is not beside it",
    "$(touch pwned)": "is not beside it",
}
STAND_INS = {"text": "is a page", "empty file": "is empty"}
FACTS = {
    "negative offset": {"offset": "-8"},
    "offset beyond the file": {"offset": "1000000000000"},
    "length of 2**63": {"length": str(2**63)},
    "negative length": {"length": "-1"},
    "length that is a text": {"length": "$(id)"},
    "length too short": {"length": "1"},
}


def attacks(folder: Path, trap: Path) -> Iterator[Attack]:
    """External data, then files that are no models."""
    (folder / "secret.bin").write_bytes(b"\0" * 4096)
    for number, (place, said) in enumerate(PLACES.items()):
        yield Attack(f"ONNX data at {place[:30]!r}", _external(folder / f"net{number}", {"location": place}), said)
    for name, facts in FACTS.items():
        act = _external(folder / f"net-{name.replace(' ', '-')}", {"location": "here.bin", **facts})
        yield Attack(f"ONNX data: {name}", act, "is too small")
    whole = make_onnx_model(folder / "whole.onnx").read_bytes()
    contents = {
        "text": b"<html>",
        "empty file": b"",
        "half a model": whole[: len(whole) // 2],
        "pickle": b"cos\nsystem\n(S'id'\ntR.",
        "100,000 nested groups": b"\x0b" * 100_000,
        "model without operators": b"\x08\x08",
        "zip": b"PK\x03\x04" + b"\0" * 50,
        "nested messages without end": b"\x3a\xff\xff\xff\x07" * 1000,
    }
    for name, content in contents.items():
        said = STAND_INS.get(name, "not an ONNX model")
        yield Attack(f"ONNX file: {name}", _file(folder / f"{name[:9]}.onnx", content), said)
    absurd = _external(folder / "net-dims", {"location": "here.bin"}, dims=[2**31, 2**31])
    yield Attack("ONNX tensor of 2**62 values", absurd, "")


def _external(folder: Path, facts: dict[str, str], dims: list[int] | None = None) -> Any:
    def act() -> object:
        import onnx

        folder.mkdir(exist_ok=True)
        (folder / "here.bin").write_bytes(b"\0" * 512)
        for name, target in (("link.bin", "../secret.bin"), ("loop.bin", "loop.bin")):
            if not (folder / name).is_symlink():
                os.symlink(target, folder / name)
        model = onnx.load(str(make_onnx_model(folder / "model.onnx")))
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        if dims:
            tensor.dims[:] = dims
        for key, value in facts.items():
            tensor.external_data.add(key=key, value=value)
        (folder / "model.onnx").write_bytes(model.SerializeToString())
        return read_onnx(folder / "model.onnx")

    return act


def _file(path: Path, content: bytes) -> Any:
    def act() -> object:
        path.write_bytes(content)
        return read_onnx(path)

    return act
