"""Shapes for TensorRT are read off the exported graph, as Paddle's own collection would write them."""

import collect_shapes
from helpers.paddle_made import save_network
from segbench.models.exported import ExportedModel
from test_export import entry, export


def test_shapes_are_paddles_own(tmp_path):
    """All eight architectures: tests/gpu_env."""
    pdmodel = export(tmp_path, entry("pspnet"))
    model = ExportedModel(pdmodel.parent, {"input": {"height": 64, "width": 96}, "files": {}})
    collect_shapes.collect(model, tmp_path / "shapes.pbtxt", gpu=False)
    assert collect_shapes.read_shapes(pdmodel.read_bytes()) == (tmp_path / "shapes.pbtxt").read_text()


def test_open_size_is_not_guessed(tmp_path):
    assert collect_shapes.read_shapes(save_network(tmp_path / "net", lambda logits: logits).read_bytes()) is None
