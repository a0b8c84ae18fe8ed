"""Checkpoints whose pickle calls, imports, nests or claims what no checkpoint does."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faults.fault import ROOT  # noqa: F401  it puts the modules on the path
from faults.hostile import Attack
from segbench.models.checkpoint import read_arrays

# Globals that run, open, import or delete something when they are called, or hand out others that do.
GLOBALS = (
    "os system", "posix system", "nt system", "os popen", "os execv", "os remove", "os unlink", "subprocess Popen",
    "subprocess check_output", "builtins eval", "builtins exec", "builtins open", "builtins __import__",
    "builtins getattr", "builtins compile", "__builtin__ eval", "__builtin__ file", "importlib import_module",
    "runpy run_path", "pty spawn", "shutil rmtree", "sys exit", "ctypes CDLL", "webbrowser open", "socket socket",
    "pickle loads", "_pickle loads", "marshal loads", "types FunctionType", "types CodeType", "functools partial",
    "operator attrgetter", "operator methodcaller", "code interact", "timeit timeit", "pdb run", "pip main",
    "numpy load", "numpy fromfile", "numpy memmap", "numpy f2py", "numpy.core.multiarray scalar",
    "numpy.testing._private.utils runstring", "numpy.distutils.exec_command exec_command", "_io FileIO",
    "paddle load", "torch.storage _load_from_bytes", "urllib.request urlopen", "tempfile mkdtemp", "os.path join",
)  # fmt: skip


class Calls:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        """What pickle asks for."""
        return self._call


def attacks(folder: Path, trap: Path) -> Iterator[Attack]:
    """Pickles in which a global is called, in the text form and in the form of protocol 4; and other tricks."""
    touch = f"touch '{trap}'"
    for number, name in enumerate(GLOBALS):
        module, function = name.split()
        word = touch.encode()
        text = f"c{module}\n{function}\n(S{touch!r}\ntR.".encode()
        short = [b"\x8c" + bytes([len(part)]) + part for part in (module.encode(), function.encode())]
        binary = b"\x80\x04" + b"".join(short) + b"\x93X" + struct.pack("<I", len(word)) + word + b"\x85R."
        data = (text, binary)[number % 2]
        yield _attack(
            folder, f"{number}", f"pickle calls {module}.{function}", data, f"wants to load {module}.{function}"
        )
    tricks = {
        "INST": (f"(S{touch!r}\nios\nsystem\n.".encode(), "wants to load os.system"),
        "OBJ": (f"(cos\nsystem\nS{touch!r}\no.".encode(), "wants to load os.system"),
        "BUILD after OrderedDict": (b"ccollections\nOrderedDict\n)R}(X\x01\x00\x00\x00aK\x01ub.", "holds no arrays"),
        "persistent id": (b"Pevil\n.", "not a Paddle checkpoint"),
        "extension code": (b"\x82\x01.", "not a Paddle checkpoint"),
        "memo index of 2 GiB": (b"\x80\x02}r\xff\xff\xff\x7f.", "holds no arrays"),
        "string of 4 GiB": (b"X\xff\xff\xff\xffabc.", "not a Paddle checkpoint"),
        "bytes of 2**63": (b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.", "not a Paddle checkpoint"),
        "frame of 2**63": (b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f}.", "holds no arrays"),
        "100,000 nested lists": (b"\x80\x02" + b"(" * 100_000 + b"l" * 100_000 + b".", "wanted: a mapping"),
        "a mapping that holds itself": (b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.", "wanted: a name and an array"),
        "ndarray of absurd shape": (_array(b"(K\x00Jffff\x7fl"), "not a Paddle checkpoint"),
        "array of objects": (pickle.dumps({"a": Calls(len, "x")}, 2), "wants to load"),
        "nested pickle": (pickle.dumps({"a": Calls(pickle.loads, b"cos\nsystem\n.")}, 2), "wants to load"),
        "two pickles in one file": (pickle.dumps({}) + f"cos\nsystem\n(S{touch!r}\ntR.".encode(), "holds no arrays"),
        "text": (b"<html>not found</html>", "not a Paddle checkpoint"),
        "nothing": (b"", "checkpoint"),
    }
    for name, (data, said) in tricks.items():
        yield _attack(folder, name.replace(" ", "-"), f"pickle: {name}", data, said)


def _array(state: bytes) -> bytes:
    return b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R" + state + b"b."


def _attack(folder: Path, stem: str, name: str, data: bytes, said: str) -> Attack:
    path = folder / f"{stem}.pdparams"

    def act() -> object:
        path.write_bytes(data)
        return read_arrays(path)

    return Attack(name, act, said)
