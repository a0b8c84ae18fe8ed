"""Print the configuration that fits a model's file, a folder of images and labels, or both.

    python tools/inspect_input.py net.onnx data/streets > mine.yaml
    snakemake --configfile mine.yaml

What no file says is marked with `# ?`: look at these lines. `--try` runs one image and writes a picture of it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow_scripts"), str(ROOT)]

import cv2
import export_onnx_model
import export_paddle
import numpy as np
import yaml
from segbench.calibration.mixed_precision import Predict
from segbench.config.schema import Dataset, Model
from segbench.datasets import base
from segbench.datasets.base import Pair
from segbench.engines import paddle
from segbench.engines.base import run_once
from segbench.errors import InputError
from segbench.images.colours import palette
from segbench.images.labels import read_label
from segbench.images.normalize import Normalizer, resize_class_map
from segbench.images.pictures import train_ids
from segbench.images.read import read_image
from segbench.models.paddleseg_files import deploy_file
from segbench.models.settings import complete
from segbench.runtimes import onnxruntime

from tools.inspect_data import inspect_data, pairs_of, sizes_of
from tools.inspect_model import Finding, Size, inspect_model, is_model

VARIANTS = {
    "onnx": ["onnxruntime-fp32", "openvino-fp32"],
    "huggingface": ["onnxruntime-fp32", "openvino-fp32"],
    "paddle_inference": ["paddle-fp32", "onnxruntime-fp32", "openvino-fp32"],
    "paddleseg": ["paddle-fp32", "onnxruntime-fp32", "openvino-fp32"],
}
QUANTIZED = {  # of a model that computes in 8 bits already
    "onnx": ["onnxruntime-int8-model", "openvino-int8-model"],
    "paddle_inference": ["paddle_onednn-int8-model"],
}
MARK = "?"  # before what a person has to check
Picture = np.ndarray[Any, np.dtype[np.uint8]]


def inspect_input(paths: list[Path]) -> tuple[Finding | None, Finding | None]:
    """Return what is found of the model and of the data among `paths`. Raises InputError for another path."""
    models = [path for path in paths if is_model(path)]
    folders = [path for path in paths if path not in models]
    if missing := next((path for path in folders if not path.is_dir()), None):
        raise InputError(f"{missing}: is neither a model's file nor a folder of images")
    if max(len(models), len(folders)) > 1:
        raise InputError(f"{', '.join(map(str, paths))}: give one model, one folder of images, or one of each")
    model = inspect_model(models[0]) if models else None
    known = model is not None and not model.shares  # else the labels say whether the background has a channel
    count = model.entry.get("class_count") if model and known else None
    data = inspect_data(folders[0], count, model.classes if model else None) if folders else None
    if model and data:
        sizes = sizes_of(pairs_of(data))
        if model.any_size:
            model = inspect_model(models[0], sizes.most_common(1)[0][0])
            model.unknown["input"] = (
                f"the file takes any size: this is that of {'most' if len(sizes) > 1 else 'the'} images"
            )
        _fit(model, data, set(sizes))
    return model, data


def _fit(model: Finding, data: Finding, sizes: set[Size]) -> None:
    """Set what model and data say only together: resizing, and outputs that are no class."""
    size = model.entry["input"]["height"], model.entry["input"]["width"]
    if sizes != {size} and not model.resizes:
        model.entry["preprocessing"] = {**model.entry.get("preprocessing", {}), "resize": "stretch"}
        shown = ", ".join(f"{height}×{width}" for height, width in sorted(sizes)[:3])
        model.unknown.setdefault("preprocessing", f"images of {shown} are stretched to the input's size")
    classes, count = len(_classes_of(data)), model.entry.get("class_count", 0)
    if count > classes:
        model.entry["class_map"] = [*range(classes), *[255] * (count - classes)]
        model.unknown["class_map"] = f"{count} outputs for {classes} classes: give the class of each, 255 for none"
    elif count and model.shares and count + 1 == classes:
        model.entry |= {"class_count": classes, "output_kind": "sigmoid"}
        model.unknown["class_count"] = f"{count} shares for {classes} classes: the first is where none is above 0.5"
    elif count and count < classes:
        model.unknown["class_count"] = f"the labels have {classes} classes, the network {count} outputs"


def _classes_of(data: Finding) -> list[str]:
    if "classes" in data.entry:
        return list(data.entry["classes"])
    split = data.entry.get("split", "val")
    return base.load(data.entry["kind"]).facts(Path(data.entry["root"]), split, data.entry).classes


def configuration(model: Finding | None, data: Finding | None) -> str:
    """Return the configuration as YAML, with a comment where a key needs one."""
    lines = []
    if model and data:
        lines += [f"dataset: {data.name}", f"models: [{model.name}]"]
        variants = (QUANTIZED if model.quantized else VARIANTS)[model.entry["kind"]]
        lines += [f"variants: [{', '.join(variants)}]"]
    for title, found in (("model_catalogue", model), ("dataset_catalogue", data)):
        if found:
            lines += [f"{title}:", f"  {found.name}:", *(f"    {line}" for line in _entry(found))]
    return "\n".join(lines) + "\n"


def _entry(found: Finding) -> list[str]:
    lines = []
    for key, value in found.entry.items():
        written = yaml.safe_dump(
            {key: value}, default_flow_style=True, width=10**9, allow_unicode=True, sort_keys=False
        )
        line = written.strip().removeprefix("{").removesuffix("}")
        said = [f"{MARK} {found.unknown[key]}"] if key in found.unknown else []
        said += [found.notes[key]] if key in found.notes else []
        lines.append(f"{line} # {'; '.join(said)}" if said else line)
    return lines


def try_out(model: Finding | None, data: Finding | None, image: Path | None) -> tuple[Picture, list[str]]:
    """Return a picture of the image, its label and what the network makes of it, and the same in sentences.

    Without `image`, the first image of the data is taken. Raises InputError where there is none.
    """
    pair = _pair(data, image)
    pixels = read_image(pair.image)
    classes = _classes_of(data) if data else model.classes if model else []
    shown, said = [pixels], [f"{pair.image}: {pixels.shape[0]}×{pixels.shape[1]}"]
    label = None
    if data and pair.label is not None:
        facts = _facts(data)
        label = read_label(pair.label, facts.id_map)
        shown.append(palette(classes)[:, ::-1][label])
        said.append(f"label: {_shares(label, classes, facts.ignore_index)}")
    if model:
        predicted = _run(model, pixels, classes)
        shown.append(palette(classes or [""] * model.entry["class_count"])[:, ::-1][predicted])
        said.append(f"predicted: {_shares(predicted, classes, 255)}")
        if (
            label is not None
            and label.shape == predicted.shape
            and (scored := label != _facts(data).ignore_index).any()
        ):
            right = float((predicted == label)[scored].mean())
            said.append(f"{right:.1%} of the labelled pixels are predicted as labelled")
            if right <= np.unique(label[scored], return_counts=True)[1].max() / scored.sum():
                said.append("that is no better than one class everywhere: check preprocessing and the order of classes")
    size = max(round(640 * pixels.shape[0] / pixels.shape[1]), 1)
    return np.hstack([cv2.resize(one, (640, size), interpolation=cv2.INTER_NEAREST) for one in shown]), said


def _pair(data: Finding | None, image: Path | None) -> Pair:
    pairs = pairs_of(data) if data else []
    if image is None and not pairs:
        raise InputError("--try: give an image (--try IMAGE) or a folder of images")
    if image is None:
        return pairs[0]
    return next((pair for pair in pairs if pair.image.resolve() == image.resolve()), Pair("image", image, None))


def _facts(data: Finding | None) -> base.Facts:
    assert data is not None
    entry = {**Dataset.model_validate(data.entry).model_dump(mode="json"), "name": data.name}
    return base.load(data.entry["kind"]).facts(Path(data.entry["root"]), entry["split"], entry)


def _run(model: Finding, pixels: Picture, classes: list[str]) -> Picture:
    """Return the class map of the image, of its size, as the workflow's export and reference engine make it."""
    entry = Model.model_validate(model.entry).model_dump(mode="json")
    entry["preprocessing"]["resize"] = "stretch"
    with tempfile.TemporaryDirectory() as folder:
        entry, run = _of_onnx(model, entry) if entry["kind"] == "onnx" else _of_paddle(model, entry, Path(folder))
        size = entry["input"]["height"], entry["input"]["width"]
        raw = run(Normalizer(entry["preprocessing"], *size)(pixels))
    dataset = {"classes": classes or [""] * entry["class_count"], "ignore_index": 255}
    return resize_class_map(train_ids(raw, entry, dataset), *pixels.shape[:2])


def _of_onnx(model: Finding, entry: dict[str, Any]) -> tuple[dict[str, Any], Predict]:
    """Return the entry as the export completes it, and the exported model in ONNX Runtime."""
    exported, facts = export_onnx_model.export(model.name, entry, Path(entry["weights"]["path"]))
    return {**entry, **facts}, onnxruntime.class_maps(exported.SerializeToString())


def _of_paddle(model: Finding, entry: dict[str, Any], folder: Path) -> tuple[dict[str, Any], Predict]:
    """Return the entry as its own files complete it, and the model that is exported to `folder` in native Paddle."""
    weights = Path(entry["weights"]["path"])
    if weights.suffix == ".json":
        raise InputError(f"--try: {weights.name} is of Paddle 3, which has an interpreter of its own: run the workflow")
    if not weights.is_file():
        raise InputError(f"--try: {weights}: no such file")
    settings = Path(entry["config"]) if entry["config"] else deploy_file(weights)
    entry, _ = complete(model.name, entry, settings)
    program = folder / "model.pdmodel"
    export_paddle.export(model.name, entry, weights, program, program.with_suffix(".pdiparams"))
    return entry, partial(run_once, paddle.native_session(program, 0, paddle.RunOptions()))


def _shares(class_map: Picture, classes: list[str], ignored: int) -> str:
    """Say which classes a map has, and how much of each."""
    numbers, pixels = np.unique(class_map, return_counts=True)
    names = ["ignored" if n == ignored else classes[n] if n < len(classes) else f"class {n}" for n in numbers]
    return ", ".join(
        f"{name} {count / class_map.size:.0%}" for count, name in sorted(zip(pixels, names, strict=True), reverse=True)
    )


def main() -> None:
    """Parse the command line, print, and try."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="FILE_OR_FOLDER", help="a model, images with labels, or both"
    )
    parser.add_argument(
        "--try", dest="image", nargs="?", type=Path, const=Path(), help="run one image: this, or the first"
    )
    parser.add_argument("--picture", type=Path, default=Path("try.png"), help="where --try writes its picture")
    args = parser.parse_args()
    try:
        model, data = inspect_input(args.paths)
        print(configuration(model, data), end="")
        if args.image is not None:
            picture, said = try_out(model, data, args.image if args.image.name else None)
            args.picture.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
            print(*said, f"wrote {args.picture}", sep="\n", file=sys.stderr)
    except InputError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
