"""Read weights from a file, as arrays only. A checkpoint from the internet must not be able to run code."""

from __future__ import annotations

import mmap
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segbench.errors import InputError

Arrays = dict[str, npt.NDArray[Any]]
MAX_BYTES = 1 << 34  # 16 GiB: no segmentation model has more
NAME_TABLE = "StructuredToParameterName@@"  # Paddle keeps a second table of names under this key


def read_arrays(path: Path) -> Arrays:
    """Read numeric arrays by parameter name from an `.npz` or a `.pdparams` (pickle) file.

    This imports no Paddle. It raises InputError naming the file for any other content. A pickle that asks for another
    class or function than NumPy's array builders is refused before that is called. Absurd sizes are refused too.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return _read_npz(path) if path.suffix == ".npz" else _read_pickle(path)


def _read_npz(path: Path) -> Arrays:
    try:
        with zipfile.ZipFile(path) as archive:  # reading stops at the size that an entry declares
            _check_size(sum(entry.file_size for entry in archive.infolist()))
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds of errors for damage
        raise InputError(f"{path}: not an .npz file of arrays, or a damaged one ({_words(error)})") from None
    return _checked(path, arrays)


def _read_pickle(path: Path) -> Arrays:
    try:
        with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            whole = _ArraysOnly(content).load()
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:  # a damaged pickle can raise almost anything
        raise InputError(f"{path}: not a Paddle checkpoint, or a damaged one ({_words(error)})") from None
    if not isinstance(whole, dict):
        raise InputError(f"{path}: holds a {type(whole).__name__}; wanted: a mapping of names to arrays")
    return _checked(path, {name: _array(value) for name, value in whole.items() if name != NAME_TABLE})


def _array(value: Any) -> Any:
    """Return the array of a plain entry, or of the pair (name in the program, array) that some Paddle versions save."""
    return value[1] if isinstance(value, tuple) and len(value) == 2 else value


def _checked(path: Path, arrays: dict[Any, Any]) -> Arrays:
    for name, array in arrays.items():
        if not (isinstance(name, str) and isinstance(array, np.ndarray) and array.dtype.kind in "fiub"):
            kind = f"an array of {array.dtype}" if isinstance(array, np.ndarray) else f"a {type(array).__name__}"
            raise InputError(f"{path}: {name!r} is {kind}; wanted: a name and an array of numbers")
    if not arrays:
        raise InputError(f"{path}: holds no arrays")
    try:
        _check_size(sum(array.nbytes for array in arrays.values()))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return arrays


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise InputError(f"holds {size} bytes of arrays, more than the {MAX_BYTES} that are accepted")


def _words(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


# Python's implementation, since in C a few bytes can ask for a memo table of many GiB.
class _ArraysOnly(pickle._Unpickler):
    """Admits what NumPy needs to rebuild arrays, and plain containers. Nothing else can be called."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the global, if it is one of NumPy's array builders."""
        found = _BUILDERS.get((module.replace("numpy._core", "numpy.core"), name))
        if found is None:
            raise InputError(f"refused: wants to load {module}.{name}; a checkpoint may hold arrays only")
        return found


def _new_array(kind: Any, shape: Any, dtype: Any) -> Any:
    """Do what `numpy.core.multiarray._reconstruct` does: make an empty array, which then gets its content."""
    if kind != _NDARRAY or tuple(shape) != (0,):
        raise InputError("refused: an array is built in a way that NumPy never writes")
    return np.ndarray((0,), dtype)


def _from_buffer(buffer: Any, dtype: Any, shape: Any, order: Any) -> Any:
    """Do what `numpy.core.numeric._frombuffer` does (pickle protocol 5)."""
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order=order)


def _latin1(text: str, encoding: str) -> bytes:
    """Do what `_codecs.encode` does in protocol 2, which writes bytes as text."""
    return text.encode("latin1")


_NDARRAY = "ndarray"  # the class is only named, since a call of it could make arrays of any size
_BUILDERS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _latin1,
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _new_array,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
}
