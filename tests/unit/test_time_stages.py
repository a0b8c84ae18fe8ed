"""Stages of an image: what the clock of each contains, the head's share, and the page that says where time goes."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stages
from helpers.made import make_folder_dataset, make_onnx_model
from helpers.report_made import Made
from segbench.config.options import Variant, parse_options
from segbench.engines.base import load
from segbench.errors import InputError
from segbench.files import sha256_of, write_record
from segbench.images.decoded import ImageReader
from segbench.images.normalize import Normalizer
from segbench.machine.cpu import this_machine
from segbench.models.exported import ExportedModel
from segbench.planning import explain
from segbench.process import records
from segbench.report import render
from segbench.report.page import page
from segbench.report.stages import Bar, stages_plot
from segbench.table.stages import HEADER, RowStages, doubts, head_share, row_stages, sentences, stage_cells
from segbench.timing import clock
from segbench.timing.job import TimedSession
from segbench.timing.stages import STAGES
from test_explain import profile
from test_report_page import content_of
from time_stages import in_stages, stages_of

SIZE = (32, 64)
PREPROCESSING = {"channel_order": "rgb", "scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3, "resize": "none"}
TIMING = {"round_min_s": 0, "warm_up": {"max_runs": 1}, "contention_share": 1.0, "max_repeats": 0}
PAUSE_S = 0.03


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    root = make_folder_dataset(tmp_path_factory.mktemp("made") / "set", 2)
    paths = sorted((root / "val").glob("*.png"))
    return [{"image_id": path.stem, "image": str(path), "image_sha256": sha256_of(path)} for path in paths]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> TimedSession:
    """ONNX Runtime with a network of one convolution."""
    folder = tmp_path_factory.mktemp("model")
    make_onnx_model(folder / "model.onnx")
    facts = {"input": {"height": SIZE[0], "width": SIZE[1]}, "files": {}, "preprocessing": {}}
    plugin, variant = load("onnxruntime"), Variant("onnxruntime-fp32", "onnxruntime", "fp32")
    model = ExportedModel(folder, facts)
    plugin.build(model, None, variant, parse_options(plugin.build_options, {}, "build"), folder / "engine")
    session = plugin.open(folder / "engine", variant, parse_options(plugin.run_options, {}, "run"), 1)
    normalize = Normalizer(PREPROCESSING, *SIZE)
    return TimedSession(session, ImageReader(None), normalize, PREPROCESSING, "cpu", this_machine(), 1, [])


class Idle:
    """A session that does nothing."""

    def upload(self, image: np.ndarray) -> None:
        pass

    def execute(self) -> None:
        pass

    def synchronize(self) -> None:
        pass

    def download(self) -> None:
        pass


class Watched:
    """An engine's session that writes its calls down."""

    def __init__(self, session: Any) -> None:
        self.session, self.calls = session, ""

    def upload(self, image: np.ndarray) -> None:
        self.calls += "u"
        self.session.upload(image)

    def execute(self) -> None:
        self.calls += "e"
        self.session.execute()

    def synchronize(self) -> None:
        self.calls += "s"
        self.session.synchronize()

    def download(self) -> Any:
        self.calls += "d"
        return self.session.download()


class Slow(Watched):
    """A session that takes a pause in one of its calls. With `later` the pause is a device's, which is waited for."""

    def __init__(self, session: Any, slow: str, later: bool = False) -> None:
        super().__init__(session)
        self.slow, self.later, self.until = slow, later, 0.0

    def _pause(self, call: str) -> None:
        if call == self.slow:
            self.until = time.monotonic() + PAUSE_S
        if self.until and (not self.later or call == "synchronize"):
            time.sleep(max(0.0, self.until - time.monotonic()))
            self.until = 0.0

    def upload(self, image: np.ndarray) -> None:
        super().upload(image)
        self._pause("upload")

    def execute(self) -> None:
        super().execute()
        self._pause("execute")

    def synchronize(self) -> None:
        super().synchronize()
        self._pause("synchronize")

    def download(self) -> Any:
        made = super().download()
        self._pause("download")
        return made


def test_every_stage_of_a_real_engine_has_its_time(opened, rows):
    found = stages_of(opened, rows, TIMING)
    assert tuple(found["stages"]) == STAGES and found["runs"] == 4
    for one in (*found["stages"].values(), found["sum"], found["end_to_end"]):
        assert 0 < one["low_s"] <= one["median_s"] <= one["high_s"]
    assert found["file_kinds"] == ["png"]
    sizes = [Path(row["image"]).stat().st_size for row in rows]
    assert min(sizes) <= found["file_bytes"] <= max(sizes)


@pytest.mark.parametrize(
    ("call", "later", "stage"),
    [
        ("upload", False, "copy in"),
        ("upload", True, "copy in"),
        ("execute", False, "network"),
        ("execute", True, "network"),
        ("download", False, "copy out"),
    ],
)
def test_pause_counts_for_the_stage_that_it_happens_in(opened, rows, call, later, stage):
    slow = dataclasses.replace(opened, session=Slow(opened.session, call, later))
    found = stages_of(slow, rows, TIMING)
    assert found["stages"][stage]["low_s"] >= PAUSE_S
    assert found["end_to_end"]["low_s"] >= PAUSE_S
    assert max(STAGES, key=lambda name: found["stages"][name]["median_s"]) == stage


def test_images_run_in_stages_and_as_a_whole_in_turn(opened, rows):
    watched = Watched(opened.session)
    stages_of(dataclasses.replace(opened, session=watched), rows, TIMING)
    staged, whole = "usesd", "uesd"  # initials of the session's calls
    assert watched.calls == staged + staged + whole + whole + staged + whole + staged + staged + whole  # one to warm up


def test_passes_go_on_for_as_long_as_a_round(opened, rows, monkeypatch):
    monkeypatch.setattr(clock, "elapsed_s", lambda call: (call(), 0.25)[1])
    assert stages_of(opened, rows, {**TIMING, "round_min_s": 4})["runs"] == 16


def test_stage_of_a_sliding_window_is_the_sum_over_its_windows(opened, rows):
    preprocessing = {**PREPROCESSING, "window": {"stride": {"height": 32, "width": 32}}}
    sliding = Normalizer(preprocessing, 32, 32)
    slow = Slow(Idle(), "download")
    seconds = in_stages(dataclasses.replace(opened, normalize=sliding, session=slow), rows[0])
    assert slow.calls.count("d") == 2 and seconds[STAGES.index("copy out")] >= 2 * PAUSE_S


def test_image_that_changed_is_refused(opened, rows):
    changed = [{**rows[0], "image_sha256": "0" * 64}]
    with pytest.raises(InputError, match="has changed since it was indexed"):
        stages_of(opened, changed, TIMING)


# The page

LAYERS = profile(
    20, ("Conv", "fp32", 10), ("Softmax", "", 2), ("Conv", "fp32", 3), ("Resize", "", 3), ("ArgMax", "", 1)
)


def times_of(*ms: float, end_to_end_ms: float | None = None, **other: Any) -> dict[str, Any]:
    """A record of rule time_stages from the milliseconds of `STAGES`."""

    def summary(one: float) -> dict[str, float]:
        return dict.fromkeys(("median_s", "low_s", "high_s"), one * 1e-3)

    whole = sum(ms) if end_to_end_ms is None else end_to_end_ms
    found = {name: summary(one) for name, one in zip(STAGES, ms, strict=True)}
    return {
        "status": "ok", "reason": "", "stages": found, "sum": summary(sum(ms)), "end_to_end": summary(whole),
        "contended": False,
        "throttled": False, "file_kinds": ["png"], "file_bytes": 180_400, "runs": 16, "head": "argmax",
        **other,
    }  # fmt: skip


PROFILED = {"status": "ok", "reason": "", **LAYERS}
UNPROFILED = {"status": "unsupported", "reason": "engine x gives SegBench no times of its layers"}


def row(model: str, variant: str, *ms: float, layers: Any = PROFILED, **other: Any) -> RowStages:
    return row_stages(model, variant, times_of(*ms, **other), layers)


def test_head_is_what_runs_behind_the_last_convolution_or_matrix_product():
    assert head_share(LAYERS) == pytest.approx(4 / 20)
    assert head_share(profile(10, ("Conv", "", 5), ("MatMul", "", 5))) == 0
    assert head_share(profile(10, ("Conv", "", 5), ("MatMul", "", 1), ("ArgMax", "", 1))) == pytest.approx(0.1)
    assert head_share(profile(10, ("Relu", "", 5))) is None


def test_head_is_taken_out_of_the_network():
    found = row("net", "a", 4, 1, 0.5, 10, 0.5)
    assert {name: round(seconds * 1e3, 6) for name, seconds in found.seconds.items()} == {
        "decode": 4, "resize and normalise": 1, "copy in": 0.5, "network": 8, "head": 2, "copy out": 0.5,
    }  # fmt: skip
    assert found.sum_s == pytest.approx(16e-3) and found.adds_up and not found.notes


def test_without_times_of_layers_the_head_stays_in_the_network_and_the_row_says_why():
    found = row("net", "a", 4, 1, 0.5, 10, 0.5, layers=UNPROFILED)
    cells = dict(zip(HEADER, stage_cells(found), strict=True))
    assert (cells["network, ms"], cells["head, ms"]) == ("10.0", "in the network")
    assert cells["note"] == "the head is in the network: engine x gives SegBench no times of its layers"


def test_class_map_of_the_host_counts_for_the_network():
    found = row("net-logits", "a", 4, 1, 0.5, 10, 0.5, head="logits")
    assert found.seconds["network"] == pytest.approx(10e-3)
    assert found.notes == ["the head is in the network: the host makes the class map of logits"]


def test_row_that_did_not_run_has_its_reason_and_no_figure():
    failed = {"status": "unsupported", "reason": "no NVIDIA driver"}
    cells = stage_cells(row_stages("net", "gpu", failed, failed))
    assert cells == ["net", "gpu", *[""] * (len(HEADER) - 3), "unsupported: no NVIDIA driver"]


def test_sum_over_end_to_end_is_a_figure_and_rows_that_are_off_are_named():
    good, bad = row("net", "a", 4, 1, 1, 10, 1, end_to_end_ms=17.3), row("net", "b", 4, 1, 1, 10, 1, end_to_end_ms=18)
    assert [dict(zip(HEADER, stage_cells(one), strict=True))["sum / end to end"] for one in (good, bad)] == [
        "0.983",
        "0.944",
    ]
    assert doubts([good]) == "" and "more than 3% off the end-to-end time** in net b: time them" in doubts([good, bad])


def test_sentence_names_the_largest_stage_and_its_share():
    found = [
        row("one", "fp32", 2, 1, 0, 10, 0),  # network 8 of 13
        row("one", "bf16", 2, 1, 0, 20, 0),  # network 16 of 23
        row("one", "int8", 6, 1, 0, 5, 0),  # decode 6 of 12
        row_stages("two", "gpu", {"status": "unsupported", "reason": "no NVIDIA driver"}, UNPROFILED),
        row("three", "int8", 1, 1, 0, 10, 0, layers=UNPROFILED),
    ]
    assert sentences(found) == [
        "one: the largest stage is the network in 2 rows (62% of the sum in fp32 to 70% in bf16), and decode in int8"
        " (50% of the sum).",
        "two: no row ran.",
        "three: the largest stage is the network in int8 (83% of the sum).",
    ]


def test_machine_that_others_used_is_told_with_the_row():
    assert row("net", "a", 1, 1, 1, 1, 1, contended=True).notes == ["other processes used the machine"]


def test_bars_have_the_stages_in_their_order_and_add_up():
    found = [row("net", "a", 4, 1, 1, 10, 1), row("net", "b", 1, 1, 1, 1, 1, layers=UNPROFILED)]
    plot = stages_plot([Bar("", f"{one.model} · {one.variant}", one) for one in found])
    of_first = [record for record in plot.records if record["label"] == "net · a"]
    assert [record["order"] for record in of_first] == list(range(6))
    assert sum(record["ms"] for record in of_first) == pytest.approx(17)
    assert sum(record["share"] for record in of_first) == pytest.approx(1, abs=1e-4)
    drawn = render.svg(plot.file_spec())
    assert all(f">{word}<" in drawn for word in ("decode", "head", "copy out"))


def test_page_has_the_sentence_the_picture_and_the_table():
    text = stages.page([row("net", "a", 4, 1, 1, 10, 1)], "stages.svg")
    assert "- net: the largest stage is the network in a (47% of the sum)." in text
    assert "![stages](stages.svg)" in text and "(png, 180 kB at the median)" in text
    line = next(line for line in text.splitlines() if line.startswith("| net"))
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        *("net", "a", "4.00", "1.00", "1.00", "8.00", "2.00", "1.00", "17.0", "17.0", "1.000", ""),
    ]


def test_report_shows_the_stages_that_somebody_asked_for(tmp_path):
    made = Made(tmp_path)
    assert 'id="stages"' not in page(content_of(made))
    for folder, record in (("stages", times_of(1, 1, 1, 10, 1)), ("layers", PROFILED)):
        for variant in ("openvino-int8", "gone-int8"):
            path = made.results / folder / "made" / "second" / f"{variant}.json"
            write_record(path, record)
    text = page(content_of(made))
    section = text[text.index('<section id="stages"') : text.index('<section id="samples"')]
    assert "GCNet (narrow): the largest stage is the network in openvino-int8 (57% of the sum)." in section
    assert section.count("<tr data-row=") == 1 and 'href="#stages"' in text and "gone-int8" not in text


@pytest.mark.parametrize("path", [explain.LAYERS, explain.STAGES, explain.STARTS])
def test_record_that_did_not_end_well_is_forgotten_by_retry(path):
    assert path.removeprefix("results/").replace("{variant}", "*") in records.PATTERNS
