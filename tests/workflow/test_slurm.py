"""Through a real Slurm: the same figures as on one machine, whatever is killed on the way, and timed jobs alone.

`make test-slurm` runs what is not slow; `pytest -m "slurm and slow"` the rest, 15 minutes.
"""

from __future__ import annotations

import os
import random

import pytest
import yaml
from helpers.skips import missing, need_command
from slurm.cluster import Run, Slurm, interrupt, most_gpus_at_once, overlaps

pytestmark = pytest.mark.slurm
VARIANTS = ["onnxruntime-fp32", "paddle_gpu-fp32"]  # one on the CPU, one that asks for a GPU and finds none


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    if os.geteuid() != 0:
        missing("root")
    need_command("slurmctld")
    need_command("munged")
    started = Slurm.up(tmp_path_factory.mktemp("slurm"))
    yield started
    started.down()


def submitted(workflow, **config) -> Run:
    """A run of the small workflow with two variants, not started yet."""
    workflow.config |= {"variants": VARIANTS, **config}
    (workflow.folder / "overlay.yaml").write_text(yaml.safe_dump(workflow.config))
    return Run(workflow.folder)


def accuracies(row: dict[str, str]) -> dict[str, str]:
    return {name: row[name] for name in ("variant", "status", "miou", "pixel_agreement", "n", "rounds", "repeatable")}


def check(slurm, run, workflow, finished) -> None:
    """The table is the local run's; no timed job ran beside another job or took a GPU that was taken."""
    cpu, gpu = workflow.rows()
    assert accuracies(cpu) == accuracies(finished.rows()[0])
    assert (gpu["status"], cpu["status"]) == ("unsupported", "ok")
    mine = [record for record in slurm.records() if record["JobId"] in run.rules]
    assert {run.rules[record["JobId"]] for record in mine} >= {
        "build_engine",
        "infer",
        "time_round",
        "time_round_control",
    }
    gpus = slurm.gpus()
    assert overlaps(mine, run.rules, gpus) == []
    assert 1 <= most_gpus_at_once(mine, gpus) <= 2
    assert not list((workflow.folder / "results").rglob("*.tmp"))


@pytest.mark.timeout(1200)
def test_a_run_in_shards_that_is_interrupted_ends_like_a_local_one(slurm, workflow, finished):
    run, chooser = submitted(workflow, shards=2), random.Random(0)
    run.start()
    told = [interrupt(run, kind, chooser) for kind in ("requeue", "controller")]
    assert run.wait() == 0, run.printed[-6000:]
    print(told)
    check(slurm, run, workflow, finished)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [int(text) for text in os.environ.get("SEGBENCH_SEEDS", "1").split(",")])
def test_five_kills_and_a_requeue_at_random_moments(slurm, workflow, finished, seed):
    run, chooser = submitted(workflow, shards=4), random.Random(seed)
    kinds = ["controller", "controller", "controller", "job", "job", "requeue"]
    chooser.shuffle(kinds)
    run.start()
    told = [interrupt(run, kind, chooser) for kind in kinds]
    code = run.wait()
    while code != 0 and len(told) < 9:  # a job that was killed twice has failed: the next start goes on
        told.append(f"exit status {code}, started again")
        run.start()
        code = run.wait()
    print(told)
    assert code == 0, run.printed[-6000:]
    check(slurm, run, workflow, finished)
    done = [run.rules.get(record["JobId"]) for record in slurm.records() if record["JobState"] == "COMPLETED"]
    counts = [done.count(rule) for rule in ("infer", "time_round", "time_round_control")]
    assert all(count >= wanted for count, wanted in zip(counts, (8, 4, 2), strict=True)), counts
    assert sum(counts) <= 14 + 2 * len(told), "each interruption costs no more than what was in flight"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_job_over_its_time_limit_is_tried_again_with_twice_the_time(slurm, workflow, finished):
    long = {"warm_up": {"min_runs": 1_000_000, "max_runs": 1_000_000, "max_s": 100}}
    run = submitted(workflow, timing=workflow.config["timing"] | long, rounds=1, variants=VARIANTS[:1])
    run.arguments = ("--set-resources", "time_round:runtime=1*attempt")
    run.start()
    assert run.wait() == 0, run.printed[-6000:]
    states = [r["JobState"] for r in slurm.records() if run.rules.get(r["JobId"]) == "time_round"]
    assert states == ["TIMEOUT", "COMPLETED"]
    assert workflow.rows()[0]["miou"] == finished.rows()[0]["miou"]
