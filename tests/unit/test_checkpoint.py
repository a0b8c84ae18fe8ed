"""Checkpoints are read as arrays, and as nothing else."""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from segbench.errors import InputError
from segbench.models.checkpoint import NAME_TABLE, read_arrays

ARRAYS = {
    "conv.weight": np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32),
    "conv.bias": np.asfortranarray(np.arange(6, dtype=np.float16).reshape(2, 3)),
    "steps": np.array(7),
}


def message(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_arrays(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


def pickled(folder: Path, content: Any, protocol: int = 4) -> Path:
    path = folder / "model.pdparams"
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_pickled_arrays_come_back(tmp_path: Path, protocol: int) -> None:
    old_style = {name: (f"param_{i}", array) for i, (name, array) in enumerate(ARRAYS.items())}
    for content in (ARRAYS, {**ARRAYS, NAME_TABLE: {"conv.weight": "conv2d_0.w_0"}}, old_style):
        found = read_arrays(pickled(tmp_path, content, protocol))
        assert list(found) == list(ARRAYS)
        assert all(found[name].dtype == array.dtype for name, array in ARRAYS.items())
        assert all(np.array_equal(found[name], array) for name, array in ARRAYS.items())


def test_what_paddle_saves_comes_back(tmp_path: Path) -> None:
    import paddle

    layer = paddle.nn.BatchNorm2D(5)
    paddle.save(layer.state_dict(), str(tmp_path / "model.pdparams"))
    found = read_arrays(tmp_path / "model.pdparams")
    assert all(np.array_equal(found[name], tensor.numpy()) for name, tensor in layer.state_dict().items())


def test_npz_arrays_come_back(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "weights.npz", **ARRAYS)
    found = read_arrays(tmp_path / "weights.npz")
    assert all(np.array_equal(found[name], array) for name, array in ARRAYS.items())


def test_paddle_is_not_imported(tmp_path: Path) -> None:
    path = pickled(tmp_path, ARRAYS)
    script = (
        "import sys; from pathlib import Path; from segbench.models.checkpoint import read_arrays;"
        f"read_arrays(Path({str(path)!r})); assert 'paddle' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2] / "workflow_scripts")


class Harmful:
    """A pickle of it wants to write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_in_a_pickle_is_refused_by_name_and_not_run(tmp_path: Path, protocol: int) -> None:
    path = pickled(tmp_path, {"weight": Harmful(tmp_path / "written")}, protocol)
    assert message(path) == "refused: wants to load posix.mkdir; a checkpoint may hold arrays only"
    assert not (tmp_path / "written").exists()


def test_code_inside_an_array_of_objects_is_refused(tmp_path: Path) -> None:
    path = pickled(tmp_path, {"weight": np.array([Harmful(tmp_path / "written")], object)})
    assert message(path) == "refused: wants to load posix.mkdir; a checkpoint may hold arrays only"
    np.savez(tmp_path / "weights.npz", weight=np.array([Harmful(tmp_path / "written")], object))
    assert "Object arrays cannot be loaded when allow_pickle=False" in message(tmp_path / "weights.npz")
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([1], "holds a list; wanted: a mapping of names to arrays"),
        ({}, "holds no arrays"),
        ({"a": 3.0}, "'a' is a float; wanted: a name and an array of numbers"),
        ({"a": np.array(["x"])}, "'a' is an array of <U1; wanted: a name and an array of numbers"),
        ({3: np.zeros(2)}, "3 is an array of float64; wanted: a name and an array of numbers"),
    ],
)
def test_other_content_is_named(tmp_path: Path, content: Any, said: str) -> None:
    assert message(pickled(tmp_path, content)) == said


class Absurd:
    """A pickle of it wants an array of a tebibyte."""

    def __reduce__(self) -> Any:
        return np.ndarray, ((1 << 40,), "u1")


def test_arrays_of_absurd_size_are_refused(tmp_path: Path) -> None:
    assert message(pickled(tmp_path, {"a": Absurd()})).startswith("not a Paddle checkpoint")
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({1 << 40},), }}".encode()
    with zipfile.ZipFile(tmp_path / "weights.npz", "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    assert message(tmp_path / "weights.npz").startswith("not an .npz file of arrays, or a damaged one")


def test_archive_that_would_unpack_to_absurd_size_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "weights.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", b"")
        archive.filelist[0].file_size = 1 << 35
    said = "holds 34359738368 bytes of arrays, more than the 17179869184 that are accepted"
    assert message(tmp_path / "weights.npz") == said


@pytest.mark.parametrize("name", ["model.pdparams", "weights.npz"])
@pytest.mark.parametrize(
    "content", [b"", b"<html>404</html>", b"\x80\x04", b"\x80\x02r\xff\xff\xff\x7f.", b"PK\x03\x04"]
)
def test_damaged_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert "or a damaged one (" in message(tmp_path / name)


def test_truncated_file_is_named(tmp_path: Path) -> None:
    path = pickled(tmp_path, ARRAYS)
    path.write_bytes(path.read_bytes()[:-200])
    assert message(path).startswith("not a Paddle checkpoint, or a damaged one (")


def test_missing_file_is_named(tmp_path: Path) -> None:
    assert message(tmp_path / "none.npz") == "no such file"
