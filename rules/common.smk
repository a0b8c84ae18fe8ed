"""Read and check the configuration, make the rules' look-ups (`planning`), and order the jobs."""

import gc
import json
import os
import sys

from snakemake.exceptions import WorkflowError

# Planning makes many objects and hardly any garbage. Fewer collections take a tenth off (4.7 to 4.3 s of CPU).
gc.set_threshold(200_000, 50, 50)

sys.path.insert(0, os.path.join(workflow.basedir, "workflow_scripts"))
# `python` in a rule is Snakemake's own interpreter, even where its environment was not activated.
os.environ.update(PATH=os.pathsep.join((os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath))))

from segbench.planning.check import read_config
from segbench.errors import InputError
from segbench.planning.comparison import OTHER, WITH_BASELINE
from segbench.planning.data import GENERATED
from segbench.planning.engines import ENGINE, LOGITS
from segbench.planning.inference import CONTROL, PASS, RUN
from segbench.planning.models import WRONG_PASSES
from segbench.planning.rules import Planning
from segbench.planning.scoring import PREPROCESSING
from segbench.planning.stages import Span, stage_times
from segbench.report import PLOTS

try:
    overlays = workflow.overwrite_configfiles
    base_files = [path for path in workflow.configfiles if path not in overlays]
    files = [min(str(path), os.path.relpath(path), key=len) for path in (*base_files, *overlays)]
    config.update(read_config(config, files, dict(workflow.config_settings.config)))
except InputError as error:
    raise WorkflowError(str(error))

# These are environment variables and not params, so that a changed limit reruns nothing, and so that a script ends
# with the process that started it.
os.environ.update(SEGBENCH_LIMITS=json.dumps(config["limits"]), SEGBENCH_WORKFLOW=str(os.getpid()))

# Either this process submits jobs, or it is one that was submitted.
cluster = not workflow.local_exec or workflow.remote_exec
planning = Planning(config, [min(str(path), os.path.relpath(path), key=len) for path in overlays], cluster)
code = planning.jobs.code
# On one machine two calibrations run side by side, since much of each is on one core: those of the default took 203 s
# where they had taken 334 s (two cores, each run once). So do two scores. Passes do not: their engines keep all cores
# busy, and 56 of them took 313 s one by one and 312 s two by two.
SIDE_BY_SIDE = workflow.cores if cluster else max(1, workflow.cores // 2)
os.environ.update(SEGBENCH_BLOCK=planning.inference.block)  # a round records it; it reruns none either

# Of the jobs that could start, the one with the highest number starts first. The data set and its check against each
# model come first, so that a fault of the input shows before hours of building. Engines are built before any is timed.
# What is not listed comes last: tables and pictures.
PRIORITY = {
    "make_demo_set": 100,
    "index_images": 100,
    "index_dataset": 100,
    "decode_images": 100,
    "read_settings": 95,
    "check_inputs": 90,
    "fetch_checkpoint": 80,
    "export_huggingface": 75,
    "export_paddle": 70,
    "export_paddle3": 70,
    "export_onnx_model": 70,
    "export_openvino": 70,
    "export_onnx": 60,
    "bundle_vega": 60,  # one core, beside jobs that leave one; no job that takes all cores waits for it later
    "collect_shapes": 60,
    "calibrate_table": 55,
    "choose_layers": 55,
    "find_wrong_passes": 55,
    "build_engine": 50,
    "infer": 40,
    "score": 30,
    # The rounds come last, one behind the other, so that nothing else stands between the rounds of a block.
    "time_round": planning.inference.priority,
}


def extra_rounds(wildcards):
    """Return the files of the rounds that `plan_rounds` has added."""
    return planning.inference.extra(checkpoints.plan_rounds.get().output[0])


def groups_of(wildcards):
    """Return the groups of an INT8 row's layers, which are known when `group_layers` has dealt them out."""
    return planning.mixed_precision.groups_in(checkpoints.group_layers.get(**wildcards).output.groups)


def check_of_inputs(wildcards):
    """Return the check of data set and model. What was built does not depend on it, but what was refused does."""
    path = "results/data/{dataset}/checks/{model}.json".format(**wildcards)
    return path if planning.data.is_refused(path) else ancient(path)


def print_stage_times():
    """Say how long the stages of this run took. What was done before it is not counted."""
    jobs = [job for job in workflow.dag.finished_jobs if job.output]
    records = [workflow.persistence.metadata(job.output[0]) for job in jobs]
    if told := stage_times(Span(one.rule, one.starttime, one.endtime) for one in records if one and one.endtime):
        print(told)


wildcard_constraints:
    dataset=planning.names_of("dataset_catalogue"),
    model=planning.names_of("model_catalogue"),
    variant=planning.names_of("variant_catalogue"),
    calibrator=planning.names_of("calibrator_catalogue"),
    split="train|val|calibration|timed",
    architecture="|".join(planning.training.names),
    round=r"[1-9]\d*",
    shard=r"0|\d+of\d+",
    block=r"[^/]+-[0-9a-f]{8}",


onstart:
    # Snakemake 9.27 reads its whole schedule again once a second for every job that has ended (9% of a core after 48
    # jobs, and more with each), beside the clock. It does so for a limit of job starts per second: switched off.
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


onsuccess:
    print_stage_times()


onerror:
    print_stage_times()
