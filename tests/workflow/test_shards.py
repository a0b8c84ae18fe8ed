"""A data set that is split over jobs gives the figures of the whole."""

import shutil

import pytest
from made import make_folder_dataset
from segbench.files import read_json


@pytest.fixture(scope="module")
def split(tmp_path_factory, finished):
    """The finished run's copy with ten images, whole."""
    from conftest import Workflow

    folder = tmp_path_factory.mktemp("split") / "work flow"
    shutil.copytree(finished.folder, folder, symlinks=True)
    shutil.rmtree(folder / "street scenes")
    make_folder_dataset(folder / "street scenes", count=10)
    shutil.rmtree(folder / "results/data")
    flow = Workflow(folder, {**finished.config, "variants": ["onnxruntime-fp32"]})
    flow.snakemake()
    return flow


def facts(flow) -> dict:
    score = read_json(flow.folder / "results/scores/made/nearest/onnxruntime-fp32.json")
    row = flow.rows()[0]
    told = ("status", "miou", "pixel_agreement", "n", "rounds", "warnings", "repeatable")
    return {"score": score, **{name: row[name] for name in told}}


def test_any_number_of_shards_gives_the_same_figures(split):
    whole = facts(split)
    assert whole["score"]["image_count"] == 10
    for count in (4, 7):
        split.config["shards"] = count
        planned = split.plan()
        assert planned["infer"] == planned["score_shard"] == count, "round 1 is split, round 2 stays as it is"
        split.snakemake()
        assert facts(split) == whole
        names = [path.name for path in (split.folder / "results/runs/made/nearest/onnxruntime-fp32/1").iterdir()]
        assert len([name for name in names if name.endswith(f"of{count}")]) == count
    split.config["shards"] = 1
    assert "infer" not in split.plan(), "the whole's files were not touched"


def test_a_shard_that_dies_costs_only_itself(split):
    split.config["shards"] = 4
    split.snakemake()
    shutil.rmtree(split.folder / "results/runs/made/nearest/onnxruntime-fp32/1/2of4")
    assert split.plan() == {"infer": 1, "score_shard": 1, "merge_scores": 1, "picture": 1, "table": 1, "report": 1}


def test_more_shards_than_images_is_told(split):
    split.config["shards"] = 11
    printed = split.snakemake(fails=True)
    assert "error: shards: results/data/made/val/index.csv has fewer images than shards" in printed
