"""Paddle 3 on the CPU: a demo network as Paddle 2.6.2 exports it, and the same network in Paddle 3's own form."""

import numpy as np
import pytest
from helpers.made import make_folder_dataset
from helpers.paddle3_made import ROOT, paddle3, save_with_paddle3
from segbench.scoring.predictions import Predictions

WEIGHTS = ROOT / "resources" / "demo_models" / "ann.npz"  # the network that oneDNN's fusions compute wrongly
SAVE_ANN = f"""
from pathlib import Path
from segbench.models import architectures
from segbench.models.checkpoint import read_arrays
entry = {{"kind": "narrow", "architecture": "ann", "class_count": 19, "weights": {{}}}}
network = architectures.build(entry, 64, 128)
architectures.load(network, read_arrays(Path({str(WEIGHTS)!r})), "ann")
save("ann", lambda outputs: outputs[0], network, (64, 128))
"""
SHARED = {
    "input": {"height": 64, "width": 128},
    "class_count": 19,
    "class_map": [0, 1, 2, 3, *[255] * 15],
}


NO_TWIN = "no ONNX twin: paddle2onnx 1.3.1 cannot read a Paddle 3 model (.json)"
NOT_READ = "this is a Paddle 3 model (.json), which paddle3 and paddle3_onednn alone read"


@pytest.mark.slow
def test_both_forms_agree_with_paddle_2_and_other_engines_say_why_not(workflow):
    python = paddle3()
    save_with_paddle3(workflow.folder, SAVE_ANN)
    make_folder_dataset(workflow.folder / "wide", height=64, width=128)
    make_folder_dataset(workflow.folder / "wide", height=64, width=128, split="train", seed=1)
    splits = {
        "val": {"images": "val/*.png", "labels": "labels/*.png"},
        "train": {"images": "train/*.png", "labels": "train labels/*.png"},
    }
    workflow.config["dataset_catalogue"]["made"] |= {"root": "wide", "splits": splits}
    workflow.config |= {
        "models": ["ann", "own"],
        "variants": ["paddle-fp32", "paddle3-fp32", "paddle3_onednn-fp32", "all-passes"],
        "rounds": 1,
        "interpreters": {"paddle3": python, "paddle3_onednn": python},
        "calibration": {"images": 2, "judging_images": 1, "max_drop": None},
        "model_catalogue": {
            "ann": {"kind": "narrow", "architecture": "ann", "weights": {"path": str(WEIGHTS)}, **SHARED},
            "own": {"kind": "paddle_inference", "weights": {"path": "ann.json"}, **SHARED},
        },
        "variant_catalogue": {
            "all-passes": {"engine": "paddle3_onednn", "precision": "fp32", "run": {"json_deleted_passes": []}},
        },
    }
    workflow.snakemake("results/table.csv")
    rows = {(row["model"], row["variant"]): row for row in workflow.rows()}
    for variant in ("paddle3-fp32", "paddle3_onednn-fp32"):
        for model, reference in (("ann", "paddle-fp32"), ("own", "paddle3-fp32")):
            row = rows[model, variant]
            assert (row["status"], row["reference"]) == ("ok", reference), row
            assert float(row["pixel_agreement"]) >= 0.9995, row
    # oneDNN as Paddle 3 ships it cannot run this model, and the row tells so.
    assert rows["own", "all-passes"]["status"] == "failed"
    assert "not support [pir::ArrayAttribute<pir::DoubleAttribute>]" in rows["own", "all-passes"]["reason"]
    assert (rows["own", "paddle-fp32"]["status"], rows["own", "paddle-fp32"]["reason"]) == ("unsupported", NOT_READ)
    passes = workflow.folder / "results" / "predictions" / "made"
    theirs = Predictions.open(passes / "ann" / "paddle-fp32" / "0" / "predictions.zip")
    ours = Predictions.open(passes / "own" / "paddle3-fp32" / "0" / "predictions.zip")
    assert len(theirs) == len(ours) == 4
    for image in theirs.ids:
        assert np.mean(theirs[image] == ours[image]) >= 0.9995, image

    others = ["onnxruntime-fp32", "onnxruntime-int8", "openvino-fp32", "openvino-int8"]
    workflow.config |= {"models": ["own"], "variants": ["paddle3-fp32", "paddle_onednn-int8", *others]}
    workflow.snakemake("results/table.csv")
    found = {row["variant"]: (row["status"], row["reason"]) for row in workflow.rows()}
    wanted = {"paddle3-fp32": ("ok", ""), "paddle_onednn-int8": ("unsupported", NOT_READ)}
    assert found == wanted | dict.fromkeys(others, ("unsupported", NO_TWIN))
