"""INT8 in a small real run: what reruns, what is refused, what the table says."""

import json
import shutil

import numpy as np
import pytest
from conftest import Workflow, copy_workflow, small_config
from helpers.made import make_folder_dataset
from helpers.quantized_made import by_onnxruntime
from segbench.files import read_json
from segbench.machine.cpu import this_machine


def with_int8(folder, config: dict) -> dict:
    """The small run with a training split and every INT8 form that an ONNX model has."""
    make_folder_dataset(folder / "street scenes", count=6, seed=7, split="train")
    config["dataset_catalogue"]["made"]["splits"]["train"] = {"images": "train/*.png", "labels": "train labels/*.png"}
    config["variants"] = ["onnxruntime-fp32", "onnxruntime-int8", "openvino-int8", "openvino-int8-table"]
    return config | {"rounds": 1, "calibration": {"images": 3, "judging_images": 3}}


@pytest.fixture(scope="module")
def finished_int8(tmp_path_factory) -> Workflow:
    folder = copy_workflow(tmp_path_factory.mktemp("int8") / "work flow")
    flow = Workflow(folder, with_int8(folder, small_config(folder)))
    flow.snakemake("results/table.csv")
    return flow


@pytest.fixture
def int8(finished_int8, tmp_path) -> Workflow:
    return finished_int8.copy(tmp_path)


def test_every_row_is_ok_and_really_int8(finished_int8):
    rows = {row["variant"]: row for row in finished_int8.rows()}
    assert {row["status"] for row in rows.values()} == {"ok"}
    for name, row in rows.items():
        assert row["fp32_layers"] == ("0" if "int8" in name else "")
        built = json.loads((finished_int8.folder / f"results/engines/made/nearest/{name}/status.json").read_text())
        assert ("int8" in name) == bool(built.get("int8_layers"))
        assert ("int8" in name) == ("INT8 was judged on 3 images, too few for an interval" in row["warnings"])
    assert float(rows["onnxruntime-int8"]["pixel_agreement"]) > 0.95


def test_table_tells_its_provenance_and_takes_training_images_only(finished_int8):
    table = json.loads((finished_int8.folder / "results/calibration/made/nearest/percentile/table.json").read_text())
    assert len(table["images"]) == 3 and table["method"]["method"] == "percentile"
    assert set(table["versions"]) == {"onnxruntime", "onnx"}
    index = (finished_int8.folder / "results/data/made/calibration/images.csv").read_text()
    assert "/train/" in index and "/val/" not in index


@pytest.mark.slow
def test_model_that_is_quantised_already_runs_as_it_is_beside_its_sibling_of_floats(tmp_path):
    import nncf
    import openvino

    folder = copy_workflow(tmp_path / "work flow")
    config = small_config(folder)
    raw = folder / config["model_catalogue"]["nearest"]["weights"]["path"]
    random = np.random.default_rng(0)
    images = [random.uniform(-1, 1, (1, 3, 32, 64)).astype(np.float32) for _ in range(4)]
    by_onnxruntime(raw, raw.with_name("qdq.onnx"), images, name="image")
    entry = {**config["model_catalogue"]["nearest"], "float_model": "nearest"}
    entry["weights"] = {"path": str(raw.with_name("qdq.onnx"))}
    config["model_catalogue"]["qdq"] = entry
    graph = openvino.Core().read_model(str(raw))
    openvino.save_model(nncf.quantize(graph, nncf.Dataset(images), subset_size=4), str(folder / "own.xml"))
    config["model_catalogue"]["own"] = {**entry, "kind": "openvino", "weights": {"path": "own.xml"}}
    variants = ["onnxruntime-fp32", "onnxruntime-int8-model", "openvino-int8-model"]
    flow = Workflow(folder, config | {"rounds": 1, "models": ["nearest", "qdq", "own"], "variants": variants})
    assert not {rule for rule in flow.plan() if "calibrate" in rule or "reference" in rule}
    flow.snakemake("results/table.csv")
    rows = {(row["model"], row["variant"]): row for row in flow.rows()}
    for model, variant in (("qdq", variants[1]), ("qdq", variants[2]), ("own", variants[2])):
        row = rows[model, variant]
        assert (row["status"], row["calibrator"], row["reference"]) == ("ok", "model", "nearest/onnxruntime-fp32")
        assert 0.9 < float(row["pixel_agreement"]) <= 1 and row["fp32_layers"] == ""
        lost = float(rows["nearest", variants[0]]["miou_labelled"]) - float(row["miou_labelled"])
        assert float(row["miou_delta"]) == pytest.approx(-lost)
        assert rows["nearest", variant]["status"] == "unsupported"
        assert rows["nearest", variant]["reason"].startswith("no operator of the model computes in 8 bits: choose")
    for model in ("qdq", "own"):
        assert rows[model, variants[0]]["reason"].startswith("the model is quantised already (")
    assert rows["own", variants[1]]["reason"] == "this model has no ONNX form"


INT8 = {"onnxruntime-int8", "openvino-int8", "openvino-int8-table"}


@pytest.mark.parametrize("change", [{"images": 2}, {"seed": 1}])
def test_other_calibration_images_rerun_int8_and_nothing_in_fp32(int8, change):
    int8.config["calibration"] |= change
    planned = int8.plan()
    assert planned["calibrate_table"] == planned["calibrate_model"] == 1 and planned["choose_layers"] == 2
    assert "export_onnx_model" not in planned and planned["index_images"] == 1
    for rule in ("build_engine", "infer", "time_round", "score"):
        assert planned.variants(rule) == INT8


def test_another_method_reruns_only_what_is_built_from_it(int8):
    int8.config["calibrator_catalogue"] = {"percentile": {"options": {"percentile": 99.9}}}
    planned = int8.plan()
    assert planned.variants("build_engine") == {"onnxruntime-int8", "openvino-int8-table"}
    assert "calibrate_model" not in planned


def test_another_bound_finds_no_new_ranges(int8):
    int8.config["calibration"] |= {"max_drop": None}
    planned = int8.plan()
    assert planned["choose_layers"] == 2 and "calibrate_table" not in planned


def test_threads_and_rounds_calibrate_nothing(int8):
    int8.config |= {"threads": 1, "rounds": 2}
    assert not {"calibrate_table", "calibrate_model", "choose_layers", "build_engine"} & set(int8.plan())


def test_a_damaged_table_is_refused_and_nothing_is_overwritten(int8):
    table = int8.folder / "results/calibration/made/nearest/percentile/table.json"
    before = (int8.folder / "results/table.csv").read_bytes()
    table.write_text(table.read_text().replace("1", "2"))
    printed = int8.snakemake(fails=True)
    assert "table.json: damaged" in printed
    assert (int8.folder / "results/table.csv").read_bytes() == before


def built(flow, variant: str) -> tuple[str, str]:
    """Status and reason of an engine, which its row takes from it."""
    path = f"results/engines/made/nearest/{variant}/status.json"
    flow.snakemake(path)
    record = read_json(flow.folder / path)
    return record["status"], record["reason"]


def test_a_training_split_without_images_is_refused(int8):
    shutil.rmtree(int8.folder / "street scenes" / "train")
    status, reason = built(int8, "onnxruntime-int8")
    assert status == "refused"
    assert "splits.train.images: 'train/*.png': no such files below street scenes" in reason


def test_a_data_set_without_a_training_split_is_told_at_once(workflow):
    workflow.config["variants"] = ["onnxruntime-fp32", "openvino-int8"]
    printed = workflow.snakemake("--dry-run", fails=True)
    assert "dataset_catalogue.made.splits: has no train, which openvino-int8 is calibrated with" in printed


def test_training_images_that_are_val_images_too_are_refused(int8):
    scenes = int8.folder / "street scenes"
    shutil.copy(scenes / "val" / "scene 00.png", scenes / "train" / "scene 03.png")
    status, reason = built(int8, "onnxruntime-int8")
    assert status == "refused" and "scene 03.png: is an image of val too" in reason


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ({"engine": "onnxruntime", "precision": "int8"}, "int8 on onnxruntime needs one of library onnxruntime"),
        ({"engine": "onnxruntime", "precision": "int8", "calibrator": "percentil"}, "did you mean 'percentile'?"),
        ({"engine": "onnxruntime", "precision": "fp32", "calibrator": "mse"}, "precision fp32 is not calibrated"),
        ({"engine": "paddle_onednn", "precision": "int8", "calibrator": "mse"}, "paddle_onednn takes paddle_ptq"),
    ],
)
def test_a_calibrator_that_does_not_fit_is_told_at_once(workflow, variant, message):
    workflow.config["variant_catalogue"] = {"mine": variant}
    printed = workflow.snakemake("--dry-run", fails=True)
    assert "variant_catalogue.mine.calibrator: " in printed and message in printed


@pytest.mark.parametrize(
    ("name", "wanted"), [("bf16", {"avx512_bf16", "amx_bf16"}), ("fp16", {"avx512_fp16", "amx_fp16"})]
)
def test_sixteen_bits_without_instructions_are_unsupported(int8, name, wanted):
    status, reason = built(int8, f"openvino-{name}")
    assert status == ("ok" if wanted & this_machine().cpu_flags else "unsupported")
    assert not reason or reason.startswith(f"this CPU has no {name.upper()} arithmetic")
