"""A network comes from PaddleSeg's configuration and its checkpoint, built by PaddleSeg, downloading nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538
from pathlib import Path
from typing import Any

import export_paddle
import numpy as np
import paddle
import paddleseg
import pytest
from helpers.paddle_made import agreement, run_paddle, street_images
from paddleseg.cvlibs import Config, SegBuilder
from segbench.errors import InputError
from segbench.models import architectures, onnx_twin, paddleseg_network
from segbench.models.paddle_files import has_loop
from segbench.models.settings import complete

SCRIPTS = Path(export_paddle.__file__).parent
HEIGHT, WIDTH = 64, 96
CONFIG = """
batch_size: 2
iters: 1
train_dataset: {type: Dataset, num_classes: 5, dataset_root: nowhere, transforms: [{type: Normalize}], mode: train}
val_dataset: {type: Dataset, num_classes: 5, dataset_root: nowhere, transforms: [{type: Normalize}], mode: val}
optimizer: {type: SGD}
lr_scheduler: {type: PolynomialDecay, learning_rate: 0.1}
loss: {types: [{type: CrossEntropyLoss}], coef: [1]}
"""


def entry(folder: Path, model: str, **other: Any) -> dict[str, Any]:
    """The complete entry of a configuration with this `model` section."""
    (folder / "model.yml").write_text(f"{CONFIG}model: {model}\n")
    given = {
        "kind": "paddleseg",
        "config": str(folder / "model.yml"),
        "architecture": None,
        "weights": "random",
        "input": {"height": HEIGHT, "width": WIDTH},
        "class_count": None,
        "class_map": None,
        "output": None,
        "preprocessing": {},
        "package": None,
        **other,
    }
    return complete("mine", given, folder / "model.yml")[0]


def export(folder: Path, given: dict[str, Any], checkpoint: Path | None = None) -> tuple[Path, list[str]]:
    pdmodel = folder / "out" / "model.pdmodel"
    _, notes = export_paddle.export("mine", given, checkpoint, pdmodel, pdmodel.with_suffix(".pdiparams"))
    return pdmodel, notes


def test_configuration_and_checkpoint_give_paddlesegs_class_map(tmp_path: Path) -> None:
    given = entry(tmp_path, "{type: FastSCNN, enable_auxiliary_loss: true, pretrained: null}")
    theirs = SegBuilder(Config(str(tmp_path / "model.yml"))).model
    architectures.randomise(theirs.eval() or theirs, 5, (2, 3, HEIGHT, WIDTH))
    paddle.save(theirs.state_dict(), str(tmp_path / "model.pdparams"))
    given["weights"] = {"path": "model.pdparams", "url": None, "sha256": None}
    images = street_images(HEIGHT, WIDTH)
    with paddle.no_grad():
        outputs = [theirs(paddle.to_tensor(image)) for image in images]
    assert len(outputs[0]) == 2
    for number in (0, 1):
        wanted = [one[number].numpy().argmax(1).astype(np.uint8) for one in outputs]
        pdmodel, notes = export(tmp_path, {**given, "output": number or None}, tmp_path / "model.pdparams")
        assert agreement(run_paddle(pdmodel, images), wanted) >= 0.9995
        assert notes == (["the network has 2 outputs, of which output 1 is taken"] if number else [])
    for output, said in ((2, "output: 2, but the network has 2 outputs; 0 is the first"), ("x", "have numbers only")):
        with pytest.raises(InputError, match=said):
            export(tmp_path, {**given, "output": output}, tmp_path / "model.pdparams")


def test_backbone_that_reads_a_pretrained_file_is_built_without_one(tmp_path: Path) -> None:
    vit = (
        "{type: VisionTransformer, img_size: 64, embed_dim: 24, depth: 2, num_heads: 2, pretrained: 'https://x.org/a'}"
    )
    given = entry(tmp_path, f"{{type: LinearSegmenter, backbone: {vit}}}", input={"height": 64, "width": 64})
    pdmodel, _ = export(tmp_path, given)
    assert run_paddle(pdmodel, street_images(64, 64, 1))[0].shape == (1, 64, 64)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            "{type: Nonesuch}",
            "config: PaddleSeg 2.8.0 has no network 'Nonesuch'; name a clone of PaddleSeg that has it",
        ),
        ("{type: ANN, backbone: {type: Adam}}", "config: PaddleSeg 2.8.0 has no network 'Adam'; name a clone"),
        ("{type: ENet, depth: 99}", "config: PaddleSeg 2.8.0 cannot build its network: "),
        ("{type: FCN, backbone: {type: HRNet_W18, in_channels: 1}}", "config: its network takes images of 1 channels"),
    ],
)
def test_network_that_paddleseg_cannot_build_is_named(tmp_path: Path, model: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        export(tmp_path, entry(tmp_path, model))
    assert str(caught.value).startswith(f"model_catalogue.mine.{said}") and "\n" not in str(caught.value)


class Halves(paddle.nn.Layer):
    """As ESPNet of 2.8.0: a loop that ends when a size is reached."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.body = paddle.nn.Conv2D(3, num_classes, 3, padding=1)

    def forward(self, image: Any) -> Any:
        logits = small = self.body(image)
        rows = paddle.shape(small)[2]
        while rows != 16:
            small = paddle.nn.functional.avg_pool2d(small, 2)
            rows = paddle.shape(small)[2]
        return [logits + paddle.nn.functional.interpolate(small, image.shape[2:])]


class Reshapes(Halves):
    """As CAE of 2.8.0: a size that Paddle takes for an unknown one, before a layer that wants to know it."""

    def forward(self, image: Any) -> Any:
        size = paddle.shape(image)
        return [self.body(paddle.flatten(image, 2).reshape([size[0], size[1], size[2], size[3]]))]


class Exits(Halves):
    """As UPerNetViTAdapter, where its operator is not compiled."""

    def forward(self, image: Any) -> Any:
        if not paddle.in_dynamic_mode():
            sys.exit(0)
        return [self.body(image)]


for network in (Halves, Reshapes, Exits):
    paddleseg.cvlibs.manager.MODELS.add_component(network)


@pytest.mark.parametrize("network", [Halves, Reshapes])
def test_sizes_are_numbers_where_paddle_cannot_do_without(tmp_path: Path, network: type) -> None:
    pdmodel, notes = export(tmp_path, entry(tmp_path, f"{{type: {network.__name__}}}"))
    assert notes == [] and not has_loop(pdmodel.read_bytes())
    layer = architectures.build(entry(tmp_path, f"{{type: {network.__name__}}}"), HEIGHT, WIDTH)
    images = street_images(HEIGHT, WIDTH)
    with paddle.no_grad():
        wanted = [layer(paddle.to_tensor(image))[0].numpy().argmax(1).astype(np.uint8) for image in images]
    assert agreement(run_paddle(pdmodel, images), wanted) >= 0.9995
    onnx_twin.make_twin(pdmodel, pdmodel.with_suffix(".pdiparams"))


def test_network_that_ends_the_process_at_tracing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="config: its network cannot be exported: it ends the process"):
        export(tmp_path, entry(tmp_path, "{type: Exits}"))


def test_last_words_say_what_is_wrong() -> None:
    said = (
        "In transformed code:\n  (InvalidArgument) no size\n  [Hint: none] (at a.cc:1)\n  [operator < concat > error]"
    )
    assert paddleseg_network.last_words(ValueError(said)) == "(InvalidArgument) no size"


def test_configuration_gives_widths_that_paddlesegs_names_fix(tmp_path: Path) -> None:
    heads = "arm_out_chs: [8], seg_head_inter_chs: [8], cm_out_ch: 8"
    narrow = f"{{type: PPLiteSeg, backbone: {{type: STDCNet, base: 8, layers: [1, 1, 1]}}, {heads}}}"
    assert architectures.build(entry(tmp_path, narrow), HEIGHT, WIDTH).backbone.feat_channels == [4, 8, 32, 64, 128]
    two_branches = "{type: NarrowBiSeNetV2, detail_channels: [8, 8, 16], semantic_channels: [4, 8, 8, 12]}"
    with pytest.raises(InputError, match="end in 16 and semantic_channels in 12; they are multiplied"):
        architectures.build(entry(tmp_path, two_branches), HEIGHT, WIDTH)


CLONE = """
from skimage import measure, morphology  # as newer PaddleSegs do, for a network that has no classes
import paddle
from paddleseg.cvlibs import manager

@manager.MODELS.add_component
class OfTheClone(paddle.nn.Layer):
    def __init__(self, num_classes, pretrained=None):
        super().__init__()
        assert pretrained is None
        convolution = paddle.nn.Conv2D(3, num_classes, 3, padding=1)
        self.body = paddle.nn.Sequential(convolution, paddle.nn.SyncBatchNorm(num_classes))

    def forward(self, x):
        return [self.body(x)]
"""


def test_network_that_paddleseg_cannot_run_is_named(tmp_path: Path) -> None:
    """PaddleSeg 2.8.0's PointRend concatenates numbers, which Paddle 2.6 refuses."""
    parts = "backbone: {type: ResNet18_vd, output_stride: 8}, backbone_indices: [0, 1, 2, 3]"
    given = entry(tmp_path, f"{{type: PointRend, {parts}, fpn_inplanes: [64, 128, 256, 512]}}")
    with pytest.raises(InputError, match=r"^config: PaddleSeg 2.8.0 cannot run its network: .*axis is expected"):
        architectures.build(given, HEIGHT, WIDTH)


def test_network_that_ends_the_process_is_named() -> None:
    """PaddleSeg's UPerNetViTAdapter does so where its operator is not compiled."""
    with pytest.raises(InputError, match="cannot run its network: it ends the process"), paddleseg_network.running():
        sys.exit()


def test_clone_of_paddleseg_has_what_the_package_lacks_and_runs_on_the_cpu(tmp_path: Path) -> None:
    clone = tmp_path / "PaddleSeg"
    shutil.copytree(Path(paddleseg.__file__).parent, clone / "paddleseg", ignore=shutil.ignore_patterns("__pycache__"))
    (clone / "paddleseg" / "models" / "of_the_clone.py").write_text(CLONE)
    with (clone / "paddleseg" / "models" / "__init__.py").open("a") as stream:
        stream.write("\nfrom .of_the_clone import *\n")
    given = entry(tmp_path, "{type: OfTheClone, pretrained: 'https://example.org/a.pdparams'}", package=str(clone))
    out = tmp_path / "mine"
    files = ["--pdmodel", out / "model.pdmodel", "--pdiparams", out / "model.pdiparams", "--json", out / "model.json"]
    command = [sys.executable, SCRIPTS / "export_paddle.py", "--model", "mine", "--entry", json.dumps(given), *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (class_map,) = run_paddle(out / "model.pdmodel", street_images(HEIGHT, WIDTH, 1))
    assert class_map.shape == (1, HEIGHT, WIDTH) and len(np.unique(class_map)) > 1
    assert b"sync_batch_norm\x12" not in (out / "model.pdmodel").read_bytes()
    with pytest.raises(InputError, match=r"package: .*: has no paddleseg/__init__.py; a clone of PaddleSeg is wanted"):
        paddleseg_network.build(given["network"], 5, str(tmp_path))
