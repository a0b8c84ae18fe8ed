"""PaddleSeg's own files: a network's configuration (FILE.yml and what it inherits) and an export's deploy.yaml.

Both list the transforms of validation images, which become an entry's `preprocessing`. PaddleSeg's classes stand in
configurations by name; nothing of PaddleSeg is imported here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from segbench.config.resizing import Resizing
from segbench.errors import InputError

DEPLOY_FILES = ("deploy.yaml", "inference.yml")  # what PaddleSeg's export leaves beside a model
NEEDED = ("mean", "std", "resize")  # with these in its entry, a model needs no file for its preprocessing
BY_HAND = "give preprocessing (mean, std, resize) in the model's entry to use your own"
Size = tuple[int, int]  # height, width


class Sliding(NamedTuple):
    """The window that slides in PaddleSeg's evaluation: height and width, and how far it moves."""

    crop: Size
    stride: Size


class Network(NamedTuple):
    """What a configuration says of a network: its `model` section without anything to download, its number of classes
    or the data set that has it, the transforms of validation images, its window, and what SegBench does not do."""

    section: dict[str, Any]
    class_count: int | None
    dataset: str | None
    transforms: Any
    sliding: Sliding | None
    notes: list[str]


def files_of(path: Path) -> list[Path]:
    """Return the configuration and the files that it inherits from, as far as they can be read."""
    found: dict[Path, None] = {}
    todo = [path]
    while todo:
        one = todo.pop()
        if one in found or not one.is_file():
            continue
        found[one] = None
        try:
            todo += _bases(one, _read(one))
        except InputError:  # the export job says so
            continue
    return list(found)


def read_network(path: Path) -> Network:
    """Read a configuration. Raises InputError naming the file where it is none, or describes no network."""
    whole = read_whole(path)
    section, validation = whole.get("model"), whole.get("val_dataset") or {}
    if not isinstance(section, dict) or "type" not in section:
        raise InputError(f"{path}: has no section model with a type; a configuration of PaddleSeg is wanted")
    datasets = [one for one in (whole.get("train_dataset"), validation) if isinstance(one, dict)]
    counts = [one["num_classes"] for one in (section, *datasets) if isinstance(one.get("num_classes"), int)]
    if len(set(counts)) > 1:
        raise InputError(f"{path}: num_classes is {' and '.join(map(str, counts))} in different sections")
    dataset = next((one["type"] for one in datasets if "type" in one), None)
    settings = whole.get("test_config") or {}
    notes = [f"{path.name} asks for {text}, which is not done" for text in _test_time(settings)]
    cleared, transforms = _without_downloads(section), validation.get("transforms")
    return Network(cleared, next(iter(counts), None), dataset, transforms, _sliding(settings), notes)


def _sliding(settings: dict[str, Any]) -> Sliding | None:
    """Return the window of a `test_config`; None without one, or where it lacks numbers that PaddleSeg wants too.
    Sizes stand there as width, height.
    """
    try:
        (width, height), (right, down) = settings["crop_size"], settings["stride"]
        window = Sliding((int(height), int(width)), (int(down), int(right)))
    except (KeyError, TypeError, ValueError):
        return None
    return window if settings.get("is_slide") and min(window.stride) > 0 else None


def read_whole(path: Path) -> dict[str, Any]:
    """Return a configuration with all that it inherits. Raises InputError naming the file where it is none."""
    return _merged(path, ())


def _merged(path: Path, inheriting: tuple[Path, ...]) -> dict[str, Any]:
    """Return the configuration with what it inherits: of two values, the inheriting file's holds."""
    if path in inheriting:
        raise InputError(f"{path}: inherits from itself (_base_)")
    content = _read(path)
    for base in _bases(path, content):
        content = _inherit(content, _merged(base, (*inheriting, path)))
    return {key: value for key, value in content.items() if key != "_base_"}


def _bases(path: Path, content: dict[str, Any]) -> list[Path]:
    named = content.get("_base_") or []
    return [path.parent / str(name) for name in (named if isinstance(named, list) else [named])]


def _inherit(content: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    if not content.get("_inherited_", True):
        return {key: value for key, value in content.items() if key != "_inherited_"}
    merged = dict(base)
    for key, value in content.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _inherit(value, base[key]) if both else value
    return merged


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no plain YAML ({' '.join(str(error).split())[:200]})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no keys; a configuration of PaddleSeg is wanted")
    return content


def _without_downloads(value: Any) -> Any:
    """Clear every `pretrained`: building the network would download it, and the weights replace it anyway."""
    if isinstance(value, dict):
        return {key: None if key == "pretrained" else _without_downloads(one) for key, one in value.items()}
    return [_without_downloads(one) for one in value] if isinstance(value, list) else value


def _test_time(settings: dict[str, Any]) -> list[str]:
    """Say what PaddleSeg's evaluation does beside one pass over the whole image."""
    scales = settings.get("scales", 1.0)
    found = []
    if settings.get("is_slide") and _sliding(settings) is None:
        found.append("a sliding window without its crop_size and stride (test_config)")
    if settings.get("aug_eval") and scales not in (1.0, [1.0]):
        found.append(f"images scaled by {scales} (test_config)")
    if settings.get("flip_horizontal") or settings.get("flip_vertical"):
        found.append("flipped images (test_config)")
    return found


def deploy_file(model: Path) -> Path | None:
    """Return the file with the transforms of an exported model's images that lies beside it."""
    return next((path for name in DEPLOY_FILES if (path := model.with_name(name)).is_file()), None)


def read_deploy(path: Path) -> Any:
    """Return the transforms of a deploy.yaml. Raises InputError naming the file where it is none."""
    section = _read(path).get("Deploy")
    if not isinstance(section, dict) or "transforms" not in section:
        raise InputError(f"{path}: has no Deploy.transforms; {BY_HAND}")
    return section["transforms"]


def transforms_of(path: Path, kind: str) -> tuple[Any, Sliding | None]:
    """Return the transforms that the settings of a model of this kind have (a configuration or a deploy.yaml), and the
    window that slides.
    """
    if kind != "paddleseg":
        return read_deploy(path), None
    network = read_network(path)
    return network.transforms, network.sliding


def complete(
    given: dict[str, Any], transforms: Any, path: Path, size: Size, sliding: Sliding | None = None
) -> dict[str, Any]:
    """Return the whole `preprocessing` of an entry: what is `given` in it, and what the file's `transforms` say.

    A window slides as the file says where it is of the input's `size`, and the entry has none of its own.
    """
    window = {}
    if sliding is not None and sliding.crop == size:
        window = {"window": {"stride": {"height": sliding.stride[0], "width": sliding.stride[1]}}}
    if all(key in given for key in NEEDED):
        return {"channel_order": "rgb", "scale": 1 / 255, **window, **given}
    slides = {**window, **given}.get("window") is not None
    return {**preprocessing(transforms, path, size, slides), **window, **given}


def preprocessing(transforms: Any, path: Path, size: Size, slides: bool = False) -> dict[str, Any]:
    """Return `preprocessing` that does to an image what PaddleSeg's `transforms` do, for an input of `size`.

    `slides`: a window does, so that images may become larger. A second transform of the size is accepted where it
    leaves an image of the input's size as it is, and images then need that size before it. Raises InputError, naming
    the file and the transform, for what cannot be done.
    """
    if not isinstance(transforms, list) or not all(isinstance(one, dict) and "type" in one for one in transforms):
        raise InputError(f"{path}: has no list of transforms for validation images; {BY_HAND}")
    found: dict[str, Any] = {
        "channel_order": "rgb",
        "scale": 1.0,
        "mean": [0.0] * 3,
        "std": [1.0] * 3,
    }
    resize: dict[str, Any] = {}
    padded = fixed = False  # whether images are padded to the input's size, or have to have it
    for number, one in enumerate(transforms):
        name, arguments = one["type"], {key: value for key, value in one.items() if key != "type"}
        where = f"{path}: transform {name}{_shown(arguments)}"
        try:
            if name == "Normalize" and number == len(transforms) - 1:
                found |= {"scale": 1 / 255, **_normalize(**arguments)}
                continue
            unfit = slides and (bool(resize) or name == "Padding")
            if name not in SIZES or unfit or arguments.get("interp") == "RANDOM":
                raise InputError(f"{where}: cannot be done{' before a window slides' * unfit}; {BY_HAND}")
            first = name != "Padding" and not resize and not padded
            wanted = RESIZES[name](**arguments) if first else {}
            other = SIZES[name](size, **arguments)
            if other != size and not (first and (slides or wanted["kind"] != "stretch")):
                raise InputError(
                    f"{where}: makes {other[0]}×{other[1]} of an image of {size[0]}×{size[1]} (height×width), the"
                    f" model's input; set that input, or {BY_HAND}"
                )
            if first and wanted["kind"] == "stretch" and not slides:
                resize, fixed = {**wanted, "size": None, "divisor": 1}, True
            elif first:
                resize = wanted
            elif name != "Padding":
                fixed = fixed or not padded
            elif not fixed:
                padded, resize["pad_value"] = True, float(arguments.get("im_padding_value", 127.5))
        except (TypeError, ValueError, KeyError, IndexError, ZeroDivisionError):
            raise InputError(f"{where}: its arguments are not PaddleSeg's; {BY_HAND}") from None
    return {**found, "resize": Resizing(**resize).written()}


def _shown(arguments: dict[str, Any]) -> str:
    return f" ({', '.join(f'{key}: {value}' for key, value in arguments.items())})" if arguments else ""


def _normalize(mean: Any = (0.5,), std: Any = (0.5,)) -> dict[str, Any]:
    if 0 in std:
        raise ValueError("std is 0")
    return {"mean": _three(mean), "std": _three(std)}


def _three(values: Any) -> list[float]:
    numbers = [float(value) for value in values]
    if len(numbers) not in (1, 3):
        raise ValueError("neither one value nor one per channel")
    return numbers if len(numbers) == 3 else numbers * 3


# What PaddleSeg's transforms make of an image of `size` (source: paddleseg/transforms/transforms.py, functional.py).
# Sizes stand there as width, height.


def _resized(
    size: Size,
    target_size: Any = (512, 512),
    keep_ratio: bool = False,
    size_divisor: Any = None,
    interp: str = "LINEAR",
) -> Size:
    width, height = (int(length) for length in target_size)
    if keep_ratio:
        scale = min(max(width, height) / max(size), min(width, height) / min(size))
        height, width = (round(length * scale) for length in size)
    divisor = size_divisor or 1
    return math.ceil(height / divisor) * divisor, math.ceil(width / divisor) * divisor


def _by_short(size: Size, short_size: int = 512, max_size: float = 1e10) -> Size:
    if short_size / min(size) * max(size) > max_size:
        short_size = int(max_size / max(size) * min(size))
    return _scaled(size, short_size / min(size))


def _by_long(size: Size, long_size: int) -> Size:
    return _scaled(size, long_size / max(size))


def _limited(size: Size, max_long: int | None = None, min_long: int | None = None) -> Size:
    if max_long is not None and max(size) > max_long:
        return _by_long(size, max_long)
    return _by_long(size, min_long) if min_long is not None and max(size) < min_long else size


def _scaled(size: Size, scale: float) -> Size:
    return round(size[0] * scale), round(size[1] * scale)


def _padded(size: Size, target_size: Any, im_padding_value: Any = 127.5, label_padding_value: Any = 255) -> Size:
    width, height = (target_size, target_size) if isinstance(target_size, int) else target_size
    return int(height), int(width)


SIZES: dict[str, Callable[..., Size]] = {
    "Resize": _resized,
    "ResizeByShort": _by_short,
    "ResizeByLong": _by_long,
    "LimitLong": _limited,
    "Padding": _padded,
}


# The same transforms as an entry's `resize`.


def _as_resize(
    target_size: Any = (512, 512), keep_ratio: bool = False, size_divisor: Any = None, interp: str = "LINEAR"
) -> dict[str, Any]:
    width, height = (int(length) for length in target_size)
    more = {"divisor": size_divisor or 1, "interpolation": INTERPOLATIONS[interp]}
    if keep_ratio:
        return {"kind": "short_side", "size": min(width, height), "max_long_side": max(width, height), **more}
    return {"kind": "stretch", "size": {"height": height, "width": width}, **more}


def _as_short_side(short_size: int = 512, max_size: float = 1e10) -> dict[str, Any]:
    limit = None if max_size >= 1e10 else int(max_size)
    return {"kind": "short_side", "size": int(short_size), "max_long_side": limit}


def _as_limit(max_long: int, min_long: None = None) -> dict[str, Any]:
    if min_long is not None:
        raise ValueError("no setting enlarges images up to a bound")
    return {"kind": "long_side", "size": int(max_long), "enlarge": False}


INTERPOLATIONS = {
    "NEAREST": "nearest",
    "LINEAR": "bilinear",
    "CUBIC": "bicubic",
    "AREA": "area",
    "LANCZOS4": "lanczos",
}
RESIZES: dict[str, Callable[..., dict[str, Any]]] = {
    "Resize": _as_resize,
    "ResizeByShort": _as_short_side,
    "ResizeByLong": lambda long_size: {"kind": "long_side", "size": int(long_size)},
    "LimitLong": _as_limit,
}
