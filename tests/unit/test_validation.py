"""The commands that produce the clock's figures: they explain themselves, and their arithmetic is right."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import yaml
from helpers.onnx_made import SCORES, SIZE, WEIGHT, network, scores
from onnx import TensorProto
from segbench.errors import InputError

from validation.clock.against_benchmark_app import rate_of
from validation.clock.against_loadgen import in_turns
from validation.clock.interval_coverage import drifting, in_blocks_of_time
from validation.clock.overhead import clock_overhead_us
from validation.clock.planted_load import shift
from validation.clock.same_twice import spread
from validation.clock.truth import within
from validation.common import agreement, agreement_cells, verdict
from validation.exports import exports
from validation.speed.launchers import as_transformers
from validation.zoo import zoo

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "validation").glob("*/*.py"))


@pytest.mark.parametrize(
    "script", [path for path in SCRIPTS if path.stem != "other_packages"], ids=lambda path: path.name
)
def test_validation_explains_itself(script):
    module = ".".join(script.relative_to(ROOT).with_suffix("").parts)
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


@pytest.mark.parametrize("count", [3, 6])
def test_the_control_keeps_coverage_while_the_machine_drifts(count):
    measured, ratio = drifting(count, 0.95, drift=0.3, noise=0.05, trials=400)
    assert ratio > 0.92
    assert measured < 0.7
    assert min(drifting(count, 0.0, drift=0.3, noise=0.05, trials=400)) > 0.92


def test_windows_of_time_show_a_drift_that_a_shuffle_would_hide():
    drifting_up = [1 + 0.1 * number + 0.01 * (number % 3) for number in range(12)]
    assert in_blocks_of_time(drifting_up, 3) < 0.3
    assert in_blocks_of_time([1.0, 1.1, 0.9] * 4, 3) == 1.0
    assert in_blocks_of_time([1.0] * 5, 3) is None


def test_runs_that_agree_are_within_both_intervals():
    assert within([1.0, 1.1, 0.95], [1.02, 0.97, 1.08]) is True
    assert within([1.0, 1.01, 0.99], [1.2, 1.21, 1.19]) is False
    assert within([1.0, 1.1], [1.0, 1.1, 1.2]) is None


def test_one_disturbed_round_of_three_moves_the_median_to_a_clean_one():
    assert shift([1.0, 1.01, 1.02], 9.0, 3) == pytest.approx(1.02 / 1.01 - 1)
    assert shift([1.0] * 6, 9.0, 6) == 0


def test_spread_is_numpys():
    ratios = [1 + 0.001 * ((7 * i) % 20) for i in range(20)]
    assert spread(ratios) == pytest.approx(tuple(np.quantile(ratios, [0.05, 0.95])))


def test_clock_around_nothing_costs_something():
    assert clock_overhead_us(10) > 0


def row_of_zoo(variant, status="ok", agreement=1.0, reason=""):
    precision = variant.rpartition("-")[2]
    return {
        "variant": variant,
        "precision": precision,
        "status": status,
        "reason": reason,
        "pixel_agreement": agreement,
    }


def test_zoo_counts_families_and_names_every_other_cell():
    good = [row_of_zoo(variant) for variant in zoo.VARIANTS]
    low = [row_of_zoo(variant, agreement=0.9994 if variant == "openvino-fp32" else 0.4) for variant in zoo.VARIANTS]
    lost = [row_of_zoo(variant, "unsupported", None, "no form for x") for variant in zoo.VARIANTS]
    lost[0] = row_of_zoo("paddle-fp32", "bug", None, "KeyError")
    low[:3] = good[:3]
    tables = {"good": good, "low": low, "lost": lost}
    assert list(zoo.counts(tables).values()) == [3, 2, 1, 2, 2, 2, 1]
    others = ", ".join(zoo.VARIANTS[1:])
    assert zoo.reasons(tables) == [
        ["low", "openvino-fp32", "ok", "agreement 0.99940"],
        ["lost", "paddle-fp32", "bug", "KeyError"],
        ["lost", others, "unsupported", "no form for x"],
    ]


def test_zoo_lists_each_family_once_with_nothing_to_download():
    text = zoo.FAMILIES.read_text()
    families = yaml.safe_load(text)["families"]
    assert len(families) == 63 == len(re.findall(r"^  \w+:( #.*)?$", text, re.M))
    assert all(
        "type" in family["model"] and family.keys() <= {"model", "size", "newer"} for family in families.values()
    )
    assert not re.search(r"http|pretrained: (?!null)", text)


def row_of_exports(network, status="ok", reason="", **agreements):
    variants = {f"{engine}-fp32": {"status": "ok", "reason": "", "agreement": a} for engine, a in agreements.items()}
    return {"network": network, "status": status, "reason": reason, "variants": variants}


def test_exports_count_what_pytorch_made_and_name_every_other_cell():
    good, low = {"onnxruntime": 1.0, "openvino": 0.99996}, {"onnxruntime": 1.0, "openvino": 0.999499}
    crashed = row_of_exports("fcn", **good)
    crashed["variants"]["openvino-fp32"] = {"status": "failed", "reason": "crashed", "agreement": None}
    rows = [
        row_of_exports("unet", **good), row_of_exports("unet", exports.REFUSED, "no form"),
        row_of_exports("dpt", **low), crashed, row_of_exports("dpt", "refused", "no size"),
    ]  # fmt: skip
    assert list(exports.counts(rows).values()) == [3, 4, 1, 1, 1]
    shown = [[exports.cell(row, variant) for variant in exports.VARIANTS] for row in rows]
    assert shown == [
        ["1.00000", "0.99996"], ["not exported"] * 2, ["1.00000", "0.99949"], ["1.00000", "failed"], ["refused"] * 2
    ]  # fmt: skip
    assert [exports.why_not(row) for row in rows] == [
        [], ["no form"], ["openvino-fp32: 0.99949"], ["openvino-fp32: crashed"], ["no size"]
    ]  # fmt: skip


def test_benchmark_apps_rate_is_read():
    assert rate_of("[ INFO ] Count: 120\n[ INFO ] Throughput:   95.05 FPS\n") == 95.05
    with pytest.raises(InputError, match="printed no throughput: no such model"):
        rate_of("no such model")


def test_clocks_agree_only_where_a_narrow_interval_contains_one():
    found = agreement([1.0, 1.01, 0.98, 1.02], [1.0, 1.0, 1.0, 1.0])
    assert found["low"] < 1 < found["ratio"] < found["high"] and found["half_width"] < 0.03
    assert agreement_cells(found)[2] == verdict(found) == "yes"
    assert verdict(agreement([1.05, 1.06, 1.07], [1.0, 1.0, 1.0])) == "no"
    assert verdict(agreement([1.010, 1.011, 1.012], [1.0, 1.0, 1.0])) == "differ, by less than 3%"
    assert verdict(agreement([1.025, 1.027, 1.030], [1.0, 1.0, 1.0])) == "no"
    assert verdict(agreement([1.0, 1.5, 0.7], [1.0, 1.0, 1.0])).startswith("not shown")
    assert agreement_cells(agreement([1.0], [1.0])) == ["1.000", "none", "not shown: the interval is too wide"]


def test_turn_is_the_mean_of_its_two_stretches():
    assert in_turns([1.0, 4.0, 3.0, 3.0]) == pytest.approx([2.0, 3.0])


def test_network_with_the_names_of_transformers_computes_the_same(tmp_path):
    source = network(tmp_path / "net.onnx", [SCORES], [("scores", TensorProto.FLOAT, [1, len(WEIGHT), *SIZE])])
    assert as_transformers(source, tmp_path) == SIZE
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).random((1, 3, *SIZE), np.float32)
    np.testing.assert_allclose(session.run(["logits"], {"pixel_values": image})[0], scores(image), rtol=1e-4, atol=1e-5)
