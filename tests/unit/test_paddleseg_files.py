"""PaddleSeg's configurations and deploy.yaml are read as PaddleSeg reads them, or refused by name."""

from __future__ import annotations

import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import paddleseg.transforms
import pytest
import yaml
from paddleseg.cvlibs import manager
from paddleseg.cvlibs.config import parse_from_yaml
from segbench.config.resizing import Resizing
from segbench.errors import InputError
from segbench.images.normalize import Normalizer
from segbench.models import paddleseg_files
from segbench.models.settings import complete
from segbench.planning.models import Models

BASE = """
train_dataset: {type: Cityscapes, transforms: [{type: Normalize}]}
val_dataset: {type: Cityscapes, transforms: [{type: Normalize}], mode: val}
optimizer: {type: SGD, momentum: 0.9}
"""
MODEL = """
_base_: base/cityscapes.yml
optimizer: {_inherited_: false, type: AdamW}
val_dataset: {transforms: [{type: Normalize, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}]}
model:
  type: PPLiteSeg
  pretrained: https://example.org/whole.pdparams
  backbone: {type: STDC1, pretrained: https://example.org/backbone.tar.gz}
"""
SIZE = (32, 64)


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write the files; returns the first."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder / next(iter(files))


def chain(folder: Path, model: str = MODEL) -> Path:
    return write(
        folder, {"model.yml": model, "base/cityscapes.yml": "_base_: [more.yml]" + BASE, "base/more.yml": "a: 1"}
    )


def test_chain_of_files_is_merged_as_paddleseg_does_it(tmp_path: Path) -> None:
    path = chain(tmp_path)
    assert paddleseg_files._merged(path, ()) == parse_from_yaml(str(path))
    names = [file.relative_to(tmp_path).as_posix() for file in paddleseg_files.files_of(path)]
    assert names == ["model.yml", "base/cityscapes.yml", "base/../base/more.yml".replace("base/../", "")]


def test_network_has_nothing_to_download(tmp_path: Path) -> None:
    network = paddleseg_files.read_network(chain(tmp_path))
    backbone = {"type": "STDC1", "pretrained": None}
    assert network.section == {"type": "PPLiteSeg", "pretrained": None, "backbone": backbone}
    assert (network.class_count, network.dataset, network.notes) == (None, "Cityscapes", [])


def test_what_evaluation_adds_is_noted(tmp_path: Path) -> None:
    asked = "test_config: {is_slide: true, crop_size: [769, 769], aug_eval: true, scales: 0.5, flip_horizontal: true}\n"
    notes = paddleseg_files.read_network(chain(tmp_path, MODEL + asked)).notes
    assert notes == [
        "model.yml asks for a sliding window without its crop_size and stride (test_config), which is not done",
        "model.yml asks for images scaled by 0.5 (test_config), which is not done",
        "model.yml asks for flipped images (test_config), which is not done",
    ]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.yml": "_base_: gone.yml\nmodel: {type: UNet}"}, "gone.yml: no such file"),
        ({"a.yml": "_base_: b.yml", "b.yml": "_base_: a.yml"}, "a.yml: inherits from itself (_base_)"),
        ({"a.yml": "model: {num_classes: 2}"}, "a.yml: has no section model with a type; a configuration of PaddleSeg"),
        ({"a.yml": "- 1"}, "a.yml: holds no keys; a configuration of PaddleSeg is wanted"),
        ({"a.yml": "model: !!python/object:os.system {}"}, "a.yml: is no plain YAML ("),
        (
            {"a.yml": "model: {type: UNet, num_classes: 2}\ntrain_dataset: {type: Dataset, num_classes: 3}"},
            "a.yml: num_classes is 2 and 3 in different sections",
        ),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, files: dict[str, str], said: str) -> None:
    path = write(tmp_path, files)
    assert paddleseg_files.files_of(path)  # planning reads it without an error
    with pytest.raises(InputError) as caught:
        paddleseg_files.read_network(path)
    assert said in str(caught.value) and "\n" not in str(caught.value)


TRANSFORMS: dict[str, tuple[list[dict[str, Any]], tuple[int, int]]] = {
    "default": ([{"type": "Normalize"}], SIZE),
    "one value for all channels": ([{"type": "Normalize", "mean": [0.1], "std": [0.2]}], SIZE),
    "ImageNet": ([{"type": "Normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}], SIZE),
    "none": ([], SIZE),
    "stretched": ([{"type": "Resize", "target_size": [64, 32]}, {"type": "Normalize"}], (40, 70)),
    "stretched to a multiple": (
        [{"type": "Resize", "target_size": [60, 30], "size_divisor": 32}, {"type": "Normalize"}],
        (40, 70),
    ),
    "both sides bounded": (
        [{"type": "Resize", "target_size": [70, 32], "keep_ratio": True, "size_divisor": 32}, {"type": "Normalize"}],
        (50, 99),
    ),
    "short side, padded": (
        [
            {"type": "ResizeByShort", "short_size": 30, "max_size": 64},
            {"type": "Padding", "target_size": [64, 32], "im_padding_value": 3.0},
            {"type": "Normalize", "mean": [0.1], "std": [0.2]},
        ],
        (40, 70),
    ),
    "long side limited": (
        [
            {"type": "LimitLong", "max_long": 60},
            {"type": "Padding", "target_size": [64, 32]},
            {"type": "Normalize"},
        ],
        (31, 61),
    ),
    "of the size already": (
        [
            {"type": "Resize", "target_size": [512, 32], "keep_ratio": True},
            {"type": "ResizeByShort", "short_size": 32},
            {"type": "ResizeByLong", "long_size": 64},
            {"type": "Padding", "target_size": [64, 32]},
            {"type": "Normalize"},
        ],
        SIZE,
    ),
}


SETTINGS = {
    "stretched": "stretch",
    "stretched to a multiple": "stretch",
    "both sides bounded": Resizing("short_side", 32, 70, divisor=32)._asdict(),
    "short side, padded": Resizing("short_side", 30, 64, pad_value=3.0)._asdict(),
    "long side limited": Resizing("long_side", 60, enlarge=False, pad_value=127.5)._asdict(),
    "of the size already": Resizing("short_side", 32, 512)._asdict(),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_become_preprocessing_that_does_the_same(name: str) -> None:
    transforms, size = TRANSFORMS[name]
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    found = paddleseg_files.preprocessing(transforms, Path("deploy.yaml"), SIZE)
    theirs = [manager.TRANSFORMS[one["type"]](**{k: v for k, v in one.items() if k != "type"}) for one in transforms]
    wanted = paddleseg.transforms.Compose(theirs)({"img": image.astype(np.float32)})["img"]
    made = Normalizer(found, *SIZE)(image)[0]
    step = found["scale"] / min(
        found["std"]
    )  # of one grey value: a stretched image is rounded to 8 bits, by OpenCV's own rule
    assert found["resize"] == SETTINGS.get(name, "none")
    assert np.abs(made - wanted).max() <= (1.01 * step if size != SIZE else 1e-6)


@pytest.mark.parametrize(
    ("transforms", "said"),
    [
        (
            [{"type": "Resize", "target_size": [512, 512]}],
            "Resize (target_size: [512, 512]): makes 512×512 of an image",
        ),
        (
            [{"type": "ResizeByShort", "short_size": 32}, {"type": "ResizeByLong", "long_size": 32}],
            "ResizeByLong (long_size: 32): makes 16×32 of an image of 32×64 (height×width)",
        ),
        ([{"type": "Resize", "target_size": [64, 32], "interp": "RANDOM"}], "cannot be done; give preprocessing ("),
        ([{"type": "LimitLong", "max_long": 64, "min_long": 32}], "its arguments are not PaddleSeg's"),
        ([{"type": "Padding", "target_size": [2049, 1025]}], "makes 1025×2049 of an image of 32×64"),
        ([{"type": "Normalize"}, {"type": "Padding", "target_size": [65, 33]}], "transform Normalize: cannot be done"),
        ([{"type": "Normalize"}, {"type": "Normalize"}], "transform Normalize: cannot be done; give preprocessing ("),
        ([{"type": "RandomBlur", "prob": 1}], "transform RandomBlur (prob: 1): cannot be done; give preprocessing ("),
        ([{"type": "Normalize", "std": [0, 1, 1]}], "its arguments are not PaddleSeg's"),
        ([{"type": "Normalize", "mean": [0, 1]}], "its arguments are not PaddleSeg's"),
        ([{"type": "Padding"}], "its arguments are not PaddleSeg's"),
        ([{"type": "Resize", "target_size": 512}], "its arguments are not PaddleSeg's"),
        (None, "has no list of transforms for validation images; give preprocessing ("),
        ([{"mean": 1}], "has no list of transforms for validation images; give preprocessing ("),
    ],
)
def test_other_transforms_are_refused_with_the_key_to_set(transforms: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        paddleseg_files.preprocessing(transforms, Path("deploy.yaml"), SIZE)
    assert str(caught.value).startswith("deploy.yaml: ") and said in str(caught.value)
    assert "give preprocessing (mean, std, resize)" in str(caught.value)


def entry(kind: str, given: dict[str, Any] | None = None, **other: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "input": {"height": SIZE[0], "width": SIZE[1]},
        "class_count": 19,
        "preprocessing": given or {},
        "package": None,
        **other,
    }


def test_deploy_file_completes_preprocessing_and_the_entry_goes_before_it(tmp_path: Path) -> None:
    path = tmp_path / "deploy.yaml"
    normalize = {"type": "Normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    path.write_text(yaml.safe_dump({"Deploy": {"model": "model.pdmodel", "transforms": [normalize]}}))
    assert paddleseg_files.deploy_file(tmp_path / "model.pdmodel") == path
    found, _ = complete("mine", entry("paddle_inference"), path)
    assert found["preprocessing"] == {
        "channel_order": "rgb",
        "scale": 1 / 255,
        "mean": normalize["mean"],
        "std": normalize["std"],
        "resize": "none",
    }
    found, _ = complete("mine", entry("paddle_inference", {"resize": "stretch"}), path)
    assert found["preprocessing"]["resize"] == "stretch" and found["preprocessing"]["mean"] == normalize["mean"]
    path.write_text("Deploy: {transforms: [{type: Padding, target_size: [512, 512]}]}")
    with pytest.raises(InputError, match=r"^model_catalogue.mine.weights: .*deploy.yaml: transform Padding"):
        complete("mine", entry("paddle_inference"), path)
    own = {"mean": [0.0] * 3, "std": [1.0] * 3, "resize": "stretch"}
    found, _ = complete("mine", entry("paddle_inference", own), path)
    assert found["preprocessing"] == {"channel_order": "rgb", "scale": 1 / 255, **own}


def test_class_count_comes_from_the_file_or_from_paddlesegs_data_set(tmp_path: Path) -> None:
    path = chain(tmp_path)
    found, _ = complete("mine", entry("paddleseg", class_count=None), path)
    assert (found["class_count"], found["network"]["type"]) == (19, "PPLiteSeg")
    assert found["preprocessing"]["mean"] == [0.485, 0.456, 0.406]
    with pytest.raises(InputError, match=r"model.yml: has 19 classes, but the entry's class_count is 4; remove it$"):
        complete("mine", entry("paddleseg", class_count=4), path)
    said = "val_dataset: {type: Dataset, num_classes: 7, transforms: [{type: Normalize}]}\nmodel: {type: UNet}\n"
    path = write(tmp_path, {"own.yml": said})
    assert complete("mine", entry("paddleseg", class_count=None), path)[0]["class_count"] == 7
    path = write(tmp_path, {"own.yml": said.replace("num_classes: 7, ", "")})
    with pytest.raises(InputError, match=r"own.yml: says no num_classes; set class_count in the model's entry$"):
        complete("mine", entry("paddleseg", class_count=None), path)
    assert complete("mine", entry("paddleseg", class_count=5), path)[0]["class_count"] == 5


def test_window_of_the_inputs_size_slides_and_another_is_noted(tmp_path: Path) -> None:
    asked = "test_config: {is_slide: true, crop_size: [64, 32], stride: [43, 20]}\n"
    path = chain(tmp_path, MODEL + asked)
    found, notes = complete("mine", entry("paddleseg", class_count=None), path)
    assert found["preprocessing"]["window"] == {"stride": {"height": 20, "width": 43}} and notes == []
    own = {"stride": {"height": 8, "width": 8}}
    found, notes = complete("mine", entry("paddleseg", {"window": own}, class_count=None), path)
    assert found["preprocessing"]["window"] == own
    said = "model.yml asks for a sliding window of 32×64 (test_config, height×width), which is not done"
    found, notes = complete("mine", entry("paddleseg", {"window": None}, class_count=None), path)
    assert found["preprocessing"]["window"] is None and notes == [said]
    larger = entry("paddleseg", class_count=None) | {"input": {"height": 64, "width": 64}}
    found, notes = complete("mine", larger, path)
    assert "window" not in found["preprocessing"] and notes == [f"{said}; it is with an input of that size"]


def test_images_are_padded_or_slid_over_but_not_both(tmp_path: Path) -> None:
    sliding = paddleseg_files.Sliding(SIZE, (20, 43))
    padded = [{"type": "Padding", "target_size": [64, 32]}, {"type": "Normalize"}]
    with pytest.raises(InputError, match=r"^a.yml: transform Padding .*: cannot be done before a window slides; give"):
        paddleseg_files.complete({}, padded, Path("a.yml"), SIZE, sliding)
    assert "window" not in paddleseg_files.complete({}, padded, Path("a.yml"), (32, 64), None)


@pytest.mark.parametrize(
    ("transforms", "given", "resized"),
    [
        ([{"type": "Normalize"}], {}, False),
        ([{"type": "Normalize"}], {"window": {"stride": None}}, True),
        ([{"type": "Normalize"}], {"window": None}, False),
        ([{"type": "Padding", "target_size": [64, 32]}, {"type": "Normalize"}], {}, True),
        ([{"type": "Padding", "target_size": [64, 32]}, {"type": "Normalize"}], {"resize": "none"}, False),
        ([{"type": "RandomBlur"}], {}, False),  # its export says what is wrong
    ],
)
def test_planning_knows_from_the_file_whether_images_need_logits(
    tmp_path: Path, transforms: list[dict[str, Any]], given: dict[str, Any], resized: bool
) -> None:
    (tmp_path / "deploy.yaml").write_text(yaml.safe_dump({"Deploy": {"transforms": transforms}}))
    model = {**entry("paddle_inference", given), "config": None, "folder": None, "weights": {"path": "model.pdmodel"}}
    models = Models({"model_catalogue": {"mine": model}, "model_root": str(tmp_path)})
    assert models.may_resize(SimpleNamespace(model="mine")) is resized
