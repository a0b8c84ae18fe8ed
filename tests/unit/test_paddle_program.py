"""What Paddle's GPU engines get of the eight networks: PaddleSeg's own export, with types that its converter has."""

from __future__ import annotations

import json
import re

import numpy as np
import paddle
import pytest
from export_paddle import export
from segbench.config.options import NoOptions, Variant
from segbench.engines.base import load
from segbench.models import architectures
from segbench.models.exported import ExportedModel
from segbench.models.paddle_files import read_program
from segbench.runtimes.paddle.program import activation_bytes, large_sums, stage_model, undeclared, without_cast

ARCHITECTURES = ("ann", "danet", "deeplabv3p", "dnlnet", "emanet", "gcnet", "pspnet", "unet")
QUICK = ("danet", "unet")  # in every run
HEIGHT, WIDTH = 64, 128
ENTRY = {
    "kind": "narrow", "title": "", "weights": "random", "input": {"height": HEIGHT, "width": WIDTH},
    "class_count": 19, "class_map": None, "output": None, "preprocessing": {},
}  # fmt: skip


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Folder of an exported network, made once."""
    made = {}

    def folder_of(architecture):
        if architecture not in made:
            folder = tmp_path_factory.mktemp(architecture)
            entry = {**ENTRY, "architecture": architecture}
            export(architecture, entry, None, folder / "model.pdmodel", folder / "model.pdiparams")
            made[architecture] = folder
        return made[architecture]

    return folder_of


def operators(pdmodel: bytes) -> list:
    """Type, inputs and outputs of each operator, and the type of each tensor."""
    program = read_program(pdmodel)
    block = program.block(0)
    types = {v.name(): v.dtype().name for v in block.all_vars() if v.name() not in ("feed", "fetch")}
    found = [block.op(number) for number in range(block.op_size())]
    named = [(one.type(), sorted(one.input_arg_names()), sorted(one.output_arg_names())) for one in found] + [types]
    return json.loads(re.sub(r"eager_tmp_\d+", "eager_tmp", json.dumps(named)))  # counted on through the process


def paddlesegs_own(architecture: str, path) -> bytes:
    """The program that PaddleSeg's `export.py` writes of the same network."""
    from paddleseg.deploy.export import WrappedModel

    with architectures.fresh_names():
        layer = WrappedModel(architectures.build({**ENTRY, "architecture": architecture}, HEIGHT, WIDTH), "argmax")
        layer.eval()
        shape = paddle.static.InputSpec([1, 3, HEIGHT, WIDTH], "float32", "image")
        with architectures.constant_shapes():
            paddle.jit.save(paddle.jit.to_static(layer, input_spec=[shape], full_graph=True), str(path))
    return path.with_suffix(".pdmodel").read_bytes()


@pytest.mark.parametrize(
    "architecture", [pytest.param(a, marks=[] if a in QUICK else pytest.mark.slow) for a in ARCHITECTURES]
)
def test_gpu_gets_paddlesegs_own_graph_and_only_types_that_tensorrt_has(exported, architecture, tmp_path):
    program = (exported(architecture) / "model.pdmodel").read_bytes()
    assert undeclared(program) == ["cast_0.tmp_0 (UINT8)", "save_infer_model/scale_0.tmp_0 (UINT8)"]
    staged = without_cast(program)
    assert undeclared(staged) == []
    assert operators(staged) == operators(paddlesegs_own(architecture, tmp_path / "own"))
    assert without_cast(staged) == staged and read_program(staged).num_blocks() == 1


def test_sums_that_fp16_cannot_hold_are_danets_channel_attention(exported, monkeypatch):
    """Which sums over all positions, here 128 of them; weighted by a softmax they stay small."""
    program = (exported("danet") / "model.pdmodel").read_bytes()
    assert large_sums(program) == []
    monkeypatch.setattr("segbench.runtimes.paddle.program.SUMMED", (HEIGHT // 8) * (WIDTH // 8))
    found = [re.sub(r"^tmp_\d+$", "difference", name) for name in large_sums(program)]
    assert found == ["bmm_0.tmp_0", "max_0.tmp_0", "tile_0.tmp_0", "difference", "softmax_0.tmp_0"]
    assert large_sums((exported("unet") / "model.pdmodel").read_bytes()) == []


def test_only_operators_that_are_kept_outside_may_have_other_types(exported):
    program = (exported("unet") / "model.pdmodel").read_bytes()
    assert undeclared(program, ("cast", "scale")) == []


def test_staged_model_gives_the_same_class_map(exported, tmp_path):
    """By Paddle's own kernels on the CPU: 32 bits of it in place of 8."""
    folder = exported("unet")
    stage_model(ExportedModel(folder, {}), tmp_path)
    image = np.random.default_rng(0).normal(size=(1, 3, HEIGHT, WIDTH)).astype(np.float32)
    engine, variant = load("paddle"), Variant("v", "paddle", "fp32")
    maps = []
    for place in (folder, tmp_path):
        session = engine.open(place, variant, engine.run_options(), 1)
        session.upload(image)
        session.execute()
        maps.append(session.download())
    assert [found.dtype for found in maps] == [np.uint8, np.int32]
    assert np.array_equal(*maps) and np.unique(maps[0]).size > 1


def test_gpu_session_makes_8_bits_of_whatever_the_binding_gives():
    from segbench.engines.paddle_gpu import PaddleGPUSession

    class Output:
        def copy_to_cpu(self):
            return np.arange(6, dtype=np.int32).reshape(1, 2, 3)

    session = object.__new__(PaddleGPUSession)
    session._output = Output()
    class_map = session.download()
    assert class_map.dtype == np.uint8 and class_map.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert class_map.flags.c_contiguous and class_map.flags.owndata


def test_native_gpu_engine_gets_the_same(exported, tmp_path):
    folder, variant = exported("unet"), Variant("v", "paddle_gpu", "fp32")
    load("paddle_gpu").build(ExportedModel(folder, {}), None, variant, NoOptions(), tmp_path / "engine")
    assert (tmp_path / "engine/model.pdmodel").read_bytes() == without_cast((folder / "model.pdmodel").read_bytes())
    assert (tmp_path / "engine/model.pdiparams").read_bytes() == (folder / "model.pdiparams").read_bytes()


def test_activations_are_counted_but_those_that_fusion_removes(tmp_path):
    """A convolution (fused with its normalisation), the addition of its bias, an argmax, its cast and the scale."""
    from helpers.paddle_made import save_network

    path = save_network(tmp_path / "net", lambda x: x.argmax(axis=1, dtype="int32").cast("uint8"), size=(8, 16))
    pixels = 8 * 16
    statistics = 2 * 4 * 4  # mean and variance that batch normalisation saves
    tensors = 2 * 4 * 4 * pixels + 4 * pixels + 2 * pixels
    assert tensors <= activation_bytes(path.read_bytes()) <= tensors + 2 * statistics
