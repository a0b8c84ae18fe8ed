"""Starts of a row: pages that are really gone, processes whose order and caches are known, and what is said of them."""

from __future__ import annotations

import csv
import mmap
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cold_start
import onnx
import pytest
import time_starts
from helpers.made import make_folder_dataset
from helpers.onnx_made import SCORES, SIZE, WEIGHT, entry, network
from onnx import TensorProto
from segbench.config.options import Variant, parse_options
from segbench.engines.base import load, names
from segbench.files import manifest_of, read_json, write_json, write_record
from segbench.machine import page_cache
from segbench.models.exported import ExportedModel
from segbench.models.record import model_record
from segbench.process.limits import Limits
from segbench.process.supervise import Outcome
from segbench.report import render
from segbench.report.page import page as report_page
from segbench.report.starts import bars
from segbench.table.cold_start import starts_of
from test_report_page import Made, content_of, made_rows

MEBIBYTE = 1 << 20
SHARED_MEMORY = Path("/dev/shm")


def file_system(path: Path) -> str:
    return subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def disk(tmp_path):
    """A folder on a file system that can drop pages."""
    if file_system(tmp_path) in ("tmpfs", "ramfs"):
        pytest.skip("the temporary folder lies in memory")
    return tmp_path


@pytest.fixture
def on_disk(disk):
    """A file of 8 MiB that was just read."""
    path = disk / "file"
    path.write_bytes(bytes(8 * MEBIBYTE - 100))
    path.read_bytes()
    return path


def test_dropped_pages_are_gone(on_disk):
    assert page_cache.cached([on_disk, on_disk.with_name("gone")]) == (8 * MEBIBYTE - 100, on_disk, 0)
    page_cache.drop([on_disk])
    assert page_cache.cached([on_disk]) == (0, on_disk, 0)


def test_file_of_which_the_system_does_not_tell_is_not_one_without_cached_pages(on_disk, monkeypatch):
    monkeypatch.setattr(page_cache, "mincore", lambda *arguments: -1)  # as a system without it answers
    assert page_cache.cached([on_disk]) == (0, None, 8 * MEBIBYTE - 100)


@pytest.mark.parametrize(
    ("size", "untold", "reason"),
    [
        (95, 5, ""),
        (80, 20, "of 20 MB of its files the system does not tell whether they are in the page cache"),
        (0, 100, "of 100 MB of its files the system does not tell"),
        (0, 0, "its files are not in the page cache even after a start: their file system keeps them elsewhere"),
    ],
)
def test_start_is_unchecked_where_the_system_does_not_tell_of_a_tenth_of_its_files(size, untold, reason):
    said = time_starts._unchecked(page_cache.Cached(size * 10**6, None, untold * 10**6))
    assert said.startswith(reason) and bool(said) == bool(reason)


@pytest.mark.skipif(not shutil.which("fincore"), reason="util-linux's fincore is not installed")
def test_pages_are_counted_as_fincore_counts_them(on_disk):
    page_cache.drop([on_disk])
    with open(on_disk, "rb") as stream:
        stream.seek(4 * MEBIBYTE)
        stream.read(MEBIBYTE)
    command = ["fincore", "--bytes", "--noheadings", "--output", "RES", on_disk]
    counted = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert page_cache.cached_bytes(on_disk) == counted >= MEBIBYTE


def test_pages_that_a_process_has_mapped_and_used_stay(on_disk):
    with open(on_disk, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert mapped[0] == 0
        page_cache.drop([on_disk])
        assert page_cache.cached_bytes(on_disk) > 0


@pytest.mark.skipif(not SHARED_MEMORY.is_dir(), reason="there is no /dev/shm")
def test_pages_of_a_file_system_in_memory_stay(tmp_path):
    path = SHARED_MEMORY / f"segbench-{tmp_path.name}"
    try:
        path.write_bytes(bytes(MEBIBYTE))
        page_cache.drop([path])
        assert page_cache.cached_bytes(path) == MEBIBYTE
    finally:
        path.unlink()


def request_of(folder: Path, engine: str) -> dict[str, Any]:
    """The request of a row on a network that was exported and built here."""
    from export_onnx_model import export

    source = network(folder / "net.onnx", [SCORES], [("scores", TensorProto.FLOAT, [1, len(WEIGHT), *SIZE])])
    model, facts = export("mine", entry(), source)
    exported = folder / "mine"
    exported.mkdir()
    onnx.save(model, str(exported / "model.onnx"))
    record = model_record("mine", entry(), {"model.onnx": exported / "model.onnx"}, 0, ())
    write_json(exported / "model.json", record | facts)
    variant, plugin, out = Variant("mine", engine, "fp32"), load(engine), folder / "built" / "engine"
    plugin.build(ExportedModel.open(exported / "model.json"), None, variant, plugin.build_options(), out)
    write_json(out.with_name("status.json"), {"status": "ok", "reason": "", "manifest": manifest_of(out)})
    images = sorted((make_folder_dataset(folder / "set", 2) / "val").glob("*.png"))
    with open(folder / "images.csv", "w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["image_id", "image", "image_sha256"])
        table.writerows([path.stem, path, ""] for path in images)
    return {
        "engine": str(out), "engine_status": str(out.with_name("status.json")), "options": {},
        "variant": {"name": f"{engine}-fp32", "engine": engine, "precision": "fp32"},
        "timing": {"images_per_round": 2, "seed": 1, "pin": True, "warm_up": {"max_runs": 3}},
        "model": str(exported / "model.json"), "index": str(folder / "images.csv"), "decoded": None, "threads": 1,
    }  # fmt: skip


def run(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    out = folder / "mine" / "row.json"
    time_starts.run(request, Limits(), 1, out)
    assert [path.name for path in out.parent.iterdir() if path.name.startswith(".")] == []
    return read_json(out)


def test_row_is_started_cold_and_warm_and_with_its_engines_cache_filled(disk, monkeypatch):
    monkeypatch.setattr(time_starts, "MAX_CACHED", 2.0)  # processes of the tests use OpenVINO's files
    request, seen, run_stage = request_of(disk, "openvino"), list[int](), time_starts.run_stage
    weights = Path(request["engine"]) / "model.bin"

    def watched(*arguments: Any, **named: Any) -> Outcome:
        seen.append(page_cache.cached_bytes(weights))
        return run_stage(*arguments, **named)

    monkeypatch.setattr(time_starts, "run_stage", watched)
    record = run(disk, request)
    assert (record["status"], record["reason"], record["cold_reason"]) == ("ok", "", "")
    starts, size = record["starts"], weights.stat().st_size
    assert [(one["round"], one["condition"]) for one in starts] == [(1, "own cache"), (1, "cold"), (1, "warm")]
    assert seen == [size, size, size, 0, size]  # two starts before them fill the caches
    for one in starts:
        assert 0 < one["framework_s"] < one["open_s"] < one["first_mask_s"] and one["begun_s"] > 0
        assert one["first_mask_s"] == pytest.approx(one["open_s"] + one["first_image_s"])
        assert (one["warm_up_runs"], one["warm_up_settled"]) == (3, None) and one["still_cached"] > 0
    assert record["cache_bytes"] > 0 and record["files"] > 20 and record["file_bytes"] > 10 * MEBIBYTE


def test_row_whose_files_stay_cached_has_no_cold_start_and_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(time_starts, "MAX_CACHED", 0.0)  # this process builds the engine, so it uses its files
    record = run(tmp_path, request_of(tmp_path, "onnxruntime"))
    assert record["status"] == "ok" and [one["condition"] for one in record["starts"]] == ["warm"]
    assert "stayed in the page cache, most of it of" in record["cold_reason"] and record["cache_bytes"] == 0
    page = cold_start.page([("mine", record)], "x.svg")
    assert f"- onnxruntime-fp32: no cold start: {record['cold_reason']}" in page and "| page cache cold" not in page


def test_files_that_are_known_to_have_stayed_make_no_cold_start_whatever_is_not_told_of_others(tmp_path, monkeypatch):
    monkeypatch.setattr(time_starts, "MAX_CACHED", 0.0)
    counted = page_cache.cached
    monkeypatch.setattr(page_cache, "cached", lambda paths: counted(paths)._replace(untold=10**10))
    record = run(tmp_path, request_of(tmp_path, "onnxruntime"))
    assert [(one["condition"], one["still_cached"]) for one in record["starts"]] == [("warm", None)]
    assert "stayed in the page cache" in record["cold_reason"] and record["unchecked_reason"] == ""


def test_cold_start_is_unchecked_where_the_system_tells_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(page_cache, "mincore", lambda *arguments: -1)
    record = run(tmp_path, request_of(tmp_path, "onnxruntime"))
    assert [(one["condition"], one["still_cached"]) for one in record["starts"]] == [("cold", None), ("warm", None)]
    assert record["cold_reason"] == "" and "the system does not tell" in record["unchecked_reason"]
    page = cold_start.page([("mine", record)], "x.svg")
    assert "| onnxruntime-fp32 | page cache cold, unchecked |" in page
    assert "; page cache cold, unchecked, onnxruntime-fp32, after " in page
    assert f"- onnxruntime-fp32: cold start unchecked: {record['unchecked_reason']}" in page


def test_engine_whose_files_are_damaged_is_not_started(tmp_path):
    request = request_of(tmp_path, "onnxruntime")
    (Path(request["engine"]) / "model.onnx").write_bytes(b"damaged")
    record = run(tmp_path, request)
    assert record["status"] == "refused" and "damaged" in record["reason"] and record["starts"] == []
    assert "- onnxruntime-fp32: refused: " in cold_start.page([("mine", record)], "x.svg")


@pytest.mark.parametrize("engine", [name for name in names() if load(name).has_cache])
def test_options_of_an_engines_cache_are_known_to_the_engine(engine, tmp_path):
    for folder in (tmp_path, None):
        parse_options(load(engine).run_options, load(engine).with_cache({}, folder), "run")


def test_configured_cache_of_openvino_is_off_where_starts_are_without():
    own = {"properties": {"CACHE_DIR": "mine", "CACHE_MODE": "OPTIMIZE_SIZE"}}
    assert load("openvino").with_cache(own, None) == {"properties": {"CACHE_MODE": "OPTIMIZE_SIZE"}}


def record_of(variant: str, warm: list[float], cold: list[float]) -> dict[str, Any]:
    """A record of starts whose first masks took these seconds, a tenth of it the first image."""
    return {
        "status": "ok", "reason": "", "cold_reason": "", "unchecked_reason": "", "variant": {"name": variant},
        "starts": [
            {
                "round": number, "condition": condition, "framework_s": 0.4 * taken, "open_s": 0.9 * taken,
                "first_image_s": 0.1 * taken, "first_mask_s": taken, "warm_up_runs": 20 + number,
                "warm_up_settled": condition == "warm", "still_cached": 0.03 if condition == "cold" else 1.0,
            }
            for number, both in enumerate(zip(warm, cold, strict=True), 1)
            for condition, taken in zip(("warm", "cold"), both, strict=True)
        ],
    }  # fmt: skip


def test_page_has_medians_paired_ratios_and_the_soonest_variant():
    slow = record_of("slow", [1.0, 1.01, 0.99], [2.0, 2.02, 1.98])
    near = record_of("near", [0.5, 0.51, 0.49], [4.0, 4.04, 3.96])
    fast = record_of("fast", [0.49, 0.5, 0.48], [3.0, 3.03, 2.97])
    page = cold_start.page([("net", one) for one in (slow, near, fast)], "cold_start.svg")
    assert (
        "The first class map of net comes soonest from: warm, fast, after 0.490 ±5% s (not told apart from it: near);"
        " page cache cold, slow, after 2.00 ±3% s." in page
    )
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| slow")
    ]
    assert lines == [
        ["slow", "warm", "0.400", "0.500", "0.100", "1.000 ±3%", "", "22", "100%"],
        ["slow", "page cache cold", "0.800", "1.000", "0.200", "2.00 ±3%", "2.00 ±0%", "&gt; 22", "3.0%"],
    ]


def test_page_of_a_model_that_never_started_has_its_reasons_alone():
    record = {"status": "unsupported", "reason": "no GPU", "variant": {"name": "gone"}, "starts": []}
    page = cold_start.page([("net", record)], "x.svg")
    assert page.endswith("## net\n\n- gone: unsupported: no GPU\n")
    assert starts_of("net", record) == []
    assert bars(starts_of("net", record)).file_spec()["datasets"] == {"figures": [{}]}  # a sentence is drawn


def test_report_shows_the_starts_that_were_timed(tmp_path):
    made = Made(tmp_path)
    assert 'id="starts"' not in report_page(content_of(made))
    record = record_of("openvino-int8", [1.0, 1.01, 0.99], [2.0, 2.02, 1.98])
    for variant in ("openvino-int8", "gone"):
        write_record(made.results / "cold_start" / "made" / "second" / f"{variant}.json", record)
    text = report_page(content_of(made))
    section = text[text.index('<section id="starts"') : text.index('<section id="rows"')]
    row = next(row for row in made_rows(made) if (row["model"], row["variant"]) == ("second", "openvino-int8"))
    assert section.count(f'<tr data-row="{row["id"]}">') == 2 == section.count("<tr data-row")
    assert "The first class map of GCNet (narrow) comes soonest from: warm, openvino-int8, after 1.000 ±3% s" in section


def test_picture_has_a_bar_for_each_condition():
    plot = bars(starts_of("net", record_of("fast", [0.5, 0.51, 0.49], [4.0, 4.04, 3.96])))
    assert [(one["start"], one["seconds"]) for one in plot.records] == [("warm", 0.5), ("page cache cold", 4.0)]
    assert render.svg(plot.file_spec()).startswith("<svg")
    assert plot.caption == "Every start is a new process. Medians over rounds."


def test_picture_names_the_cold_starts_that_are_unchecked():
    record = record_of("fast", [0.5, 0.51, 0.49], [4.0, 4.04, 3.96])
    for one in record["starts"]:
        one["still_cached"] = None
    assert bars(starts_of("net", record)).caption.endswith(" Unchecked: net · fast, page cache cold.")
