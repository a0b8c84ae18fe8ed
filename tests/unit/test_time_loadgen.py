"""LoadGen as an independent clock: its log is read; without the package the record says what to do."""

import json

import pytest
from segbench.machine.cpu import package_version
from time_loadgen import PACKAGE, median_of_log


def test_median_is_read_from_loadgens_log():
    text = "\n".join(
        f":::MLLOG {json.dumps({'key': key, 'value': value})}"
        for key, value in (("result_90.00_percentile_latency_ns", 9e6), ("result_50.00_percentile_latency_ns", 5e6))
    )
    assert median_of_log(text) == pytest.approx(0.005)


def test_log_without_a_median_is_refused():
    with pytest.raises(ValueError, match="no result_50"):
        median_of_log(":::MLLOG {}")


def test_version_is_found_by_the_name_that_is_pinned():
    from pathlib import Path

    pinned = (Path(__file__).parents[2] / "requirements/loadgen.txt").read_text()
    version = package_version(PACKAGE)
    assert f"{PACKAGE}==" in pinned and (version is None or f"{PACKAGE}=={version}" in pinned)
