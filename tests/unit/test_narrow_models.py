"""The eight narrow demo models: they build, keep the input's resolution and budget, and their weights come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from segbench.models import narrow

CLASSES = 19


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    """All eight, seeded, in eval mode."""
    built = {}
    for seed, architecture in enumerate(narrow.ARCHITECTURES):
        paddle.seed(seed)
        built[architecture] = narrow.build_narrow(architecture, CLASSES)
        built[architecture].eval()
    return built


@pytest.fixture(scope="module")
def image() -> Any:
    return paddle.to_tensor(np.random.default_rng(0).uniform(-1, 1, (1, 3, 64, 128)).astype(np.float32))


@pytest.mark.parametrize("architecture", narrow.ARCHITECTURES)
def test_logits_have_the_input_resolution(models: dict[str, Any], image: Any, architecture: str) -> None:
    with paddle.no_grad():
        logits = models[architecture](image)
    assert len(logits) == 1
    assert logits[0].shape == [1, CLASSES, 64, 128]
    assert np.isfinite(logits[0].numpy()).all()


def test_parameters_stay_within_the_budget(models: dict[str, Any]) -> None:
    counts = {architecture: narrow.parameter_count(model) for architecture, model in models.items()}
    assert all(600_000 <= count <= 2_500_000 for count in counts.values()), counts
    assert sum(counts.values()) / len(counts) <= 1_800_000, counts
    assert 2 * sum(counts.values()) <= 28e6, counts


def test_models_are_the_classes_of_paddleseg(models: dict[str, Any]) -> None:
    from paddleseg import models as paddleseg_models

    names = ("ANN", "DANet", "DeepLabV3P", "DNLNet", "EMANet", "GCNet", "PSPNet", "UNet")
    for name in names:
        assert isinstance(models[name.lower()], getattr(paddleseg_models, name))


def test_danet_head_computes_what_paddlesegs_does_in_eval_mode(models: dict[str, Any], image: Any) -> None:
    from paddleseg.models.danet import DAHead

    head = models["danet"].head
    with paddle.no_grad():
        features = models["danet"].backbone(image)[2:]
        ours, theirs = head(features)[0].numpy(), DAHead.forward(head, features)[0].numpy()
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("architecture", ["emanet", "unet"])  # with and without a buffer that is no BatchNorm's
def test_stored_weights_come_back_exactly(
    models: dict[str, Any], image: Any, tmp_path: Path, architecture: str
) -> None:
    first = narrow.build_narrow(architecture, CLASSES)
    first(paddle.tile(image, [2, 1, 1, 1]))  # in training mode: running statistics leave their initial values
    narrow.save_arrays(first, tmp_path / "a.npz")
    second = narrow.build_narrow(architecture, CLASSES)
    narrow.load_arrays(second, tmp_path / "a.npz")
    for name, tensor in first.state_dict().items():
        stored_as = np.float32 if name.endswith(("._mean", "._variance", ".mu")) else np.float16
        expected = tensor.numpy().astype(stored_as).astype(np.float32)
        np.testing.assert_array_equal(second.state_dict()[name].numpy(), expected, err_msg=name)
    narrow.save_arrays(second, tmp_path / "b.npz")
    with np.load(tmp_path / "a.npz") as a, np.load(tmp_path / "b.npz") as b:
        assert a.files == b.files
        assert all(a[name].dtype == b[name].dtype and (a[name] == b[name]).all() for name in a.files)


def test_weights_that_do_not_fit_are_refused(models: dict[str, Any]) -> None:
    model = models["gcnet"]
    arrays = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    name = next(iter(arrays))
    with pytest.raises(ValueError, match="missing"):
        narrow.load_arrays(model, {key: array for key, array in arrays.items() if key != name})
    with pytest.raises(ValueError, match="unknown"):
        narrow.load_arrays(model, arrays | {"stranger": arrays[name]})
    with pytest.raises(ValueError, match="stored shape"):
        narrow.load_arrays(model, arrays | {name: arrays[name][:1]})


def test_pickled_content_is_refused(models: dict[str, Any], tmp_path: Path) -> None:
    arrays = {name: np.asarray(None, dtype=object) for name in models["unet"].state_dict()}
    np.savez(tmp_path / "pickled.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="allow_pickle"):
        narrow.load_arrays(models["unet"], tmp_path / "pickled.npz")


def test_values_that_overflow_float16_are_refused(tmp_path: Path) -> None:
    layer = paddle.nn.Linear(2, 2)
    layer.weight.set_value(np.full((2, 2), 1e6, np.float32))
    with pytest.raises(ValueError, match=r"weight: .* not finite as float16"):
        narrow.save_arrays(layer, tmp_path / "w.npz")
    assert not list(tmp_path.iterdir())


def test_an_unknown_architecture_is_named() -> None:
    with pytest.raises(ValueError, match="unknown architecture 'segformer'; known: ann, "):
        narrow.build_narrow("segformer", CLASSES)
