"""A sweep makes rows beside those that are chosen, with the exports and calibrations of these."""

import json
from types import SimpleNamespace

import pytest
from segbench.planning.check import read_config
from segbench.planning.rules import Planning
from test_blocks import Wildcards
from test_config import CATALOGUES, MODEL, fault, merged

LISTED = {"models": ["unet_demo"], "variants": ["openvino-int8", "paddle-fp32"]}


def swept(overlay=None, **sweep):
    return read_config({**merged(CATALOGUES), **LISTED, **(overlay or {}), "sweep": sweep}, CATALOGUES)


def test_each_setting_is_a_row_behind_its_own_and_settings_vary_one_at_a_time():
    config = swept(batch=[1, 2, 8], streams=[1, 2], threads=[1])
    made = ["-b2", "-b8", "-s2", "-t1"]
    assert config["variants"] == [f"{name}{end}" for name in LISTED["variants"] for end in ("", *made)]
    entry = config["variant_catalogue"]["openvino-int8"]
    assert config["variant_catalogue"]["openvino-int8-b8"] == {**entry, "batch": 8}
    assert config["variant_catalogue"]["openvino-int8-t1"] == {**entry, "threads": 1}
    assert not entry.keys() & {"batch", "streams", "threads"}


def test_without_a_sweep_nothing_is_made():
    assert swept()["variants"] == LISTED["variants"] and swept()["models"] == LISTED["models"]


def test_settings_share_the_calibration_and_jobs_are_told_what_is_not_usual():
    planning = Planning(swept(batch=[4], streams=[2], threads=[1]))
    sides = {end: Wildcards(dataset="demo", model="unet_demo", variant=f"openvino-int8{end}") for end in ("", "-b4")}
    alone, batch = sides.values()
    assert planning.engines.calibration(alone) == planning.engines.calibration(batch) != []
    assert planning.engines.files(alone) == planning.engines.files(batch)
    identity = {"name": "openvino-int8", "engine": "openvino", "precision": "int8"}
    assert json.loads(planning.engines.identity(alone)) == identity
    assert json.loads(planning.engines.identity(batch)) == {**identity, "name": "openvino-int8-b4", "batch": 4}
    threads = Wildcards(variant="openvino-int8-t1")
    assert [planning.jobs.threads(w) for w in (alone, threads)] == [0, 1]
    assert planning.jobs.memory_mb(batch, 1) > planning.jobs.memory_mb(alone, 1)


def test_a_setting_is_scored_beside_its_own_variant_where_that_is_chosen():
    config = swept(streams=[2])
    files = Planning(config).scoring.single_files
    row = SimpleNamespace(dataset="demo", model="unet_demo", variant="openvino-int8-s2")
    assert files(row) == {
        "single": "results/predictions/demo/unet_demo/openvino-int8/0/predictions.zip",
        "single_status": "results/predictions/demo/unet_demo/openvino-int8/0/status.json",
        "single_score": "results/scores/demo/unet_demo/openvino-int8.json",
    }
    row.shard = "1of3"
    assert files(row)["single_score"] == "results/scores/demo/unet_demo/openvino-int8/1of3.json"
    assert files(SimpleNamespace(**{**vars(row), "variant": "openvino-int8"})) == {}
    config["variants"].remove("openvino-int8")
    assert files(row) == {}


def test_size_makes_a_model_of_another_input_that_images_are_stretched_to():
    config = swept(size=["256x512", "128x256"])  # the first is the demo's own
    assert config["models"] == ["unet_demo", "unet_demo-128x256"]
    own, made = (config["model_catalogue"][name] for name in config["models"])
    assert made["input"] == {"height": 128, "width": 256} and made["title"] == f"{own['title']} 128×256"
    assert (own["preprocessing"]["resize"], made["preprocessing"]["resize"]) == ("none", "stretch")
    assert made["weights"] == own["weights"]
    selection = json.loads(Planning(config).report.selection(None))
    assert selection["base_models"] == {"unet_demo-128x256": "unet_demo"}


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ({"sweep": {"bach": [2]}}, "mine.yaml: sweep.bach: unknown key; did you mean 'batch'?"),
        ({"sweep": {"size": ["128"]}}, "mine.yaml: sweep.size[0]: '128': string should match pattern"),
        (
            {"variant_catalogue": {"openvino-fp32": {"batch": 2, "streams": 2}}},
            "mine.yaml: variant_catalogue.openvino-fp32: has batch and streams; give one of them",
        ),
        (
            {
                "sweep": {"batch": [2]},
                "variant_catalogue": {"openvino-fp32-b2": {"engine": "paddle", "precision": "fp32"}},
            },
            "mine.yaml: sweep: makes an entry 'openvino-fp32-b2', but there is another one of this name: rename that",
        ),
        (
            {
                "sweep": {"size": ["64x64"]},
                "models": ["m"],
                "model_catalogue": {"m": {**MODEL, "preprocessing": {"resize": {"kind": "short_side", "size": 32}}}},
            },
            "mine.yaml: sweep: model 'm' resizes by 'short_side', which has a size of its own: give it made entries",
        ),
        (
            {"sweep": {"batch": [2]}, "comparison": {"pairs": [["openvino-fp32", "openvino-fp32-b2"]]}},
            "mine.yaml: comparison.pairs[0][1]: 'openvino-fp32-b2' does not run one image after the other, as pairs are"
            " timed; give alternate: false",
        ),
    ],
)
def test_sweep_that_cannot_be_made_is_told(tmp_path, overlay, message):
    assert message in fault(tmp_path, **overlay)
