"""Trained weights are copied to resources/, and the models file names their SHA-256."""

import json

import pytest
from accept_demo_models import accept
from segbench.errors import InputError
from segbench.files import sha256_of

ENTRY = "  ann_demo: {weights: {path: RESOURCES/ann.npz, sha256: null}} # the demo's\n"


@pytest.fixture
def trained(tmp_path):
    folder = tmp_path / "training" / "ann"
    folder.mkdir(parents=True)
    (folder / "weights.npz").write_bytes(b"weights")
    (folder / "training.json").write_text(json.dumps({"val_miou": 0.61}))
    (folder / "log.csv").write_text("iteration\n")
    (tmp_path / "models.yaml").write_text(ENTRY.replace("RESOURCES", str(tmp_path / "kept")))
    return tmp_path


def test_weights_are_copied_and_named_by_their_hash(trained):
    assert accept(trained / "training", trained / "kept", trained / "models.yaml") == {"ann": 0.61}
    assert (trained / "kept/ann.npz").read_bytes() == b"weights"
    assert sorted(path.name for path in (trained / "kept").iterdir()) == ["ann.csv", "ann.json", "ann.npz"]
    text = (trained / "models.yaml").read_text()
    assert f"sha256: {sha256_of(trained / 'kept/ann.npz')}}}}} # the demo's" in text
    accept(trained / "training", trained / "kept", trained / "models.yaml")
    assert (trained / "models.yaml").read_text() == text


def test_nothing_trained_is_told(tmp_path):
    with pytest.raises(InputError, match="has no trained model; run: snakemake demo_models"):
        accept(tmp_path / "training", tmp_path / "kept", tmp_path / "models.yaml")


def test_model_that_the_file_does_not_name_is_told(trained):
    (trained / "models.yaml").write_text("model_catalogue: {}\n")
    with pytest.raises(InputError, match="no entry with 'path: "):
        accept(trained / "training", trained / "kept", trained / "models.yaml")


def test_network_that_is_quantised_is_copied_as_its_file_with_8_bits(trained):
    (trained / "training" / "ann" / "model.onnx").write_bytes(b"8 bits")
    (trained / "models.yaml").write_text((trained / "models.yaml").read_text().replace("ann.npz", "ann.onnx"))
    accept(trained / "training", trained / "kept", trained / "models.yaml")
    assert sorted(path.name for path in (trained / "kept").iterdir()) == ["ann.csv", "ann.json", "ann.onnx"]
    assert sha256_of(trained / "kept/ann.onnx") in (trained / "models.yaml").read_text()
