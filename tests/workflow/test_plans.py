"""What the committed configurations would run, without their data."""

from pathlib import Path

import pytest
import yaml
from conftest import Workflow, copy_workflow

from validation.speed import planning


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Workflow:
    """A copy with no results and no overlay of its own."""
    return Workflow(copy_workflow(tmp_path_factory.mktemp("bare") / "work flow"))


def jobs(flow: Workflow, name: str, *more: str) -> dict[str, int]:
    """Jobs of a committed configuration, by rule."""
    flow.config = yaml.safe_load((flow.folder / "config" / f"{name}.yaml").read_text())
    return flow.plan("--quiet", "rules", *more)


def test_cityscapes_is_the_pages_32_rows(bare):
    planned = jobs(bare, "cityscapes", "--config", "dataset_root=/no/such/folder")
    assert planned["build_engine"] == planned["score"] == 32
    assert planned["fetch_checkpoint"] == planned["export_paddle"] == 8
    assert planned["collect_shapes"] == planned["calibrate_tensorrt"] == 8 and planned["infer"] == 32
    assert planned["time_round"] == 32 * 6 and planned["time_round_control"] == 8 * 6
    assert "calibrate_table" not in planned and "calibrate_model" not in planned and "export_onnx" not in planned
    assert planned["table"] == 1


def test_default_trains_nothing_and_fetches_nothing_from_the_network(bare):
    planned = jobs(bare, "config")
    assert planned["build_engine"] == planned["infer"] == 8 * 7
    assert planned["time_round"] == 8 * 7 * 3 and planned["time_round_control"] == 8 * 3
    assert planned["calibrate_table"] == planned["choose_layers"] == 8 and planned["calibrate_model"] == 8 * 2
    assert not {rule for rule in planned if "train" in rule}
    assert "http" not in Path(bare.folder / "config/config.yaml").read_text()


def test_demo_models_are_the_eight_those_of_paddleseg_configurations_and_one_for_int8(bare):
    bare.config = {}
    planned = bare.plan("demo_models", "--quiet", "rules")
    assert planned == {"demo_models": 1, "make_demo_set": 1, "train_demo": 8 + 4 + 1, "quantize_demo": 1}


def test_study_of_further_families_needs_no_network_and_trains_nothing(bare):
    planned = jobs(bare, "studies/int8_families")
    assert planned["build_engine"] == planned["infer"] == planned["score"] == 4 * 7
    assert planned["read_settings"] == planned["export_paddle"] == 4 and "train_demo" not in planned


def test_study_of_quantisation_aware_training_calibrates_the_models_of_floats_too(bare):
    planned = jobs(bare, "studies/int8_trained")
    assert planned["build_engine"] == planned["infer"] == planned["score"] == 2 * 6
    assert planned["export_paddle"] == planned["export_onnx_model"] == 1 and "train_demo" not in planned
    assert "infer_reference" not in planned


def test_page_protocol_is_one_round_of_all_images(bare):
    planned = jobs(bare, "page")
    assert planned["time_round"] == planned["infer"] == planned["build_engine"] == 8 * 7


def test_study_of_throughput_is_forty_rows_with_the_exports_and_calibrations_of_eight(bare):
    planned = jobs(bare, "studies/throughput")
    assert planned["build_engine"] == planned["infer"] == planned["score"] == 2 * 4 * 5
    assert planned["export_paddle"] == planned["calibrate_table"] == planned["calibrate_model"] == 2
    lines = Path(bare.folder / "config/studies/throughput.yaml").read_text().splitlines()
    assert len(lines) <= 15


def test_study_of_input_sizes_exports_the_network_at_each(bare):
    planned = jobs(bare, "studies/input_size")
    assert planned["export_paddle"] == planned["export_onnx"] == 5
    assert planned["build_engine"] == planned["infer"] == 5 * 2 and planned["build_engine_with_logits"] == 4 * 2


@pytest.mark.slow
def test_planning_is_measured_with_nothing_left_to_do(tmp_path):
    workflow = planning.Copy(tmp_path, ["onnxruntime-fp32"], rounds=1)
    workflow.finish()
    said, seconds = workflow.snakemake("--dry-run")
    assert "Nothing to be done" in said and seconds > 0
