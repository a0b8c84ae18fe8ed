"""Batches and streams of a small run, by the real Snakemake."""

import pytest


def test_added_settings_rerun_no_row_of_another(done):
    done.config["sweep"] = {"batch": [2], "streams": [2], "threads": [1]}
    new = {f"{name}-{end}" for name in ("onnxruntime-fp32", "openvino-fp32") for end in ("b2", "s2", "t1")}
    planned = done.plan()
    for rule in ("build_engine", "infer", "time_round", "score"):
        assert planned.variants(rule) == new
    assert planned["time_round"] == 2 * len(new)


@pytest.mark.slow
def test_batches_and_streams_have_the_class_maps_and_the_score_of_single_images(done):
    done.config["variants"] = ["onnxruntime-fp32", "openvino-fp32"]
    done.config |= {"sweep": {"batch": [3], "streams": [2]}, "threads": 2}
    done.config["variant_catalogue"] = {"paddle-s2": {"engine": "paddle", "precision": "fp32", "streams": 2}}
    done.config["variants"].append("paddle-s2")
    done.snakemake()
    rows = {row["variant"]: row for row in done.rows()}
    assert len(rows) == 7
    assert "no way to run streams: 2" in rows["paddle-s2"]["reason"] and rows["paddle-s2"]["status"] == "unsupported"
    for name in ("onnxruntime-fp32", "openvino-fp32"):
        for end in ("b3", "s2"):
            row = rows[f"{name}-{end}"]
            assert (row["status"], row["repeatable"], row["base_variant"]) == ("ok", "true", name)
            assert float(row["single_agreement"]) == float(row["pixel_agreement"]) == 1
            assert row["miou"] == rows[name]["miou"]
            assert float(row["images_per_s"]) == pytest.approx(1 / float(row["time_s"]))
        assert float(rows[f"{name}-b3"]["latency_s"]) > 2 * float(rows[f"{name}-b3"]["time_s"])
        log = done.folder / f"results/logs/score/made/nearest/{name}-b3.log"
        assert "its score is this row's" in log.read_text()
    assert "## Throughput" in (done.folder / "results/table.md").read_text()
    assert done.plan().keys() <= {"report", "table"}  # `threads` has timed older rows again, in blocks of another name
