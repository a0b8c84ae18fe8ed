"""A data set that is split over jobs gives the figures of the whole."""

import shutil

from segbench.files import read_json

WHOLE = {"infer": 1, "score_shard": 1, "merge_scores": 1, "find_preprocessing": 1}
WHOLE |= {"picture": 1, "table": 1, "report": 1}


def facts(flow) -> dict:
    row = flow.rows()[0]
    told = ("status", "miou", "miou_low", "pixel_agreement", "class_agreement", "n", "rounds", "warnings", "repeatable")
    score = read_json(flow.folder / "results/scores/made/nearest/onnxruntime-fp32.json")
    return {"score": score, **{name: row[name] for name in told}}


def test_accuracy_pass_is_split_into_shards_and_adds_up_to_the_whole(done):
    done.config["variants"] = ["onnxruntime-fp32"]
    whole = facts(done)
    done.config["shards"] = 3
    planned = done.plan()
    assert planned["infer"] == planned["score_shard"] == 3
    assert "time_round" not in planned, "rounds are whole"
    done.snakemake("results/table.csv")
    assert facts(done) == whole
    folder = done.folder / "results/predictions/made/nearest/onnxruntime-fp32"
    assert sorted(path.name for path in folder.iterdir()) == ["0", "0of3", "1of3", "2of3"]
    shutil.rmtree(folder / "2of3")
    assert done.plan() == WHOLE, "a shard that dies costs only itself"
    done.config["shards"] = 1
    assert "infer" not in done.plan(), "the whole's files were not touched"
