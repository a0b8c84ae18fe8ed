"""Networks of PaddleSeg configurations are trained on drawn streets, and the committed ones segment them."""

from __future__ import annotations

import json
import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import train_demo
import yaml
from make_demo_set import make_demo_set
from segbench.errors import InputError
from segbench.models import architectures
from segbench.models.checkpoint import read_arrays
from segbench.models.settings import complete

ROOT = Path(__file__).parents[2]
CATALOGUE = yaml.safe_load((ROOT / "config/models.yaml").read_text())["model_catalogue"]
OF_CONFIGS = [name for name, entry in CATALOGUE.items() if "config" in entry]
CONFIG = """
iters: 3
batch_size: 2
model:
  type: PPLiteSeg
  backbone: {type: STDCNet, base: 8, layers: [1, 1, 1]}
  cm_bin_sizes: [1]
  cm_out_ch: 8
  arm_out_chs: [8]
  seg_head_inter_chs: [8]
train_dataset: {type: Dataset, num_classes: 19}
val_dataset: {type: Dataset, num_classes: 19, transforms: [{type: Normalize}]}
lr_scheduler: {type: PolynomialDecay, learning_rate: 0.01}
loss: {types: [{type: CrossEntropyLoss}], coef: [1, 0.5, 0]}
"""


@pytest.fixture(scope="module")
def streets(tmp_path_factory: Any) -> Path:
    folder: Path = tmp_path_factory.mktemp("streets")
    make_demo_set(folder, 256, 512, {"train": 2, "val": 2}, seed=0, jobs=1)
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yml"
    path.write_text(CONFIG)
    return path


def layer_of(name: str) -> tuple[Any, dict[str, Any]]:
    """The network of a committed entry with its weights, and the entry."""
    given = {"architecture": None, "class_count": None, "preprocessing": {}, "package": None, **CATALOGUE[name]}
    entry = complete(name, given, ROOT / given["config"])[0]
    layer = architectures.build(entry, **entry["input"])
    architectures.load(layer, read_arrays(ROOT / entry["weights"]["path"]), name)
    return layer, entry


@pytest.mark.parametrize("name", OF_CONFIGS)
def test_committed_network_of_a_configuration_segments_streets_it_has_not_seen(name: str, streets: Path) -> None:
    layer, entry = layer_of(name)
    assert entry["preprocessing"] == architectures.DEMO_PREPROCESSING
    record = json.loads((ROOT / entry["weights"]["path"]).with_suffix(".json").read_text())
    assert record["weights_sha256"] == entry["weights"]["sha256"]
    miou = train_demo.evaluate(layer, train_demo.Split(streets, "val")).miou
    assert miou is not None and miou >= 0.75 * record["val_miou"]  # two images of its hundred


def test_configuration_says_how_its_network_is_trained(config: Path, streets: Path, tmp_path: Path) -> None:
    plan = train_demo.plan_of(config, (32, 64), seed=1)
    assert (plan.architecture, plan.iterations, plan.batch, plan.learning_rate) == ("mine", 3, 2, 0.01)
    assert plan.loss_weights == (1, 0.5, 0)
    train_demo.train(plan, streets, tmp_path, config=config, init=None, checkpoint_every=1, val_every=9)
    record = json.loads((tmp_path / "training.json").read_text())
    assert record["plan"]["loss_weights"] == [1, 0.5, 0] and 0 <= record["val_miou"] < 1
    trained, fresh = read_arrays(tmp_path / "weights.npz"), train_demo.build(plan, config).state_dict()
    assert trained.keys() == fresh.keys()


def test_auxiliary_output_of_weight_0_is_not_learned(config: Path, streets: Path) -> None:
    plan = train_demo.plan_of(config, (32, 64), seed=1)
    layer = train_demo.build(plan, config)
    before = {name: value.numpy().copy() for name, value in layer.named_parameters()}
    split, optimizer = train_demo.Split(streets, "train"), train_demo._optimizer(layer, plan)
    weights = train_demo.paddle.ones([19])
    train_demo._step(layer, optimizer, weights, split, plan, iteration=0)
    same = {name for name, value in layer.named_parameters() if (value.numpy() == before[name]).all()}
    heads = [f"seg_heads.{number}.conv_out.weight" for number in range(3)]
    assert [name in same for name in heads] == [False, False, True]
    with pytest.raises(InputError, match=r"loss\.coef: has 2 weights, but the network 3 outputs"):
        train_demo._step(layer, optimizer, weights, split, replace(plan, loss_weights=(1, 1)), iteration=0)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "{type: Normalize}",
            "{type: Normalize, mean: [0.4], std: [0.5]}",
            "val_dataset.transforms: wanted: Normalize",
        ),
        ("coef: [1, 0.5, 0]", "coef: many", "or loss.coef is missing, or is no number"),
        ("iters: 3", "", "iters, batch_size, lr_scheduler.learning_rate or loss.coef is missing"),
    ],
)
def test_configuration_that_does_not_say_how_is_refused(config: Path, old: str, new: str, said: str) -> None:
    config.write_text(CONFIG.replace(old, new))
    with pytest.raises(InputError, match=f"mine.yml: .*{said}"):
        train_demo.plan_of(config, (32, 64), seed=0)
