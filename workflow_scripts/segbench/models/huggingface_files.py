"""The folder that `save_pretrained` of transformers leaves: its network, number of classes, and image processor.

The files are config.json, preprocessor_config.json and model.safetensors, or the parts that
model.safetensors.index.json lists. They are read as text. Nothing of transformers is imported here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from segbench.config.resizing import Resizing, Size
from segbench.errors import InputError
from segbench.models.stand_ins import refuse_stand_in

CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS, PARTS = "model.safetensors", "model.safetensors.index.json"
HEAD = "ForSemanticSegmentation"  # how the classes end whose output is logits of classes
MAX_CLASSES = 255  # a class map has 8 bits, 255 of which stands for none
UNLABELLED = 2  # classes of a configuration that says nothing of them: save_pretrained leaves out this default
NEEDED = ("mean", "std", "resize")  # with these in its entry, a model needs no preprocessor_config.json
BY_HAND = "give preprocessing (mean, std, resize) in the model's entry to use your own"
INTERPOLATIONS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "area"}  # by Pillow's number
NEVER_NORMALIZES = "MobileViT"  # its processor writes a mean, and does not use it
BY_SHORT_SIDE = ("MobileViT", "MobileNet")  # one number is the short side there, and both sides elsewhere


class Network(NamedTuple):
    """What a folder says of its network: its class in transformers, and the number of classes that it tells apart."""

    name: str
    class_count: int


def settings_of(folder: Path) -> list[Path]:
    """Return the files that complete an entry, as far as they are there."""
    return [path for name in (CONFIG, PROCESSOR) if (path := folder / name).is_file()]


def files_of(folder: Path) -> list[Path]:
    """Return the files that the network is made of: its configuration and its weights.

    Raises InputError naming the folder, or the file, where the weights are missing, no safetensors, or not whole.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; a relative path starts from model_root")
    weights = _weights(folder)
    for path in (folder / CONFIG, *weights):
        if not path.is_file():
            raise InputError(f"{path}: no such file; save_pretrained leaves {CONFIG} and {WEIGHTS} in a folder")
        refuse_stand_in(path, str(path))
    return [folder / CONFIG, *weights]


def _weights(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).is_file() or not (folder / PARTS).is_file():
        pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern))
        if pickles and not (folder / WEIGHTS).is_file():
            raise InputError(
                f"{folder / pickles[0]}: a pickle, which may run any code; load it where you trust it, and write"
                f" {WEIGHTS} by model.save_pretrained(FOLDER)"
            )
        return [folder / WEIGHTS]
    places = _read(folder / PARTS).get("weight_map")
    names = sorted(set(places.values())) if isinstance(places, dict) else []
    if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise InputError(f"{folder / PARTS}: has no weight_map of files in this folder")
    return [folder / PARTS, *(folder / name for name in names)]


def read_network(folder: Path) -> Network:
    """Read config.json. Raises InputError naming it where its network cannot be exported here."""
    path = folder / CONFIG
    content = _read(path)
    names = content.get("architectures")
    name = str(names[0]) if isinstance(names, list) and names else "none"
    if "auto_map" in content:
        raise InputError(f"{path}: auto_map: the network is code of its own, which is not run; export it to ONNX")
    if "quantization_config" in content:
        raise InputError(f"{path}: quantization_config: the weights are quantised; save the network before that")
    if not name.endswith(HEAD):
        raise InputError(
            f"{path}: architectures: {name}; wanted: a network …{HEAD}, whose output is one logit of each class."
            " Export another to ONNX with such an output, for kind onnx"
        )
    labels = content.get("id2label")
    count = len(labels) if isinstance(labels, dict) else content.get("num_labels", UNLABELLED)
    if not isinstance(count, int) or not 2 <= count <= MAX_CLASSES:
        raise InputError(f"{path}: has {count} classes; wanted: 2 to {MAX_CLASSES}")
    if isinstance(labels, dict) and set(labels) != {str(number) for number in range(count)}:
        raise InputError(f"{path}: id2label: its ids are not 0 to {count - 1}")
    if content.get("num_channels", 3) != 3:
        raise InputError(f"{path}: num_channels: {content['num_channels']}; wanted: 3, for colour images")
    return Network(name, count)


def complete(given: dict[str, Any], folder: Path, size: Size) -> tuple[dict[str, Any], list[str]]:
    """Return the whole `preprocessing` of an entry, what is `given` in it before what the folder says, and notes."""
    if all(key in given for key in NEEDED):
        return {"channel_order": "rgb", "scale": 1 / 255, **given}, []
    found, notes = preprocessing(folder, size, "resize" in given)
    return {**found, **given}, notes


def preprocessing(folder: Path, size: Size, resized: bool = False) -> tuple[dict[str, Any], list[str]]:
    """Return `preprocessing` that does to an image what the folder's image processor does, for an input of `size`, and
    notes. `resized`: the entry says itself how images get the input's size.

    Raises InputError naming preprocessor_config.json and its key for what cannot be done.
    """
    path = folder / PROCESSOR
    if not path.is_file():
        raise InputError(f"{path}: no such file; {BY_HAND}")
    content = _read(path)
    kind = str(content.get("image_processor_type") or content.get("feature_extractor_type") or "")
    try:
        found = {**_values(content, kind), "resize": "none" if resized else _resize(content, kind, size)}
    except InputError as error:
        raise InputError(f"{path}: {error}; {BY_HAND}") from None
    except (KeyError, TypeError, ValueError) as error:
        said = f"has no key {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{path}: {said}; {BY_HAND}") from None
    reduced = content.get("do_reduce_labels", content.get("reduce_labels"))
    note = f"{path.name}: do_reduce_labels: its labels count from 1; a data set of such labels has zero_is_ignored"
    return found, [note] if reduced else []


def _values(content: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return channel order, scale, mean and std."""
    normalizes = content.get("do_normalize", not kind.startswith(NEVER_NORMALIZES))
    return {
        "channel_order": "bgr" if content.get("do_flip_channel_order") else "rgb",
        "scale": float(content.get("rescale_factor", 1 / 255)) if content.get("do_rescale", True) else 1.0,
        "mean": _three(content["image_mean"]) if normalizes else [0.0] * 3,
        "std": _three(content["image_std"], zero=False) if normalizes else [1.0] * 3,
    }


def _three(values: Any, zero: bool = True) -> list[float]:
    numbers = [float(value) for value in values] if isinstance(values, list) else [float(values)] * 3
    if len(numbers) != 3 or (0 in numbers and not zero):
        raise ValueError(f"{values}: not three numbers that can be used, one for each channel")
    return numbers


def _resize(content: dict[str, Any], kind: str, size: Size) -> str | dict[str, Any]:
    """Return `preprocessing.resize` that does what the processor does."""
    for key in ("keep_aspect_ratio", "do_pad"):
        if content.get(key):
            raise InputError(f"{key}: cannot be done")
    resizes = content.get("do_resize", True)
    wanted = content["size"] if resizes or content.get("do_center_crop") else None
    if isinstance(wanted, int) and kind.startswith(BY_SHORT_SIDE):
        wanted = {"shortest_edge": wanted}
    if content.get("do_center_crop") and not (resizes and _square(content["crop_size"]) == _square(wanted)):
        raise InputError(f"do_center_crop: {content['crop_size']} of {wanted}: cuts off what is to be scored")
    if not resizes:
        return "none"
    number = content["resample"]
    if number not in INTERPOLATIONS:
        raise InputError(f"resample: {number}: cannot be done; known: {', '.join(map(str, INTERPOLATIONS))}")
    pillow: dict[str, Any] = {"interpolation": INTERPOLATIONS[number], "convention": "transformers"}
    if both := _square(wanted):
        if both != size:
            raise InputError(
                f"size: {both[0]}×{both[1]} (height×width), but the model's input is {size[0]}×{size[1]}; set that"
                " input"
            )
        return Resizing("stretch", **pillow).written()
    if (
        not isinstance(wanted, dict)
        or "shortest_edge" not in wanted
        or wanted.keys() - {"shortest_edge", "longest_edge"}
    ):
        raise InputError(f"size: {wanted}: cannot be done")
    side = int(wanted["shortest_edge"])
    limit = wanted.get("longest_edge")
    return Resizing(
        "short_side", size={"height": side, "width": side}, max_long_side=limit and int(limit), **pillow
    ).written()


def _square(value: Any) -> Size | None:
    """Return height and width of a processor's size; None where it has not both."""
    if isinstance(value, int):
        return value, value
    both = isinstance(value, dict) and value.keys() == {"height", "width"}
    return (int(value["height"]), int(value["width"])) if both else None


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; a folder is wanted as save_pretrained leaves it")
    refuse_stand_in(path, str(path))
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no JSON ({' '.join(str(error).split())[:200]})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no keys; what save_pretrained writes is wanted")
    return content
