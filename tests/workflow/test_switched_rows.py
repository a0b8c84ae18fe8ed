"""Switching groups of layers of INT8 rows in a small real run: what is measured, what is made again, and the row."""

import json

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from test_int8 import with_int8

PAGE = "results/mixed_precision/made/nearest/{variant}"


@pytest.fixture
def two_layers(workflow):
    """An INT8 run whose network has a further layer in front, which changes nothing."""
    workflow.config = with_int8(workflow.folder, workflow.config)
    path = workflow.folder / "nearest.onnx"
    model = onnx.load(str(path))
    first = model.graph.node[0]
    first.name, first.input[0] = "classify", "same"
    model.graph.node.insert(0, helper.make_node("Conv", ["image", "eye"], ["same"], name="in front"))
    eye = np.eye(3, dtype=np.float32)[:, :, None, None]
    model.graph.initializer.append(numpy_helper.from_array(eye, "eye"))
    onnx.save(model, str(path))
    workflow.config["comparison"] = {"rounds": 2, "blocks": 2}
    workflow.config["calibration"]["max_drop"] = None
    return workflow


def test_switching_times_no_round_of_the_table(two_layers):
    planned = two_layers.plan(PAGE.format(variant="onnxruntime-int8") + ".md")
    assert planned["profile_layers"] == planned["group_layers"] == planned["choose_mix"] == 1
    assert planned["build_engine"] == 2 and "time_round" not in planned and "score" not in planned


def test_a_file_of_layers_that_is_not_there_is_told(two_layers):
    two_layers.config["calibrator_catalogue"] = {"percentile": {"fp32_layers": {"nearest": "no such.json"}}}
    assert "no such.json" in two_layers.snakemake("results/table.md", "--dry-run", fails=True)


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "library"), [("onnxruntime-int8", "onnxruntime"), ("openvino-int8", "nncf")])
def test_groups_are_switched_and_a_file_of_layers_makes_a_row(two_layers, variant, library):
    page = PAGE.format(variant=variant)
    two_layers.snakemake(f"{page}.md")
    record = json.loads((two_layers.folder / f"{page}.json").read_text())
    assert record["status"] == "ok" and record["taken"] in ("chosen", "int8", "fp32")
    assert [one["status"] for one in record["measured"]] == ["ok"] * 5
    assert [one["name"] for one in record["measured"]] == ["int8", "group1", "group2", "chosen", "fp32"]
    groups = json.loads((two_layers.folder / page / "groups.json").read_text())["groups"]
    assert [len(one["layers"]) for one in groups.values()] == [1, 1]
    for name in groups:
        built = json.loads((two_layers.folder / page / name / "status.json").read_text())
        assert (built["status"], built["fp32_layers"]) == ("ok", 1)
        pair = json.loads((two_layers.folder / page / f"pairs/int8--{name}.json").read_text())
        assert (pair["status"], pair["together"]) == ("ok", True)
    assert two_layers.plan(f"{page}.md") == {}
    (two_layers.folder / page / "pairs/int8--group2.json").unlink()
    again = two_layers.plan(f"{page}.md", f"{page}/pairs/int8--group2.json")
    # the pair, and what follows from the choice: the mix, and its two pairs
    assert (again["time_pair_mix"], again["build_engine_mix"]) == (3, 1) and "group_layers" not in again

    (two_layers.folder / "mine.json").write_text(json.dumps({"fp32_layers": groups["group1"]["layers"]}))
    two_layers.config |= {
        "calibrator_catalogue": {"kept": {"library": library, "fp32_layers": {"nearest": "mine.json"}}},
        "variant_catalogue": {
            f"{variant}-mixed": {"engine": variant.split("-")[0], "precision": "int8", "calibrator": "kept"}
        },
    }
    row = f"results/engines/made/nearest/{variant}-mixed/status.json"
    two_layers.snakemake(row)
    built = json.loads((two_layers.folder / row).read_text())
    assert (built["status"], built["fp32_layers"]) == ("ok", 1)
