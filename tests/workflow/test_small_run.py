"""The whole chain on a user's own ONNX model and images, by the real Snakemake."""

import shutil

import numpy as np
import yaml
from segbench.files import read_json
from sklearn.metrics import confusion_matrix


def test_table_has_a_row_per_variant_with_equal_accuracy(finished):
    rows = finished.rows()
    assert [row["variant"] for row in rows] == ["onnxruntime-fp32", "openvino-fp32"]
    assert {row["status"] for row in rows} == {"ok"}
    assert rows[0]["miou"] == rows[1]["miou"]
    assert 0.5 < float(rows[0]["miou"]) < 1
    assert [float(row["pixel_agreement"]) for row in rows] == [1, 1]
    assert {row["reference"] for row in rows} == {"onnxruntime-fp32"}
    assert all(float(row["time_s"]) > 0 for row in rows)
    shown = {(row["n"], row["rounds"], row["time_s_low"], row["interval_method"]) for row in rows}
    assert shown == {("4", "2", "", "")}  # two rounds have no interval


def test_markdown_begins_with_the_pages_columns(finished):
    lines = (finished.folder / "results" / "table.md").read_text().splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert [cell.strip() for cell in table[0].strip("|").split("|")] == [
        "Model",
        "Accelerated by",
        "infer datatype",
        "mIoU",
        "time(s/img)",
    ]


def test_score_is_scikit_learns_on_the_predicted_class_maps(finished):
    from segbench.images.labels import read_label
    from segbench.scoring.predictions import Predictions

    results = finished.folder / "results"
    predictions = Predictions.open(results / "predictions/made/nearest/openvino-fp32/0/predictions.zip")
    labels = sorted((finished.folder / "street scenes" / "labels").glob("*.png"))
    label = np.stack([read_label(path, None) for path in labels])
    predicted = np.stack([predictions[image_id] for image_id in predictions.ids])
    counted = label != 255
    expected = confusion_matrix(label[counted], predicted[counted], labels=range(4))
    found = np.array(read_json(results / "scores/made/nearest/openvino-fp32.json")["confusion_matrix"])
    assert (found[:4, :4] == expected).all()


def test_every_intermediate_is_a_file(finished):
    results = finished.folder / "results"
    for name in (
        "data/made/val/images.csv",
        "data/made/val/index.csv",
        "models/nearest/model.json",
        "models/nearest/model.onnx",
        "engines/made/nearest/openvino-fp32/engine/model.xml",
        "engines/made/nearest/openvino-fp32/status.json",
        "predictions/made/nearest/openvino-fp32/0/predictions.zip",
        "predictions/made/nearest/openvino-fp32/0/environment.json",
        "runs/made/nearest/openvino-fp32/2/0/latencies.csv",
        "runs/made/nearest/openvino-fp32/2/0/replaced.csv",
        "runs/made/nearest/openvino-fp32/2/0/environment.json",
        "rounds.json",
    ):
        assert (results / name).stat().st_size > 0, name
    (block,) = (results / "control/made/nearest/onnxruntime-fp32").iterdir()
    assert block.name.startswith("nearest-") and (block / "2/latencies.csv").stat().st_size > 0


def test_no_temporary_file_is_left(finished):
    assert not list((finished.folder / "results").rglob("*.tmp"))


def test_more_rounds_add_rounds_only(done):
    done.config["rounds"] = 4
    assert done.plan() == {"time_round": 4, "time_round_control": 2, "plan_rounds": 1, "report": 1, "table": 1}


def test_rows_with_wide_intervals_get_more_rounds_up_to_the_bound(done):
    done.config |= {"variants": ["onnxruntime-fp32"], "rounds": 3}
    done.config["timing"] |= {"target": 1e-6, "max_rounds": 4, "extra_s": 10_000}
    done.snakemake("results/table.csv")
    assert {(row["rounds"], row["n"]) for row in done.rows()} == {("4", "8")}
    controls = done.folder.glob("results/control/made/nearest/onnxruntime-fp32/*/*/latencies.csv")
    assert sorted(path.parent.name for path in controls) == ["1", "2", "3", "4"]
    assert done.plan("results/table.csv") == {}
    done.config["rounds"] = 4
    assert done.plan() == {"plan_rounds": 1, "report": 1, "table": 1}


def test_other_models_touch_none_of_each_others(done):
    """A configuration of another model, then back to the first, then both with another entry of one."""
    first = yaml.safe_load(yaml.safe_dump(done.config))
    entry = done.config["model_catalogue"]["nearest"]
    done.config["model_catalogue"]["other"] = entry
    done.config |= {"models": ["other"], "variants": ["onnxruntime-fp32"]}
    done.snakemake("results/table.csv")
    assert {row["model"] for row in done.rows()} == {"other"}
    other, done.config = done.config, first
    assert done.plan() == {"plan_rounds": 1, "report": 1, "table": 1}
    done.config = other | {"models": ["nearest", "other"]}
    other["model_catalogue"]["other"] = {**entry, "preprocessing": {"channel_order": "bgr"}}
    jobs = done.snakemake("--dry-run")
    assert "model=other" in jobs and "model=nearest" not in jobs


def test_one_variants_option_touches_that_variant(done):
    done.config["variant_catalogue"] = {"openvino-fp32": {"run": {"pinning": False}}}
    planned = done.plan()
    assert planned == {"infer": 1, "time_round": 2, "plan_rounds": 1, "report": 1, "score": 1, "table": 1}
    assert planned.variants("infer") == planned.variants("time_round") == {"openvino-fp32"}
    done.config["variant_catalogue"] = {"onnxruntime-fp32": {"build": {"optimization": "basic"}}}
    assert done.plan().variants("build_engine") == {"onnxruntime-fp32"}


def test_timing_settings_rerun_rounds_but_no_engine_and_no_accuracy_pass(done):
    done.config["timing"]["images_per_round"] = 3
    rounds = {"time_round": 4, "time_round_control": 2, "plan_rounds": 1}
    assert done.plan() == {"index_images": 1, **rounds, "report": 1, "table": 1}


def test_settings_about_finished_rounds_time_nothing(done):
    done.config["timing"] |= {"target": 0.2, "max_rounds": 5}
    assert done.plan() == {"plan_rounds": 1, "report": 1, "table": 1}


def test_what_changes_no_measurement_reruns_none(done):
    done.config["limits"] = {"stall_s": 100}
    assert done.plan() == {}
    done.config["model_catalogue"]["nearest"]["title"] = "renamed"
    assert done.plan() == {"report": 1, "table": 1}
    for setting in ({"ignored_pixels": "errors"}, {"boundary_width": 0.01}, {"objects": {"classes": ["red"]}}):
        dataset = done.config["dataset_catalogue"]["made"]
        done.config["dataset_catalogue"]["made"] = dataset | setting
        assert done.plan() == {"report": 1, "score": 2, "find_preprocessing": 1, "table": 1}
        done.config["dataset_catalogue"]["made"] = dataset


def test_dataset_limit_reruns_index_runs_and_scores_but_no_engine(done):
    done.config["dataset_catalogue"]["made"]["limit"] = 2
    data, timed = (
        {"index_images", "index_dataset", "decode_images", "measure_brightness", "check_inputs"},
        {"time_round", "time_round_control", "plan_rounds"},
    )
    assert set(done.plan()) == {*data, "infer", *timed, "picture", "report", "score", "find_preprocessing", "table"}


def test_edited_engine_file_reruns_its_variants_only(done):
    done.edit("workflow_scripts/segbench/engines/openvino.py")
    planned = done.plan()
    assert planned.variants("build_engine") == {"openvino-fp32"}
    assert planned.variants("infer") == planned.variants("time_round") == {"openvino-fp32"}
    assert "time_round_control" not in planned


def test_edited_metrics_rescore_only(done):
    done.edit("workflow_scripts/segbench/scoring/confusion.py")
    assert done.plan() == {"report": 1, "score": 2, "find_preprocessing": 1, "table": 1}


def test_repeat_has_nothing_to_do_though_files_were_touched(done):
    (done.folder / "workflow_scripts/segbench/scoring/confusion.py").touch()
    (done.folder / "results/models/nearest/model.onnx").touch()
    assert done.plan() == {}


def test_deleted_intermediate_comes_back(done):
    (done.folder / "results/scores/made/nearest/openvino-fp32.json").unlink()
    assert done.plan() == {"report": 1, "score": 1, "table": 1}
    shutil.rmtree(done.folder / "results/engines/made/nearest/openvino-fp32/engine")
    assert done.plan().variants("build_engine") == {"openvino-fp32"}


def test_newly_installed_package_reruns_its_engine(done, tmp_path):
    metadata = tmp_path / "site" / "openvino-9999.1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: openvino\nVersion: 9999.1\n")
    printed = done.snakemake("--dry-run", env={"PYTHONPATH": str(tmp_path / "site")})
    assert "variant=openvino-fp32" in printed
    assert not [line for line in printed.splitlines() if "variant=onnxruntime-fp32" in line]


def test_run_ends_with_the_times_of_its_stages(done):
    (done.folder / "results" / "table.md").unlink()
    said = done.snakemake("results/table.md").split("This run's stages:\n")[1].splitlines()
    stages = [line.split() for line in said if line.endswith("job")]
    assert [stage[0] for stage in stages].count("table") == 1
    assert "infer" not in [stage[0] for stage in stages]
    assert all(float(stage[1]) >= 0 and stage[2] == "s" for stage in stages)


def test_starts_are_timed_where_asked_and_nothing_is_timed_again(done):
    done.config["variants"] = ["onnxruntime-fp32"]
    assert done.plan("results/cold_start.md") == {"time_starts": 1, "cold_start": 1}
    done.snakemake("results/cold_start.md")
    page = (done.folder / "results/cold_start.md").read_text()
    assert "The first class map of nearest comes soonest from: warm, onnxruntime-fp32, after" in page
    assert (done.folder / "results/cold_start.svg").exists()
    assert done.plan("results/cold_start.md") == {}


def test_pairs_are_explained_by_the_times_of_layers_and_nothing_is_timed_again(done):
    done.config["comparison"] = {"pairs": [["onnxruntime-fp32", "openvino-fp32"]]}
    assert done.plan("results/explanations.md") == {"profile_layers": 2, "explain": 1, "explanations": 1}
    # The layers are those that stages want.
    done.snakemake("results/explanations.md", "results/stages.md")
    listed = (done.folder / "results/explanations.md").read_text()
    assert "](explain/made/nearest/onnxruntime-fp32--openvino-fp32.md): openvino-fp32 takes" in listed
    page = done.folder / "results/explain/made/nearest/onnxruntime-fp32--openvino-fp32.md"
    assert "| convolutions" in page.read_text() and page.with_suffix(".svg").exists()
    stages = (done.folder / "results/stages.md").read_text()
    assert "- nearest: the largest stage is " in stages and "](stages.svg)" in stages
    of_row = read_json(done.folder / "results/stages/made/nearest/openvino-fp32.json")
    assert of_row["status"] == "ok" and of_row["stages"]["decode"]["median_s"] > 0
    assert done.plan("results/explanations.md", "results/stages.md") == {}
    parted = "results/diverge/made/nearest/openvino-fp32.md"
    assert done.plan(parted) == {"diverge": 1}
    done.snakemake(parted)
    said = "openvino-fp32 does not part from ONNX Runtime without optimisations: 0 of 8192 pixels of 4 images differ"
    assert said in (done.folder / parted).read_text()
    assert done.plan(parted) == {}
    assert done.plan() == {"report": 1}  # which shows what was said
