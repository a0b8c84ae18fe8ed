"""Find out what a model's file, and the files beside it, say of its entry in the configuration."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segbench.config.schema import SUFFIXES
from segbench.errors import InputError, one_line
from segbench.models import huggingface_files
from segbench.models.onnx_files import read_onnx
from segbench.models.onnx_graph import constants_to_initializers
from segbench.models.onnx_operators import quantized_operators
from segbench.models.paddle_files import quantized_in_program, read_program
from segbench.models.paddleseg_files import DEPLOY_FILES, read_network

MODELS = (".onnx", ".pdmodel", ".yml", ".yaml", ".json")
SIZE = (512, 1024)  # tried where a file takes any size
HUGGING_FACE, ITS_CLASSES = "preprocessor_config.json", "config.json"
Size = tuple[int, int]  # height, width


@dataclass
class Finding:
    """An entry of a catalogue, and what to say of its keys: `unknown` is to be checked by a person, `notes` is not."""

    name: str
    entry: dict[str, Any]
    unknown: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)  # their names, where a file has them
    any_size: bool = False  # the file does not fix the input's size
    shares: bool = False  # each channel is a share of its own, as a sigmoid gives it: one may be missing
    resizes: bool = False  # the model's own files say how images get that size
    quantized: bool = False  # it computes in 8 bits already


def is_model(path: Path) -> bool:
    """Return whether a path is a model's file by its name, or a folder that has one."""
    return model_of(path) is not None


def model_of(path: Path) -> Path | None:
    """Return the model's file that a path is, or that a folder has."""
    if not path.is_dir():
        return path if path.suffix in MODELS else None
    found = [file for suffix in (".onnx", ".pdmodel") for file in sorted(path.glob(f"*{suffix}"))]
    found += [file.with_suffix(".json") for file in sorted(path.glob("*.pdiparams"))]
    saved = [*path.glob("*.safetensors"), *path.glob("pytorch_model*.bin")]
    found += [path / ITS_CLASSES] if saved else []
    return next((file for file in found if file.is_file()), None)


def inspect_model(path: Path, size: Size | None = None) -> Finding:
    """Return what the model's file says. `size` is tried where the file takes any; None: SIZE.

    Raises InputError naming the file where it is no model.
    """
    file = model_of(path)
    if file is None:
        wanted = ", ".join(sorted({suffix for many in SUFFIXES.values() for suffix in many} | {".yml"}))
        raise InputError(f"{path}: is no model; wanted: a file ending in {wanted}, or a folder with one")
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    if file.name == ITS_CLASSES:
        return _of_folder(_name(file.parent.resolve().name), file.parent, size)
    name = _name(file.stem)
    if file.suffix == ".onnx":
        return _of_onnx(name, file, size)
    if file.suffix in (".yml", ".yaml"):
        return _of_paddleseg(name, file, size)
    return _of_paddle(name, file, size)


def _name(text: str) -> str:
    """Return a name for an entry that is like `text`."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in text).lstrip("._-") or "mine"


def _of_folder(name: str, folder: Path, size: Size | None) -> Finding:
    """Read a folder of a network of transformers. The workflow reads preprocessing from it."""
    huggingface_files.files_of(folder)
    network = huggingface_files.read_network(folder)
    found = Finding(name, {"kind": "huggingface", "folder": str(folder.resolve())}, resizes=True)
    _read_hugging_face(found, folder)
    found.entry.pop("preprocessing", None)
    found.notes.pop("preprocessing", None)
    fixed = found.entry.get("size")
    _input_size(found, fixed or [None, None], size)
    found.entry["class_count"] = network.class_count
    try:
        tried = found.entry["input"]["height"], found.entry["input"]["width"]
        huggingface_files.preprocessing(folder, tried)
        found.notes["kind"] = f"preprocessing is read from {HUGGING_FACE}"
    except InputError as error:
        found.unknown["kind"] = one_line(str(error), 300)
    return found


def _of_onnx(name: str, file: Path, size: Size | None) -> Finding:
    import onnxruntime

    network = read_onnx(file)  # it says what is wrong with the file in a sentence
    constants_to_initializers(network)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has many classes of its own
        raise InputError(f"{file}: ONNX Runtime cannot load it: {one_line(str(error), 300)}") from None
    found = Finding(name, {"kind": "onnx", "weights": {"path": str(file.resolve())}})
    _note_quantized(found, quantized_operators(network))
    _read_hugging_face(found, file.parent)
    image, *others = session.get_inputs()
    if others:
        raise InputError(f"{file}: has {1 + len(others)} inputs; a segmentation network has one, the image")
    shape, last = (
        list(image.shape),
        len(image.shape) == 4 and image.shape[-1] in (1, 3) and image.shape[1] not in (1, 3),
    )
    tried = _input_size(found, [length for length in (shape[1:3] if last else shape[2:4])], size)
    if last:
        found.notes["input"] = f"the channels come last: {shape}"
    if image.type != "tensor(float)":
        found.notes["input"] = f"the input is {image.type}: preprocessing may be inside the network"
    _outputs(
        found,
        session,
        image,
        (1, *tried, shape[-1]) if last else (1, shape[1] if isinstance(shape[1], int) else 3, *tried),
    )
    if "preprocessing" not in found.entry:
        found.entry["preprocessing"] = {"channel_order": "rgb", "scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3}
        found.unknown["preprocessing"] = "no file says it: take what the network was trained with"
    return found


def _note_quantized(found: Finding, operators: dict[str, int]) -> None:
    found.quantized = bool(operators)
    if operators:
        named = ", ".join(f"{count} {name}" for name, count in operators.items())
        found.notes["weights"] = f"quantised already ({named}): float_model names the model that it was made from"


def _input_size(found: Finding, given: list[Any], size: Size | None) -> Size:
    """Set the input's size: what the file fixes, else what is to be tried."""
    asked = size or tuple(found.entry.pop("size", ())) or SIZE
    found.entry.pop("size", None)
    lengths = [one if isinstance(one, int) and one > 0 else other for one, other in zip(given, asked, strict=True)]
    found.any_size = lengths != given
    if found.any_size:
        found.unknown["input"] = "the file takes any size: give that of your images, or the one it was trained with"
    found.entry["input"] = {"height": lengths[0], "width": lengths[1]}
    return lengths[0], lengths[1]


def _outputs(found: Finding, session: Any, image: Any, shape: tuple[int, ...]) -> None:
    """Run noise to see the outputs, since the file's own shapes may be open. Set what the entry says of the output."""
    import numpy as np

    kinds = {"tensor(float16)": np.float16, "tensor(uint8)": np.uint8, "tensor(double)": np.float64}
    dtype = np.dtype(kinds.get(image.type, np.float32))
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, shape) if dtype.kind == "u" else random.uniform(-2, 2, shape)
    names = [output.name for output in session.get_outputs()]
    try:
        values = session.run(names, {image.name: pixels.astype(dtype)})
    except Exception as error:  # ONNX Runtime has many classes of its own
        found.unknown["class_count"] = f"it did not run on noise of {list(shape)}: {one_line(str(error), 120)}"
        found.entry["class_count"] = max(len(found.classes), 2)
        return
    maps = [value.shape for value in values]
    best = max(range(len(maps)), key=lambda i: (len(maps[i]) >= 3, int(np.prod(maps[i][-2:]))))
    if len(names) > 1:
        found.entry["output"] = names[best]
        shown = ", ".join(f"{name} {list(one)}" for name, one in zip(names, maps, strict=True))
        found.unknown["output"] = f"the largest map of {len(names)} outputs: {shown}"
    if values[best].dtype.kind in "iub":
        _of_ids(found, values[best])
    else:
        _of_scores(found, names[best], values[best])


def _of_ids(found: Finding, values: Any) -> None:
    """Set the number of classes of an output that has classes already: a mask, or what noise and files show."""
    import numpy as np

    levels, wide = np.unique(values).tolist(), list(values.shape)
    if len(found.classes) < 3 and (values.dtype.kind == "b" or {*levels} <= {0, 255}):
        found.entry["class_count"] = 2
        found.notes["class_count"] = f"a mask of two values ({values.dtype} {wide})"
        return
    found.entry["class_count"] = len(found.classes) or max([2, *(int(n) + 2 for n in levels if n not in (255, -1))])
    if not found.classes:
        found.unknown["class_count"] = f"the output has classes already ({values.dtype} {wide}), but not how many"


def _of_scores(found: Finding, name: str, values: Any) -> None:
    """Set what scores are: one channel with its threshold, or a channel for each class."""
    import numpy as np

    wide, low, high = list(values.shape), float(values.min()), float(values.max())
    shares = low >= 0 and high <= 1
    if len(wide) == 4 and 1 in (wide[1], wide[3]):
        found.entry["class_count"] = 2
        found.notes["class_count"] = f"one channel, {wide}: class 1 where it is above the threshold"
        found.entry |= {"output_kind": "sigmoid" if shares else "logits", "threshold": 0.5 if shares else 0.0}
        found.unknown["threshold"] = (
            f"for noise it is from {low:.3g} to {high:.3g}: {'a sigmoid' if shares else 'no sigmoid'}; give the value"
            " that it was trained for"
        )
        return
    last = len(wide) == 4 and wide[1] > wide[3]
    found.entry["class_count"] = wide[-1] if last else wide[1] if len(wide) == 4 else wide[0]
    found.notes["class_count"] = f"output {name} {wide}" + (", the classes come last" if last else "")
    sums = values.sum(3 if last else -3)
    found.shares = shares and not np.allclose(sums, 1, atol=0.01)
    if found.shares:
        found.unknown["class_count"] = (
            "each channel is a share of its own (a sigmoid): if the background has none, add 1 and output_kind: sigmoid"
        )


def _read_hugging_face(found: Finding, folder: Path) -> None:
    """Take preprocessing and names of classes from the files that Hugging Face's libraries write beside a model."""
    for place in (folder, folder.parent):  # an export may lie in a folder onnx/
        settings, config = _json(place / HUGGING_FACE), _json(place / ITS_CLASSES)
        if labels := config.get("id2label"):
            found.classes = [str(labels[key]) for key in sorted(labels, key=int)]
        if "image_mean" in settings:
            scale = settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 1.0
            normal = settings.get("do_normalize", True)
            found.entry["preprocessing"] = {
                "channel_order": "rgb",
                "scale": scale,
                "mean": list(settings["image_mean"]) if normal else [0.0] * 3,
                "std": list(settings["image_std"]) if normal else [1.0] * 3,
                "resize": "stretch" if settings.get("do_resize") else "none",
            }
            found.notes["preprocessing"] = f"from {place / HUGGING_FACE}"
            asked = settings.get("size")
            if isinstance(asked, int):
                found.entry["size"] = [asked, asked]
            elif isinstance(asked, dict) and {"height", "width"} <= asked.keys():
                found.entry["size"] = [asked["height"], asked["width"]]
            return


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _of_paddle(name: str, file: Path, size: Size | None) -> Finding:
    """Read an exported Paddle model. Its preprocessing is read by the workflow from the file beside it."""
    parameters = file.with_suffix(".pdiparams")
    if not parameters.is_file():
        raise InputError(f"{parameters}: no such file; a Paddle model is {file.name} and {parameters.name}")
    found = Finding(name, {"kind": "paddle_inference", "weights": {"path": str(file.resolve())}})
    beside = next((file.with_name(one) for one in DEPLOY_FILES if file.with_name(one).is_file()), None)
    _note_quantized(found, quantized_in_program(file.read_bytes()) if file.suffix == ".pdmodel" else {})
    image, outputs = _paddle_shapes(file) if file.suffix == ".pdmodel" else ([], [])
    _input_size(found, [length if length > 0 else None for length in image[2:4]] or [None, None], size)
    maps = [shape for shape in outputs if len(shape) == 4 and shape[1] > 1]
    found.entry["class_count"] = maps[0][1] if maps else 2
    if not maps:
        found.unknown["class_count"] = "the file does not say how many classes its class map has"
    if len(outputs) > 1:
        found.notes["class_count"] = f"of {len(outputs)} outputs the first is taken"
    if beside is None:
        found.entry["preprocessing"] = {"channel_order": "rgb", "scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3}
        found.unknown["preprocessing"] = f"there is no {' or '.join(DEPLOY_FILES)} beside the model"
    else:
        found.notes["kind"] = f"preprocessing is read from {beside}"
    return found


def _paddle_shapes(file: Path) -> tuple[list[int], list[list[int]]]:
    """Return the shapes of a Paddle program's input and of its outputs."""
    try:
        program = read_program(file.read_bytes())
    except Exception as error:  # Paddle has many classes of its own
        raise InputError(f"{file}: Paddle cannot read it: {one_line(str(error), 200)}") from None
    block = program.block(0)
    operators = [block.op(number) for number in range(block.op_size())]
    inputs = [op.output("Out")[0] for op in operators if op.type() == "feed"]
    outputs = [op.input("X")[0] for op in operators if op.type() == "fetch"]
    if len(inputs) != 1:
        raise InputError(f"{file}: has {len(inputs)} inputs; a segmentation network has one, the image")
    image, *maps = (list(block.find_var(name.encode()).shape()) for name in (*inputs, *outputs))
    return image, maps


def _of_paddleseg(name: str, file: Path, size: Size | None) -> Finding:
    """Read a configuration of PaddleSeg. The workflow reads network, classes and preprocessing from it."""
    read_network(file)  # raises where it is none
    weights = [path for folder in (file.parent, Path("output/best_model")) for path in folder.glob("*.pdparams")]
    path = str(weights[0].resolve()) if weights else "output/best_model/model.pdparams"
    found = Finding(name, {"kind": "paddleseg", "config": str(file.resolve()), "weights": {"path": path}})
    if len(weights) != 1:
        found.unknown["weights"] = f"{len(weights)} files *.pdparams were found; give the trained weights"
    _input_size(found, [None, None], size)
    found.unknown["input"] = "the configuration fixes no size: give that of your images"
    return found
