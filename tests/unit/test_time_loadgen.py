"""LoadGen as an independent clock: every sample is answered as its variant runs images, and LoadGen's log is read."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from segbench.config.options import Variant
from segbench.engines.base import load
from segbench.errors import InputError, Unsupported
from segbench.machine.cpu import package_version
from test_ahead import opened_on
from test_scenarios import IMAGES, attention, built, class_maps  # noqa: F401  a fixture
from time_loadgen import PACKAGE, Both, Library, figure_of_log, scenario_of, slower

# Of the logs of real runs of 6.0.17, by scenario; what stands behind a value is the same in all lines.
BEHIND = (
    '"time_ms": 35.189950, "namespace": "mlperf::logging", "event_type": "POINT_IN_TIME", "metadata": {"is_error": '
    'false, "is_warning": false, "file": "results.cc", "line_no": 778, "pid": 16206, "tid": 16206}}'
)
LOGS = {
    "SingleStream": {
        "result_query_count": "10",
        "result_qps_without_loadgen_overhead": "467.444",
        "result_mean_latency_ns": "2139295",
        "result_50.00_percentile_latency_ns": "2107240",
        "result_90.00_percentile_latency_ns": "2449317",
    },
    "MultiStream": {
        "result_mean_query_latency_ns": "2108483",
        "result_50.00_percentile_per_query_latency_ns": "2108492",
        "result_90.00_percentile_per_query_latency_ns": "2116444",
        "result_50.00_percentile_latency_ns": "2108480",
    },
    "Offline": {
        "result_query_count": "1",
        "result_samples_per_second": "5617.13",
        "result_50.00_percentile_latency_ns": "2136324",
    },
}


def log_of(scenario):
    return "\n".join(f':::MLLOG {{"key": "{key}", "value": {value}, {BEHIND}' for key, value in LOGS[scenario].items())


SHARED = [image[None] for image in IMAGES]


@pytest.mark.parametrize(
    ("scenario", "figure"), [("SingleStream", 0.00210724), ("MultiStream", 0.002108492), ("Offline", 5617.13)]
)
def test_figure_of_each_scenario_is_read_from_loadgens_log(scenario, figure):
    assert figure_of_log(log_of(scenario), scenario) == pytest.approx(figure)


def test_log_without_the_figure_is_refused():
    with pytest.raises(ValueError, match="no result_samples_per_second"):
        figure_of_log(log_of("SingleStream"), "Offline")


def test_version_is_found_by_the_name_that_is_pinned():
    pinned = (Path(__file__).parents[2] / "requirements/loadgen.txt").read_text()
    version = package_version(PACKAGE)
    assert f"{PACKAGE}==" in pinned and (version is None or f"{PACKAGE}=={version}" in pinned)


def test_scenario_is_the_variants_or_offline():
    single, batch, streams = (Variant("mine", "openvino", "fp32", **way) for way in ({}, {"batch": 2}, {"streams": 2}))
    own = [scenario_of(one, None) for one in (single, batch, streams)]
    assert own == ["SingleStream", "MultiStream", "Offline"]
    assert {scenario_of(one, "Offline") for one in (single, batch, streams)} == {"Offline"}
    with pytest.raises(InputError, match=r"SingleStream is not how mine runs images; give MultiStream or Offline$"):
        scenario_of(batch, "SingleStream")
    with pytest.raises(InputError, match=r"MultiStream is not how mine runs images; give Offline$"):
        scenario_of(streams, "MultiStream")


def test_ratio_above_one_says_that_loadgens_is_slower():
    assert slower(0.75, 0.5, "s") == slower(20, 30, "images_per_s") == 1.5


def test_batch_is_consecutive_samples_without_a_copy():
    library = Library(SHARED, 3)
    for order in ([0, 1, 2, 3], [2, 0, 3, 1, 2, 0]):  # LoadGen's ends with its first ones once more
        library.lay_out(order)
        around = (order[:4] * 2)[:6]
        for at in range(4):
            inputs = library.inputs(around[at : at + 3])
            assert inputs.base is not None and (inputs == IMAGES[around[at : at + 3]]).all()
    assert [one.tobytes() for one in library.in_turn(2)] == [
        IMAGES[[2, 0, 3]].tobytes(), IMAGES[[1, 2, 0]].tobytes()
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"query \[2, 3, 0\] is not of consecutive samples of \[2, 0, 3, 1\]"):
        library.inputs([2, 3, 0])


def both(attention, folder, scenario, queries=5, **way):  # noqa: F811
    """Both clocks around a real engine of ONNX Runtime."""
    engine, variant = load("onnxruntime"), built(attention, folder, "onnxruntime", **way)
    arguments = folder / "engine", variant, engine.run_options(), 2
    sessions = engine.open_streams(*arguments) if variant.streams > 1 else [engine.open(*arguments)]
    streams = tuple(sessions) if variant.streams > 1 else ()
    opened = dataclasses.replace(opened_on("cpu"), session=sessions[0], batch=variant.batch, streams=streams)
    return Both(opened, SHARED, scenario, queries)


@pytest.mark.parametrize(
    ("scenario", "way", "images"),
    [
        ("SingleStream", {}, 5),
        ("MultiStream", {"batch": 3}, 15),
        ("Offline", {"batch": 3}, 6),
        ("Offline", {"streams": 2}, 6),
    ],
)
def test_every_sample_is_answered_once_with_its_own_class_map(attention, tmp_path, scenario, way, images):  # noqa: F811
    timed = both(attention, tmp_path / "asked", scenario, **way)
    assert timed.images == images and timed.warm() > 0 and timed.by_us()["ours"] > 0
    query = [(100 + number, number % 4) for number in range(6)]
    answered = []

    def complete(samples, class_maps):
        assert len(samples) == len(class_maps) == way.get("batch", 1)
        answered.extend(zip(samples, class_maps, strict=True))

    seconds = timed.answer(query, complete)
    assert len(seconds) == 6 / way.get("batch", 1) if "streams" not in way else len(seconds) == 1
    assert sorted(sample for sample, _ in answered) == query
    alone = built(attention, tmp_path / "alone", "onnxruntime")
    engine = load("onnxruntime")
    expected = class_maps(engine.open(tmp_path / "alone/engine", alone, engine.run_options(), 1), IMAGES)
    found = np.array([(class_map == expected[index]).mean() for (_, index), class_map in answered])
    assert (found > 0.999).all() and len({one.tobytes() for one in expected}) == 4


def test_images_under_a_sliding_window_run_in_no_batch():
    with pytest.raises(Unsupported, match="a window slides"):
        Both(dataclasses.replace(opened_on("cpu"), batch=2), [IMAGES], "MultiStream", 1)
