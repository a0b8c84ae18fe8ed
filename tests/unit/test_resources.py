"""What jobs ask for: a slot on one machine; a GPU, a node, memory and time on a cluster."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from helpers.rules import all_rules
from segbench.planning import resources
from segbench.planning.jobs import Jobs

ROOT = Path(__file__).parents[2]
CONFIG = {
    "exclusive_nodes": "cpu",
    "shards": 4,
    "timing": {"images_per_round": 10},
    "variant_catalogue": {"cpu": {"engine": "openvino"}, "gpu": {"engine": "paddle_gpu"}},
    "model_catalogue": {"big": {"input": {"height": 1024, "width": 2048}}},
}


class Wildcards(SimpleNamespace):
    def get(self, name, default=None):
        return getattr(self, name, default)


CPU, GPU = Wildcards(variant="cpu", model="big"), Wildcards(variant="gpu", model="big")


def test_on_one_machine_every_timed_job_takes_the_slot_and_no_node():
    asked = Jobs(CONFIG)
    assert [asked.gpus(w) for w in (CPU, GPU)] == [1, 1]
    assert [asked.slurm_options(w) for w in (CPU, GPU)] == ["", ""]


@pytest.mark.parametrize(
    ("exclusive", "expected"),
    [("cpu", ["--exclusive", ""]), ("all", ["--exclusive"] * 2), ("gpu", ["", "--exclusive"]), ("none", ["", ""])],
)
def test_on_a_cluster_gpu_engines_ask_for_a_gpu_and_nodes_go_to_whom_config_says(exclusive, expected):
    asked = Jobs({**CONFIG, "exclusive_nodes": exclusive}, cluster=True)
    assert [asked.gpus(w) for w in (CPU, GPU)] == [0, 1]
    assert [asked.slurm_options(w) for w in (CPU, GPU)] == expected
    assert asked.gpus(Wildcards(variant="cpu", other="gpu", model="big")) == 1


def test_time_grows_with_the_images_of_the_job_and_doubles_with_the_attempt(tmp_path):
    index = tmp_path / "index.csv"
    index.write_text("header\n" + "row\n" * 400)
    asked, files = Jobs(CONFIG, cluster=True), SimpleNamespace(index=str(index))

    def minutes(attempt=1, **wildcards):
        return asked.run_minutes(Wildcards(variant="cpu", model="big", **wildcards), files, attempt)

    whole, shard = minutes(), minutes(shard="0of4")
    assert whole - 30 == pytest.approx(4 * (shard - 30))
    assert minutes(round="2") == 42 < shard
    assert minutes(2, round="2") == 84
    assert asked.run_minutes(GPU, files, 1) < whole


def test_memory_holds_the_hungriest_full_size_model():
    assert 10_200 < resources.memory_mb(1024, 2048, 1) < 16_000
    assert resources.memory_mb(1024, 2048, 2) == 2 * resources.memory_mb(1024, 2048, 1)


def test_an_index_is_counted_anew_when_it_changed_and_told_when_missing(tmp_path):
    index = tmp_path / "index.csv"
    with pytest.raises(FileNotFoundError):
        resources.image_count(str(index))
    for count in (3, 5):
        index.write_text("header\n" + "row\n" * count)
        os.utime(index, ns=(count, count))
        assert resources.image_count(str(index)) == count


@pytest.mark.parametrize("profile", ["slurm", "cluster-generic"])
def test_profiles_give_cores_to_every_rule_that_takes_many(profile):
    """Without, its jobs would ask for as many as Snakemake has beside it, which a node may not have."""
    given = yaml.safe_load((ROOT / f"profiles/{profile}/config.yaml").read_text())["set-threads"]
    wanted = {rule.name for rule in all_rules() if rule.takes_many_cores}
    assert {"infer", "infer_reference", "score_shard"} < wanted == set(given)
