"""A quantised model is compared with the model of floats that it was made from."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from segbench.files import write_json
from segbench.planning.check import read_config
from segbench.planning.engines import Engines
from segbench.planning.models import Models
from segbench.planning.scoring import Scoring
from segbench.scoring.confusion import confusion_matrix, iou_counts
from segbench.scoring.image_counts import ImageCounts
from segbench.scoring.predictions import key_of
from segbench.scoring.score_record import Judgement, Sums, figures
from segbench.table.row import place_of_reference
from segbench.table.rows import read_rows
from test_config import CATALOGUES, MODEL, merged
from test_rows import AT_INPUT_SIZE, SELECTION, write_class_maps, write_round

SIBLINGS = {"raw": MODEL, "qat": {**MODEL, "float_model": "raw"}}


def configured(tmp_path: Any, **overlay: Any) -> dict[str, Any]:
    """The default configuration with a model and its quantised sibling."""
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"model_catalogue": SIBLINGS, **overlay}))
    files = [*CATALOGUES, str(path)]
    return read_config(merged(files), files)


def of(model: str, variant: str = "openvino-int8-model") -> Any:
    """Wildcards."""
    return SimpleNamespace(dataset="demo", model=model, variant=variant)


@pytest.mark.parametrize(
    ("models", "variants", "folder"),
    [
        (
            ["raw", "qat"],
            ["onnxruntime-fp32", "openvino-int8-model"],
            "results/predictions/demo/raw/onnxruntime-fp32/0",
        ),
        (["qat"], ["onnxruntime-fp32", "openvino-int8-model"], "results/references/demo/raw/onnxruntime-fp32"),
        (["raw", "qat"], ["openvino-int8-model"], "results/references/demo/raw/onnxruntime-fp32"),
    ],
)
def test_reference_of_a_quantised_model_is_its_siblings(tmp_path, models, variants, folder):
    scoring = Scoring(configured(tmp_path, models=models, variants=variants))
    assert scoring.reference_name(of("qat")) == "raw/onnxruntime-fp32"
    assert scoring.reference_name(of("raw")) == "onnxruntime-fp32"
    assert scoring.reference_files(of("qat"))["reference"] == f"{folder}/predictions.zip"


def test_stored_reference_is_the_siblings_too(tmp_path):
    scoring = Scoring(configured(tmp_path, reference="stored/{model}.zip"))
    assert scoring.reference_name(of("qat")) == "stored/raw.zip"


def test_quantised_model_is_built_without_a_calibration(tmp_path):
    config = configured(tmp_path)
    engines = Engines(config, Models(config))
    assert engines.calibration(of("qat")) == []
    assert engines.files(of("qat")) == ["results/models/qat/model.onnx"]
    assert engines.more(of("qat")) == []


def test_entry_of_a_model_that_is_exported_does_not_change_with_its_sibling(tmp_path):
    models = Models(configured(tmp_path))
    assert models.given_entry(of("qat")) == models.given_entry(of("raw"))


def test_reference_that_names_no_model_is_of_the_rows_own():
    assert place_of_reference("qat", "raw/paddle-fp32") == ("raw", "paddle-fp32")
    assert place_of_reference("raw", "paddle-fp32") == ("raw", "paddle-fp32")


def test_loss_of_a_quantised_model_is_against_its_siblings_row(tmp_path):
    label = np.random.default_rng(0).integers(0, 3, (20, 30)).astype(np.uint8)
    wrong = label.copy()
    wrong[0, :10] = (label[0, :10] + 1) % 3
    for model, variant, reference, one in (("raw", "a", "a", label), ("qat", "b", "raw/a", wrong)):
        matrix, counts = confusion_matrix(label, one, 4), ImageCounts()
        counts.add(key_of("x"), iou_counts(matrix))
        found = figures(
            Sums(matrix, counts, 1, None, 0, 0, 0, [], ImageCounts()), list("abcd"), Judgement("excluded", 0, 0, "a")
        )
        here = f"made/{model}/{variant}"
        record = {"status": "ok", "reference": reference, "miou_reason": "", "agreement_reason": "", **AT_INPUT_SIZE}
        write_json(tmp_path / f"scores/{here}.json", found | record)
        write_json(tmp_path / f"engines/{here}/status.json", {"status": "ok"})
        write_class_maps(tmp_path / f"predictions/{here}/0", {"x": 1})
        for number in (1, 2):
            write_round(tmp_path / f"runs/{here}/{number}/0", [1.0], {"x": 1})
    selection = {**SELECTION, "models": {"qat": "", "raw": ""}}
    rows = read_rows(tmp_path, selection, only=["qat/b", "raw/a"])
    by_model = {row["model"]: row for row in rows}
    assert by_model["raw"]["miou_delta"] == 0
    lost = by_model["raw"]["miou_labelled"] - by_model["qat"]["miou_labelled"]
    assert lost > 0 and by_model["qat"]["miou_delta"] == -lost
    alone = read_rows(tmp_path, selection, only=["qat/b"])
    assert [row["miou_delta"] for row in alone] == [None]
