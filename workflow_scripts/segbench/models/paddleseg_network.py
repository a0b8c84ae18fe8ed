"""Build a network by PaddleSeg's own builder from the `model` section of its configuration."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from segbench.errors import InputError

BEHIND = ("[Hint:", "[operator <")  # lines of Paddle's behind the one that says what is wrong
NOT_NEEDED = ("skimage",)  # newer PaddleSegs import it for STFPM's maps of anomalies, which are no classes


class _StandIn(ModuleType):
    """An absent package whose names can be imported, and not used."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


def build(section: dict[str, Any], class_count: int, package: str | None = None) -> Any:
    """Return the `paddle.nn.Layer` that `section` describes, with `class_count` classes and random weights.

    Classes are found by their names in PaddleSeg's registers of models and backbones and in `narrow.WITH_WIDTHS`, so
    that a file can name no other code. `package` names a clone of PaddleSeg to use instead of the installed one.
    Raises InputError, beginning with the entry's key, where PaddleSeg cannot build the network.
    """
    if _channels(section) != 3:
        raise InputError(f"config: its network takes images of {_channels(section)} channels; wanted: 3")
    paddleseg = _import(package)
    builder = importlib.import_module("paddleseg.cvlibs").SegBuilder(None, _registers(section, paddleseg))
    whole = {**section, "num_classes": class_count}
    try:
        try:
            layer = builder.build_component(whole)
        except RuntimeError:
            with tempfile.TemporaryDirectory() as folder:  # ViT's and CAE's constructors read a file in any case
                layer = builder.build_component(_with(whole, "pretrained", _empty_weights(Path(folder))))
    except (Exception, SystemExit) as error:
        raise InputError(
            f"config: PaddleSeg {paddleseg.__version__} cannot build its network: {last_words(error)}"
        ) from None
    return _on_cpu(layer)


@contextmanager
def running() -> Iterator[None]:
    """Let what PaddleSeg's network raises while it runs be an InputError, which begins with the entry's key."""
    try:
        yield
    except (Exception, SystemExit) as error:
        raise InputError(f"config: PaddleSeg {_version()} cannot run its network: {last_words(error)}") from None


def dataset_class_count(dataset: str, package: str | None) -> int | None:
    """Return the number of classes of a data set that PaddleSeg knows by name."""
    known = _import(package).cvlibs.manager.DATASETS.components_dict
    return getattr(known.get(dataset), "NUM_CLASSES", None)


def _import(package: str | None) -> Any:
    import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538

    import paddle

    paddle.set_device("cpu")
    if package and not (Path(package) / "paddleseg" / "__init__.py").is_file():
        raise InputError(f"package: {package}: has no paddleseg/__init__.py; a clone of PaddleSeg is wanted")
    if package and package not in sys.path:
        sys.path.insert(0, package)
    for name in NOT_NEEDED:
        if name not in sys.modules and importlib.util.find_spec(name) is None:
            sys.modules[name] = _StandIn(name)
    try:
        paddleseg = importlib.import_module("paddleseg")
    except ImportError as error:
        raise InputError(f"package: {package or 'paddleseg'} cannot be imported: {error}") from None
    if package and not Path(str(paddleseg.__file__)).is_relative_to(Path(package).absolute()):
        raise InputError(f"package: {package}: another PaddleSeg is imported already ({paddleseg.__file__})")
    return paddleseg


def _version() -> str:
    return str(sys.modules["paddleseg"].__version__)


def _channels(section: dict[str, Any]) -> int:
    """Channels of the input. PaddleSeg's classes have 3 by default."""
    first = section.get("backbone", section)
    return int(first.get("in_channels") or 3) if isinstance(first, dict) else 3


def _registers(section: dict[str, Any], paddleseg: Any) -> list[Any]:
    """Return the registers that have the classes of `section`. Raises InputError for a class that none has."""
    manager = paddleseg.cvlibs.manager
    found = [manager.MODELS, manager.BACKBONES]
    if unknown := _types(section) - set().union(*(register.components_dict for register in found)):
        from segbench.models.narrow import WITH_WIDTHS

        if wrong := sorted(unknown - WITH_WIDTHS.keys()):
            raise InputError(
                f"config: PaddleSeg {paddleseg.__version__} has no network {wrong[0]!r};"
                " name a clone of PaddleSeg that has it as package"
            )
        found.append(manager.ComponentManager())
        found[-1].add_component(list(WITH_WIDTHS.values()))
    return found


def _types(value: Any) -> set[str]:
    """Return the names of classes in a section, at any depth."""
    if not isinstance(value, dict | list):
        return set()
    inside = value.values() if isinstance(value, dict) else value
    own = {str(value["type"])} if isinstance(value, dict) and "type" in value else set()
    return own.union(*map(_types, inside))


def _with(value: Any, key: str, new: Any) -> Any:
    """Return `value` with `new` under every `key`, at any depth."""
    if isinstance(value, dict):
        return {name: new if name == key else _with(one, key, new) for name, one in value.items()}
    return [_with(one, key, new) for one in value] if isinstance(value, list) else value


def _empty_weights(folder: Path) -> str:
    import paddle

    path = folder / "empty.pdparams"
    paddle.save({}, str(path))
    return str(path)


def _on_cpu(layer: Any) -> Any:
    """Turn synchronised batch normalisation, which has no CPU kernel, into the plain one. Parameters stay."""
    import paddle

    for part in layer.sublayers(include_self=True):
        if isinstance(part, paddle.nn.SyncBatchNorm):
            part.__class__ = paddle.nn.BatchNorm2D  # both keep the same things, of their common base
    return layer


def last_words(error: BaseException) -> str:
    """Return the last line of what a network of PaddleSeg's, or Paddle at tracing it, says."""
    if isinstance(error, SystemExit):
        return "it ends the process, as it does where an operator of its own is not compiled"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(BEHIND)] or lines
    return lines[-1][:200] if lines else type(error).__name__
