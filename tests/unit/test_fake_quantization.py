"""Quantisation-aware training rounds as the deployed network does, and the committed network of it segments streets."""

from __future__ import annotations

import json
import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import paddle
import pytest
import train_demo
import yaml
from make_demo_set import make_demo_set
from quantize_demo import quantize_demo
from segbench.files import sha256_of
from segbench.images.normalize import Normalizer
from segbench.models import architectures
from segbench.models.fake_quantization import WEIGHT_LEVELS, fake_quantize, rounded, rounded_weight
from segbench.models.narrow import build_narrow, save_arrays
from segbench.models.onnx_operators import quantized_operators
from segbench.scoring.confusion import confusion_matrix, scores

ROOT = Path(__file__).parents[2]
ENTRY = yaml.safe_load((ROOT / "config/models.yaml").read_text())["model_catalogue"]["gcnet_demo_qat"]


@pytest.fixture(scope="module")
def streets(tmp_path_factory: Any) -> Path:
    folder: Path = tmp_path_factory.mktemp("streets")
    make_demo_set(folder, 256, 512, {"train": 2, "val": 2}, seed=0, jobs=1)
    return folder


def test_activations_have_256_levels_with_zero_and_gradients_where_nothing_is_cut_off():
    x = paddle.linspace(-2, 5, 4001)
    x.stop_gradient = False
    found = rounded(x, -1.0, 3.0)
    found.sum().backward()
    levels = np.unique(found.numpy())
    assert len(levels) == 256 and 0 in levels
    inside = (x.numpy() > levels[0]) & (x.numpy() < levels[-1])
    assert np.array_equal(x.grad.numpy() == 1, inside) and (x.grad.numpy()[~inside] == 0).all()
    assert np.abs(found.numpy() - x.numpy())[inside].max() <= 4 / 255 / 2 + 1e-6


def test_weights_are_rounded_as_onnx_runtimes_quantiser_does():
    from onnxruntime.quantization.quant_utils import QuantType, quantize_data

    weight = np.random.default_rng(0).normal(size=(5, 3, 3, 3)).astype(np.float32)
    found = rounded_weight(paddle.to_tensor(weight)).numpy()
    for one, mine in zip(weight, found, strict=True):
        zero, scale, integers = quantize_data(one, QuantType.QInt8.tensor_type, True, reduce_range=True)[-3:]
        assert int(zero) == 0 and np.abs(integers).max() == WEIGHT_LEVELS
        assert np.allclose(integers * scale, mine, atol=1e-6)


def test_rounded_network_keeps_the_names_of_its_weights_and_nearly_its_output():
    paddle.seed(0)
    layer = build_narrow("gcnet", 19)
    layer.eval()
    image = paddle.randn([1, 3, 32, 64])
    names, before = list(layer.state_dict()), layer(image)[0].numpy()
    fake_quantize(layer)
    after = layer(image)[0].numpy()
    assert list(layer.state_dict()) == names
    assert 0 < np.abs(after - before).mean() < 0.1 * np.abs(before).mean()


def test_training_goes_on_from_weights_with_the_rounding_in_place(streets, tmp_path):
    save_arrays(build_narrow("gcnet", 19), tmp_path / "start.npz")
    plan = train_demo.Plan("gcnet", 1, 1, (32, 64), 0, 1e-3, fake_quantization=True)
    out = tmp_path / "out"
    out.mkdir()
    train_demo.train(
        plan, streets, out, config=None, init=None, checkpoint_every=9, val_every=9, fine_tune=tmp_path / "start.npz"
    )
    record = json.loads((out / "training.json").read_text())
    assert record["plan"]["fake_quantization"] and record["init_sha256"] == sha256_of(tmp_path / "start.npz")
    quantize_demo("gcnet", out / "weights.npz", streets, (256, 512), tmp_path / "model.onnx")
    made = onnx.load(str(tmp_path / "model.onnx"))
    assert quantized_operators(made)["QuantizeLinear"] > 20
    assert [dim.dim_value for dim in made.graph.output[0].type.tensor_type.shape.dim] == [1, 19, 256, 512]


def test_committed_network_segments_streets_that_it_has_not_seen(streets):
    import onnxruntime

    path = ROOT / ENTRY["weights"]["path"]
    assert sha256_of(path) == ENTRY["weights"]["sha256"] and ENTRY["float_model"] == "gcnet_demo"
    record = json.loads(path.with_suffix(".json").read_text())
    session, matrix = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]), 0
    split = train_demo.Split(streets, "val")
    for number in range(len(split)):
        image, label = split[number]
        given = Normalizer(architectures.DEMO_PREPROCESSING, *label.shape)(image)
        predicted = session.run(None, {session.get_inputs()[0].name: given})[0][0].argmax(0).astype(np.uint8)
        matrix = matrix + confusion_matrix(label, predicted, 19, 255)
    miou = scores(matrix).miou
    assert miou is not None and miou >= 0.75 * record["val_miou"]  # two images of its hundred
