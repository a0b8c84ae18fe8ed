"""Shards are an exact partition, and their scores add up to the whole's."""

import csv
import json

import numpy as np
import pytest
from merge_scores import merge
from segbench.errors import InputError
from segbench.images import shards
from segbench.images.index import read_index
from segbench.scoring.score_record import Judgement
from test_score import CLASSES, Run

JUDGEMENT = Judgement("excluded", 0.9995, 0.9, "paddle-fp32")


@pytest.fixture
def run(tmp_path) -> Run:
    run = Run(tmp_path, count=10)
    run.predict("reference", np.where(run.maps == 3, 2, run.maps).astype(np.uint8))
    return run


def score_shard(run: Run, shard: str) -> dict:
    chosen = list(shards.share(range(len(run.ids)), shard))
    run.predict("predictions", run.maps[chosen], [run.ids[i] for i in chosen])
    run.options["shard"] = shard
    return json.loads(json.dumps(run.score()))


@pytest.mark.parametrize("count", [1, 4, 7, 10])
def test_scores_of_shards_add_up_to_those_of_the_whole(run, count):
    run.add_instances()
    whole = json.loads(json.dumps(run.score()))
    assert (
        whole["miou"]
        and whole["iiou"]
        and whole["warnings"]
        and whole["image_count"] == whole["image_counts"]["images"] == 10
    )
    records = [score_shard(run, name) for name in shards.names(count)]
    assert sum(record["image_count"] for record in records) == 10
    assert merge(records, CLASSES, JUDGEMENT) == whole


def test_a_reference_that_ran_only_some_shards_images_is_no_gap(run):
    run.predict("reference", run.maps[:2])
    whole = json.loads(json.dumps(run.score()))
    records = [score_shard(run, name) for name in shards.names(4)]
    assert [record["agreement_reason"] for record in records] == ["", "", *["no image in common"] * 2]
    assert merge(records, CLASSES, JUDGEMENT) == whole


def test_a_shard_that_is_not_ok_has_the_last_word(run):
    records = [score_shard(run, name) for name in shards.names(2)]
    run.write("run", {"status": "failed", "reason": "crashed"})
    records[1] = score_shard(run, "1of2")
    merged = merge(records, CLASSES, JUDGEMENT)
    assert (merged["status"], merged["reason"], merged["miou"]) == ("failed", "crashed", None)


def test_unlabelled_images_have_an_agreement_only(run):
    run.describe(labelled=False)
    whole = json.loads(json.dumps(run.score()))
    records = [score_shard(run, name) for name in shards.names(3)]
    assert merge(records, CLASSES, JUDGEMENT) == whole
    assert whole["miou"] is None and whole["pixel_agreement"] < 1


@pytest.mark.parametrize("count", [1, 2, 7])
def test_shards_are_a_partition(count):
    parts = [list(shards.share(range(20), name)) for name in shards.names(count)]
    assert sorted(n for part in parts for n in part) == list(range(20))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_more_shards_than_images_is_told(run):
    with open(run.folder / "index.csv", newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 10
    assert len(read_index(run.folder / "index.csv", "9of10")) == 1
    with pytest.raises(InputError, match=r"^shards: .*index\.csv has fewer images than shards; lower `shards`$"):
        read_index(run.folder / "index.csv", "10of11")
