"""Batches and streams: the same class maps as one image after the other, and times that say what was measured."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from helpers.onnx_made import HEIGHT, SCORES, SIZE, WIDTH, entry, network
from onnx import TensorProto
from segbench.config.options import Variant
from segbench.engines.base import has_scenario, load
from segbench.errors import Failed, Unsupported
from segbench.files import write_json
from segbench.models.exported import ExportedModel
from segbench.models.record import model_record
from segbench.scoring.predictions import Predictions
from segbench.timing import clock
from segbench.timing.accuracy_pass import keep_class_maps
from segbench.timing.job import open_engine
from segbench.timing.latencies import read_latencies
from segbench.timing.request import Request
from segbench.timing.rounds import Round
from test_ahead import COUNT, TIMING, opened_on, rows  # noqa: F401  a fixture

ENGINES = ("onnxruntime", "openvino")
PIXELS = HEIGHT * WIDTH
IMAGES = np.random.default_rng(1).normal(size=(4, 3, *SIZE)).astype(np.float32)
# Attention over all pixels, as GCNet has it, and a pyramid: reshapes and resizes whose constants hold the batch of one.
ONE_PIXEL = {
    "flat": np.array([1, 4, PIXELS]), "column": np.array([1, PIXELS, 1]), "context": np.array([1, 4, 1, 1]),
    "sizes": np.array([1, 4, HEIGHT, WIDTH]),
}  # fmt: skip
ATTENTION = [
    SCORES,
    ("ReduceMean", ["scores"], ["mask"], {"axes": [1], "keepdims": 1}),
    ("Reshape", ["scores", "flat"], ["values"], {}),
    ("Reshape", ["mask", "column"], ["keys"], {}),
    ("Softmax", ["keys"], ["weights"], {"axis": 1}),
    ("MatMul", ["values", "weights"], ["summed"], {}),
    ("Reshape", ["summed", "context"], ["placed"], {}),
    ("AveragePool", ["scores"], ["small"], {"kernel_shape": [4, 4], "strides": [4, 4]}),
    ("Resize", ["small", "", "", "sizes"], ["large"], {"mode": "linear"}),
    ("Add", ["large", "placed"], ["logits"], {}),
]
# The batch is folded into the channels: what comes behind would mix images.
MIXED = [
    SCORES,
    ("Reshape", ["scores", "rows"], ["stacked"], {}),
    ("Softmax", ["stacked"], ["mixed"], {"axis": 0}),
    ("Reshape", ["mixed", "sizes"], ["logits"], {}),
]


def exported(folder: Path, nodes: list[Any], **constants: np.ndarray) -> ExportedModel:
    """The network as the workflow exports it."""
    from export_onnx_model import export

    folder.mkdir()
    outputs = [("logits", TensorProto.FLOAT, [1, 4, *SIZE])]
    model, facts = export("mine", entry(), network(folder / "net.onnx", nodes, outputs, **constants))
    onnx.save(model, str(folder / "model.onnx"))
    record = model_record("mine", entry(), {"model.onnx": folder / "model.onnx"}, 0, ())
    write_json(folder / "model.json", record | facts)
    return ExportedModel.open(folder / "model.json")


@pytest.fixture(scope="module")
def attention(tmp_path_factory: pytest.TempPathFactory) -> ExportedModel:
    return exported(tmp_path_factory.mktemp("made") / "model", ATTENTION, **ONE_PIXEL)


def built(model: ExportedModel, out: Path, engine: str, **scenario: int) -> Variant:
    variant = Variant("mine", engine, "fp32", **scenario)
    load(engine).build(model, None, variant, load(engine).build_options(), out / "engine")
    write_json(out / "status.json", {"status": "ok", "manifest": {}})
    return variant


def class_maps(session: Any, images: np.ndarray, batch: int = 1) -> np.ndarray:
    ran = [clock.time_once(session, images[at : at + batch], batch) for at in range(0, len(images), batch)]
    return np.concatenate([one.class_map.reshape(batch, *SIZE) for one in ran])


@pytest.mark.parametrize("engine", ENGINES)
def test_images_of_a_batch_get_the_class_maps_that_they_get_alone(attention, tmp_path, engine):
    alone = built(attention, tmp_path / "alone", engine)
    options = load(engine).run_options()
    expected = class_maps(load(engine).open(tmp_path / "alone/engine", alone, options, 1), IMAGES)
    assert len({one.tobytes() for one in expected}) == len(IMAGES)
    for batch in (2, 4):
        variant = built(attention, tmp_path / str(batch), engine, batch=batch)
        found = class_maps(load(engine).open(tmp_path / f"{batch}/engine", variant, options, 1), IMAGES, batch)
        assert (found == expected).mean() > 0.999


@pytest.mark.parametrize("engine", ENGINES)
def test_network_that_folds_the_batch_away_takes_none(tmp_path, engine):
    constants = {"rows": np.array([4 * HEIGHT, WIDTH]), "sizes": np.array([1, 4, HEIGHT, WIDTH])}
    model = exported(tmp_path / "model", MIXED, **constants)
    with pytest.raises(Unsupported, match="the graph is made for one image"):
        built(model, tmp_path / "batch", engine, batch=2)


@pytest.mark.parametrize("engine", ENGINES)
def test_streams_compute_what_one_image_after_the_other_does(attention, tmp_path, engine):
    variant = built(attention, tmp_path, engine, streams=2)
    options = load(engine).run_options()
    expected = class_maps(load(engine).open(tmp_path / "engine", variant.single, options, 1), IMAGES)
    sessions = load(engine).open_streams(tmp_path / "engine", variant, options, 2)
    groups = clock.time_streams(sessions, [image[None] for image in IMAGES], 0.0)
    assert len(sessions) == 2 and {len(group) for group in groups} == {2}
    found = {one.image: one.latency.class_map for group in groups for one in group}
    assert found and found.keys() <= set(range(4))
    assert all((found[number] == expected[number]).all() for number in found)


class Meeting:
    """A session that runs its first image only while another session runs its own."""

    def __init__(self, barrier: threading.Barrier) -> None:
        self._barrier: threading.Barrier | None = barrier

    def upload(self, image: np.ndarray) -> None:
        self._class_map = image[0].argmax(0).astype(np.uint8)

    def execute(self) -> None:
        if self._barrier:
            self._barrier.wait(timeout=60)
            self._barrier = None

    def synchronize(self) -> None:
        pass

    def download(self) -> np.ndarray:
        return self._class_map


def test_streams_run_at_the_same_time_and_in_groups_of_their_number():
    barrier = threading.Barrier(3)
    groups = clock.time_streams([Meeting(barrier) for _ in range(3)], [image[None] for image in IMAGES], 0.0)
    finished = [one for group in groups for one in group]
    assert {len(group) for group in groups} == {3}
    assert [one.at_s for one in finished] == sorted(one.at_s for one in finished)
    for one in finished:
        assert (one.latency.class_map == IMAGES[one.image].argmax(0)).all()


def test_error_of_a_stream_is_the_rounds():
    class Broken(Meeting):
        def execute(self) -> None:
            raise Failed("the engine broke")

    with pytest.raises(Failed, match="the engine broke"):
        clock.time_streams([Broken(threading.Barrier(1)) for _ in range(2)], [IMAGES[:1]], 60.0)


class Batched:
    """A session of three images at once: the class of a pixel is its brightest channel."""

    def upload(self, images: np.ndarray) -> None:
        self._images = images.copy()

    def execute(self) -> None:
        pass

    def synchronize(self) -> None:
        pass

    def download(self) -> np.ndarray:
        return self._images.argmax(1).astype(np.uint8)


def round_of(rows: Any, folder: Path, **of_session: Any) -> tuple[Any, Predictions, dict[str, Any]]:  # noqa: F811
    import dataclasses

    folder.mkdir()
    files = {name: folder / name for name in ("latencies", "replaced", "predictions")}
    opened = dataclasses.replace(opened_on("cpu"), **of_session)
    facts = Round(opened, rows, {**files, "timing": TIMING, "round": 1}).run()
    return read_latencies(files["latencies"]), Predictions.open(files["predictions"]), facts


def test_image_of_a_batch_has_its_share_of_the_batchs_time(rows, tmp_path):  # noqa: F811
    _, alone, _ = round_of(rows, tmp_path / "alone")
    lines, batched, facts = round_of(rows, tmp_path / "batched", session=Batched(), batch=3)
    assert len(lines) == 12 and {line.image for line in lines} == set(alone.ids)  # 11 images in batches of 3
    for at in range(0, 12, 3):
        assert len({line.latency_s for line in lines[at : at + 3]}) == 1
        assert all(line.compute_s == pytest.approx(line.latency_s / 3, abs=1e-9) for line in lines[at : at + 3])
    assert facts["first_mask_s"] > 0 and not facts["changed"]
    assert {i: batched.digest(i) for i in batched.ids} == {i: alone.digest(i) for i in alone.ids}


def test_image_of_a_stream_has_its_own_latency_and_its_share_of_the_time_between_images(rows, tmp_path):  # noqa: F811
    _, alone, _ = round_of(rows, tmp_path / "alone")
    streams = tuple(Meeting(threading.Barrier(1)) for _ in range(2))
    lines, streamed, facts = round_of(rows, tmp_path / "streams", session=streams[0], streams=streams)
    assert len(lines) % 2 == 0 and {line.image for line in lines} <= set(alone.ids)
    assert all(line.compute_s == line.end_to_end_s and line.latency_s is not None for line in lines)
    assert [lines[at].compute_s for at in range(0, len(lines), 2)] == [line.compute_s for line in lines[1::2]]
    assert not facts["changed"] and all(streamed.digest(i) == alone.digest(i) for i in streamed.ids)


def test_pass_in_batches_keeps_the_class_map_of_every_image(rows, tmp_path):  # noqa: F811
    import dataclasses

    keep_class_maps(opened_on("cpu"), rows, str(tmp_path / "alone.zip"))
    batched = dataclasses.replace(opened_on("cpu"), session=Batched(), batch=3)
    keep_class_maps(batched, rows, str(tmp_path / "batched.zip"))
    alone, together = (Predictions.open(tmp_path / f"{name}.zip") for name in ("alone", "batched"))
    assert list(together.ids) == list(alone.ids) and len(together) == COUNT
    assert all((together[i] == alone[i]).all() for i in alone.ids)


def request(folder: Path, engine: str, threads: int = 1, **scenario: int) -> Request:
    return {
        "engine": str(folder / "engine"), "engine_status": str(folder / "status.json"), "options": {},
        "variant": {"name": "mine", "engine": engine, "precision": "fp32", **scenario}, "timing": None,
        "model": "", "index": "", "decoded": None, "threads": threads,
    }  # fmt: skip


def test_more_streams_than_threads_are_refused_with_both_numbers(tmp_path):
    with pytest.raises(Unsupported, match=r"2 streams need a thread each, and the engine has 1 \(key threads\)"):
        open_engine(request(tmp_path, "openvino", streams=2), one_by_one=False)


def test_job_that_runs_images_one_by_one_takes_no_batch(tmp_path):
    with pytest.raises(Unsupported, match="this job runs one image after the other, and mine does not"):
        open_engine(request(tmp_path, "openvino", batch=2))


def test_engine_without_streams_says_which_have_them():
    answer = has_scenario(load("paddle"), Variant("mine", "paddle", "fp32", streams=2))
    assert not answer.ok
    expected = "engine paddle has no way to run streams: 2 in SegBench yet (onnxruntime, openvino can)"
    assert answer.reason == expected
    assert all(has_scenario(load(name), Variant("mine", name, "fp32")).ok for name in ("paddle", "tensorrt"))


def attended(logits: Any) -> Any:
    """GCNet's context in Paddle, traced with the sizes of one image."""
    import paddle

    _, channels, height, width = logits.shape
    keys = paddle.nn.functional.softmax(logits.mean(1, keepdim=True).reshape([1, height * width, 1]), 1)
    context = paddle.matmul(logits.reshape([1, channels, height * width]), keys)
    return logits + context.reshape([1, channels, 1, 1])


@pytest.mark.parametrize("engine", ["paddle", "paddle_onednn", "openvino"])
def test_paddle_model_of_one_image_takes_a_batch(tmp_path, engine):
    import export_paddle
    from helpers.paddle_made import save_network, street_images

    size = {"height": HEIGHT, "width": WIDTH}
    asked = {
        "kind": "paddle_inference",
        "weights": {},
        "input": size,
        "class_count": 4,
        "class_map": None,
        "output": None,
    }
    pdmodel = tmp_path / "model" / "model.pdmodel"
    net = save_network(tmp_path / "net", attended, size=SIZE)
    export_paddle.export("mine", asked, net, pdmodel, pdmodel.with_suffix(".pdiparams"))
    model = ExportedModel(pdmodel.parent, {"input": size, "preprocessing": entry()["preprocessing"], "files": {}})
    images, options = np.concatenate(street_images(*SIZE, count=4)), load(engine).run_options()
    sessions = {}
    for batch in (1, 2):
        variant = built(model, tmp_path / str(batch), engine, batch=batch)
        sessions[batch] = load(engine).open(tmp_path / f"{batch}/engine", variant, options, 1)
    expected = class_maps(sessions[1], images)
    assert len(np.unique(expected)) > 1
    assert (class_maps(sessions[2], images, 2) == expected).mean() > 0.999
