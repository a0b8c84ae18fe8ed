"""Whatever stands in a file of ours, its reader returns or says InputError: nothing else comes out (property-based)."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from faults.parsers import PARSERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from segbench.calibration.table import CalibrationTable, read_table, write_table
from segbench.datasets import folder as folder_layout
from segbench.errors import InputError
from segbench.files import read_json, write_record
from segbench.images.index import read_index
from segbench.images.labels import read_label
from segbench.planning.check import read_config

ROOT = Path(__file__).parents[2]
FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner))
FINITE = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
RECORDS = st.dictionaries(st.text(min_size=1, max_size=8).filter(lambda key: key != "seal"), FINITE, min_size=1)
STARTS = (
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"BM",
    b"PK\x03\x04",
    b"\x80\x02}",
    b"\x93NUMPY",
    b"\x08\x08",
    b"{",
)


@pytest.mark.parametrize("name", PARSERS)
@FEW
@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=300))
def test_bytes_are_read_or_refused(tmp_path, name, start, rest):
    path = tmp_path / name
    path.write_bytes(start + rest)
    with contextlib.suppress(InputError):
        PARSERS[name](path)


@pytest.fixture(scope="module")
def merged() -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for name in ("config", "models", "variants", "calibrators", "datasets"):
        whole |= yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text())
    return whole


@FEW
@given(data=st.data(), value=VALUES)
def test_any_value_of_any_key_is_accepted_or_refused_by_its_name(merged, data, value):
    key = data.draw(st.sampled_from(sorted(merged)))
    try:
        read_config({**merged, key: value}, [])
    except InputError as error:
        assert key in str(error) or "configuration" in str(error)


@FEW
@given(record=RECORDS)
def test_sealed_record_comes_back_and_any_other_number_is_noticed(tmp_path, record):
    path = tmp_path / "results" / "runs" / "status.json"
    write_record(path, record)
    assert read_json(path) == record
    write_record(path, {**record, "figure": 12345})
    path.write_text(path.read_text().replace("12345", "12346"))
    with pytest.raises(InputError, match=r"status\.json: damaged"):
        read_json(path)


def test_record_in_anothers_place_is_refused_but_results_may_move(tmp_path):
    write_record(tmp_path / "results/runs/a/status.json", {"status": "ok"})
    (tmp_path / "results/runs/b").mkdir()
    other = (tmp_path / "results/runs/a/status.json").rename(tmp_path / "results/runs/b/status.json")
    with pytest.raises(InputError, match=r"is the record of runs/a/status\.json"):
        read_json(other)
    other.rename(tmp_path / "results/runs/a/status.json")
    moved = (tmp_path / "results").rename(tmp_path / "archive")
    assert read_json(moved / "runs/a/status.json") == {"status": "ok"}


@FEW
@given(id_map=st.dictionaries(st.integers(-1, 255), st.integers(0, 255)), raw=st.integers(0, 255))
def test_id_map_maps_what_it_names_and_ignores_the_rest(tmp_path, id_map, raw):
    cv2.imwrite(str(tmp_path / "label.png"), np.full((1, 1), raw, np.uint8))
    named = {key % 256: value for key, value in id_map.items()}
    assert read_label(tmp_path / "label.png", id_map)[0, 0] == named.get(raw, 255)


@FEW
@given(id_map=st.dictionaries(st.integers() | st.text(max_size=3), st.integers()), ignore=st.integers(0, 255))
def test_id_map_of_a_folder_is_accepted_or_refused(tmp_path, id_map, ignore):
    entry = {"classes": ["a", "b"], "ignore_index": ignore, "id_map": {str(k): v for k, v in id_map.items()}}
    with contextlib.suppress(InputError, ValueError):  # ValueError: keys that the configuration's schema keeps out
        folder_layout.LAYOUT.facts(tmp_path, "val", entry)


@FEW
@given(ranges=st.dictionaries(st.text(max_size=5), st.tuples(st.floats(-9, 0), st.floats(0, 9)), max_size=4))
def test_calibration_table_comes_back(tmp_path, ranges):
    table = CalibrationTable("model", {"image": "hash"}, {"name": "minmax"}, {}, ranges)
    write_table(tmp_path / "table.json", table)
    assert read_table(tmp_path / "table.json", "model") == table


@FEW
@given(text=st.text(max_size=200))
def test_index_without_a_summary_is_text_of_any_kind(tmp_path, text):
    (tmp_path / "index.csv").write_text(text, encoding="utf-8", errors="ignore", newline="")
    with contextlib.suppress(InputError):
        assert all(isinstance(row, dict) for row in read_index(tmp_path / "index.csv"))


def test_changed_byte_of_an_index_is_noticed(tmp_path):
    from segbench.files import sha256_of, write_text

    write_text(tmp_path / "index.csv", "image_id,image\na,a.png\n")
    write_record(tmp_path / "dataset.json", {"index_sha256": sha256_of(tmp_path / "index.csv")})
    assert read_index(tmp_path / "index.csv") == [{"image_id": "a", "image": "a.png"}]
    data = bytearray((tmp_path / "index.csv").read_bytes())
    for at in np.random.default_rng(0).choice(len(data), 10, replace=False):
        data[at] ^= 1
        (tmp_path / "index.csv").write_bytes(bytes(data))
        with pytest.raises(InputError, match=r"index\.csv: damaged"):
            read_index(tmp_path / "index.csv")
        data[at] ^= 1
