"""Times of single layers, by each engine's own profiler, on a network that the engine really runs."""

from pathlib import Path

import numpy as np
import pytest
from helpers.made import make_onnx_model
from helpers.paddle_made import save_network
from segbench.config.options import Variant, parse_options
from segbench.engines.base import LayerTimes, load
from segbench.engines.paddle import layers_of_events
from segbench.errors import Failed, Unsupported
from segbench.models.exported import ExportedModel
from segbench.timing.layers import profile_of

RUNS = 3


def built(engine: str, model: ExportedModel, folder: Path) -> tuple[Path, Variant]:
    """An engine of `model`, built in FP32."""
    variant, plugin = Variant(f"{engine}-fp32", engine, "fp32"), load(engine)
    plugin.build(model, None, variant, parse_options(plugin.build_options, {}, "build"), folder / engine)
    return folder / engine, variant


def layers(engine: str, model: ExportedModel, folder: Path) -> list[LayerTimes]:
    """The layers of an engine after some runs."""
    place, variant = built(engine, model, folder)
    plugin = load(engine)
    session = plugin.open_profiled(place, variant, parse_options(plugin.run_options, {}, "run"), 1)
    image = np.zeros((1, 3, 32, 64), np.float32)
    for _ in range(RUNS):
        session.upload(image)
        session.execute()
        session.synchronize()
        assert session.download().shape[-2:] == (32, 64)
    return session.layers()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    """One convolution, as ONNX and as a Paddle program."""
    folder = tmp_path_factory.mktemp("model")
    make_onnx_model(folder / "model.onnx")
    save_network(folder / "model", lambda logits: logits, size=(32, 64))
    facts = {"input": {"height": 32, "width": 64}, "files": {}, "preprocessing": {}}
    return ExportedModel(folder, facts)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "paddle", "paddle_onednn"])
def test_engine_tells_the_time_of_its_convolution_in_every_run(engine, model, tmp_path):
    found = layers(engine, model, tmp_path)
    convolutions = [layer for layer in found if "conv" in layer.kind.lower() and layer.kind != "Convert"]
    assert len(convolutions) == 1
    assert len(convolutions[0].seconds) == RUNS
    assert all(0 < second < 10 for second in convolutions[0].seconds)
    assert len({layer.name for layer in found}) == len(found)


def test_openvino_names_the_kernel_and_its_arithmetic(model, tmp_path):
    (layer,) = [layer for layer in layers("openvino", model, tmp_path) if layer.kind == "Convolution"]
    assert layer.kernel and layer.precision == "fp32" and layer.stands_for


def test_engine_without_a_profiler_is_unsupported(tmp_path):
    variant = Variant("tensorrt_rtx-fp32", "tensorrt_rtx", "fp32")
    with pytest.raises(Unsupported, match="tensorrt_rtx gives SegBench no times of its layers"):
        load("tensorrt_rtx").open_profiled(tmp_path, variant, None, 1)


def test_gpu_is_not_profiled_by_the_launches_of_its_kernels(tmp_path):
    variant = Variant("paddle_gpu-fp32", "paddle_gpu", "fp32")
    with pytest.raises(Unsupported, match="counts the launches only"):
        load("paddle_gpu").open_profiled(tmp_path, variant, None, 1)


def test_operators_that_differ_from_run_to_run_are_no_layers():
    events = [{"cat": "Operator", "name": f"{kind}[1 us]", "ts": at, "dur": 1} for at, kind in enumerate("abac")]
    with pytest.raises(Failed, match="4 operators of 2 runs"):
        layers_of_events(events, 2)


def test_profile_is_of_the_runs_after_the_warm_up():
    layer = LayerTimes("a", "Conv", "", "fp32", (), (9.0, 1.0, 2.0, 3.0))
    late = LayerTimes("b", "Relu", "", "", (), (4.0,))  # it was executed in the last run alone
    profile = profile_of([layer, late], [2.5, 3.5, 4.5])
    assert (profile["runs"], profile["run_s"]) == (3, 3.5)
    assert [one["median_s"] for one in profile["layers"]] == [2.0, 0.0]
    assert (profile["layers"][0]["low_s"], profile["layers"][0]["high_s"]) == (1.5, 2.5)
