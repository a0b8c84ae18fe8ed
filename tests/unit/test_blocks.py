"""Blocks: in which order rounds are timed, and which rounds of the control belong to them."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from segbench.planning.inference import Inference

TIMING = {"seed": 0, "control": None, "images_per_round": 8, "target": 0.05}
VARIANTS = {
    "openvino-fp32": {"engine": "openvino"},
    "onnxruntime-fp32": {"engine": "onnxruntime"},
    "paddle-fp32": {"engine": "paddle"},
    "tensorrt-fp32": {"engine": "tensorrt"},
}


class Wildcards(SimpleNamespace):
    def get(self, name, default=None):
        return getattr(self, name, default)


def planning(variants, models=("first", "second"), rounds=2, **timing):
    config = {"dataset": "made", "models": list(models), "variants": list(variants), "rounds": rounds, "shards": 1}
    return Inference({**config, "timing": {**TIMING, **timing}, "variant_catalogue": VARIANTS})


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def timed(by, variants, models=("first", "second")):
    """Leave the rounds of a run."""
    for path in planning(variants, models).runs("status.json", {}):
        if not Path(path).exists():
            Path(path).parent.mkdir(parents=True)
            Path(path).write_text(json.dumps({"status": "ok", "block": by.block}))


def test_control_is_onnx_runtime_where_it_is_chosen_and_stays_on_the_device_of_the_rows():
    assert planning(["openvino-fp32", "onnxruntime-fp32"]).control() == ["first", "onnxruntime-fp32"]
    assert planning(["openvino-fp32"]).control() == ["first", "openvino-fp32"]
    assert planning(["tensorrt-fp32", "onnxruntime-fp32"]).control() == ["first", "tensorrt-fp32"]
    assert planning(["openvino-fp32"], control="second/paddle-fp32").control() == ["second", "paddle-fp32"]


def test_every_block_has_one_round_of_the_control():
    found = planning(["openvino-fp32", "onnxruntime-fp32"]).controls("status.json", {"second/openvino-fp32": 1})
    assert [Path(path).parts[-3:-1] for path in found] == [
        (f"{model}-{found[0].split('/')[-3].rpartition('-')[2]}", number)
        for model, number in (("first", "1"), ("first", "2"), ("second", "1"), ("second", "2"), ("second", "3"))
    ]


def test_a_variant_that_is_left_out_changes_no_block():
    before = planning(["openvino-fp32", "onnxruntime-fp32"])
    timed(before, ["openvino-fp32", "onnxruntime-fp32"])
    fewer = planning(["openvino-fp32"])
    assert fewer.block != before.block
    assert fewer.controls("status.json", {}) == before.controls("status.json", {})
    assert fewer.control() == ["first", "onnxruntime-fp32"]


def test_a_variant_that_is_added_gets_blocks_of_its_own():
    before = planning(["openvino-fp32", "onnxruntime-fp32"])
    timed(before, ["openvino-fp32", "onnxruntime-fp32"])
    more = planning(["openvino-fp32", "onnxruntime-fp32", "paddle-fp32"])
    found = more.controls("status.json", {})
    assert set(before.controls("status.json", {})) < set(found)
    assert len(found) == 2 * len(before.controls("status.json", {}))
    timed(more, ["paddle-fp32"])
    again = planning(["openvino-fp32", "onnxruntime-fp32", "paddle-fp32"])
    assert again.controls("status.json", {}) == found


def test_rows_of_one_model_alone_keep_the_control_that_they_were_timed_beside():
    before = planning(["openvino-fp32", "onnxruntime-fp32"])
    timed(before, ["openvino-fp32", "onnxruntime-fp32"])
    alone = planning(["openvino-fp32", "onnxruntime-fp32"], models=["second"])
    assert alone.control() == ["first", "onnxruntime-fp32"]
    assert set(alone.controls("status.json", {})) < set(before.controls("status.json", {}))


def test_damaged_status_does_not_stop_planning():
    path = Path(planning(["openvino-fp32"]).runs("status.json", {})[0])
    path.parent.mkdir(parents=True)
    for text in ("{", "[]", '{"block": 7}', '{"block": "a"}'):
        path.write_text(text)
        assert planning(["openvino-fp32"]).control() == ["first", "openvino-fp32"]


def test_blocks_are_timed_one_behind_the_other_in_an_order_by_seed():
    variants = ["openvino-fp32", "onnxruntime-fp32", "paddle-fp32"]
    made = planning(variants)
    jobs = {
        (int(number), model, variant): made.priority(Wildcards(model=model, variant=variant, round=number))
        for number in "12"
        for model in ("first", "second")
        for variant in variants
    }
    for number, model in ((1, "first"), (1, "second"), (2, "first"), (2, "second")):
        wildcards = Wildcards(model="first", variant="x", block=f"{model}-00000000", round=str(number))
        jobs[number, model, "the control"] = made.priority(wildcards)
    order = sorted(jobs, key=jobs.__getitem__, reverse=True)
    assert [key[:2] for key in order] == sorted(key[:2] for key in jobs)
    assert min(jobs.values()) > 0 and max(jobs.values()) <= 1
    assert len({tuple(key[2] for key in order[at : at + 4]) for at in (0, 4, 8, 12)}) > 1
