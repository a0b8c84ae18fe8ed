"""Engines for RTX cards in a run: really built without a GPU, and the rows say that none of them could be timed."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import Workflow, copy_workflow
from helpers.skips import need_package
from segbench.calibration.typed_onnx import write_typed
from segbench.config.options import Variant
from segbench.engines.base import load
from segbench.files import manifest_of
from segbench.images.normalize import Normalizer
from segbench.images.read import read_image
from segbench.machine.cpu import nvidia_driver
from segbench.models.exported import ExportedModel
from test_int8 import with_int8

VARIANTS = [f"tensorrt_rtx-{precision}" for precision in ("fp32", "fp16", "int8")]
MODELS = [f"{name}_demo" for name in ("ann", "danet", "deeplabv3p", "dnlnet", "emanet", "gcnet", "pspnet", "unet")]


@pytest.fixture(autouse=True)
def _packages_without_a_gpu():
    need_package("tensorrt_rtx_bindings")
    if nvidia_driver():
        pytest.skip("there is a GPU: rows are timed")


def assert_built_and_not_timed(rows: list[dict[str, str]]) -> None:
    for row in rows:
        assert (row["status"], row["reason"]) == ("unsupported", "no NVIDIA driver")
        assert int(row["engine_bytes"]) > 1000 and float(row["build_s"]) > 0 and row["time_s"] == ""


def class_map(model: ExportedModel, table: Path, precision: str, image: np.ndarray) -> np.ndarray:
    """What ONNX Runtime's CPU provider makes of the typed model that the engine is built from."""
    import onnxruntime

    path = table / f"{precision}.onnx"
    write_typed(model, table, Variant("v", "tensorrt_rtx", precision), path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    facts = model.facts
    network_input = Normalizer(facts["preprocessing"], facts["input"]["height"], facts["input"]["width"])(image)
    return session.run(None, {session.get_inputs()[0].name: network_input})[0]


def test_engines_are_built_without_a_gpu_and_rows_say_why_they_are_not_timed(workflow):
    workflow.config = with_int8(workflow.folder, workflow.config) | {
        "variants": ["tensorrt_rtx-fp32", "tensorrt_rtx-int8"]
    }
    workflow.snakemake("results/table.md")
    assert_built_and_not_timed(workflow.rows())
    assert len(list((workflow.folder / "results" / "engines").rglob("*.plan"))) == 2


@pytest.mark.slow
def test_all_eight_demo_models_serialize_in_every_precision_with_the_same_bytes_twice(tmp_path):
    flow = Workflow(copy_workflow(tmp_path / "work flow"))
    flow.config = yaml.safe_load((flow.folder / "config/tensorrt_rtx.yaml").read_text()) | {
        "variants": VARIANTS,
        "rounds": 1,
        "calibration": {"images": 2, "judging_images": 2, "max_drop": None},
        "dataset_catalogue": {"demo": {"limit": 1, "generate": {"train": 4, "val": 1}}},
        "agreement_images": 1,
    }
    for models in (MODELS[:3], MODELS[:6], MODELS):  # in parts, for the time limit of a call
        flow.config["models"] = models
        flow.snakemake("results/table.md")
    rows = flow.rows()
    assert [(row["model"], row["variant"]) for row in rows] == [(m, v) for m in MODELS for v in VARIANTS]
    assert_built_and_not_timed(rows)
    engine = load("tensorrt_rtx")
    with open(flow.folder / "results/data/demo/val/index.csv", newline="") as stream:
        image = read_image(flow.folder / next(csv.DictReader(stream))["image"])
    for model in MODELS:
        exported = ExportedModel.open(flow.folder / f"results/models/{model}/model.json")
        table = flow.folder / f"results/calibration/demo/{model}/percentile"
        for name in VARIANTS:
            variant = Variant(name, "tensorrt_rtx", name.rpartition("-")[2])
            again = tmp_path / model / name
            engine.build(exported, table, variant, engine.build_options(), again)
            recorded = json.loads((flow.folder / f"results/engines/demo/{model}/{name}/status.json").read_text())
            assert manifest_of(again) == recorded["manifest"], (model, name)
        maps = {which: class_map(exported, table, which, image) for which in ("fp32", "fp16", "int8")}
        assert np.mean(maps["fp16"] == maps["fp32"]) > 0.999, model
        assert np.mean(maps["int8"] == maps["fp32"]) > 0.9, model  # two calibration images, every layer in INT8
