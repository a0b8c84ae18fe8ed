"""Run engines: the accuracy pass over all images, and timed rounds of variants and of the control, in blocks."""


rule infer:
    """Run every image once and keep the class maps, to be scored. Nothing is timed."""
    input:
        unpack(planning.engines.logits),
        **code("infer.py", engine=True),
        engine=f"{ENGINE}/engine",
        status=f"{ENGINE}/status.json",
        model="results/models/{model}/model.json",
        index="results/data/{dataset}/val/images.csv",
        images=ancient(planning.data.folder),
        decoded=ancient("results/data/{dataset}/val/decoded.json"),  # the same pixels with and without: no rerun
        pixels=ancient("results/data/{dataset}/val/decoded.bin"),
    output:
        predictions=f"{PASS}/predictions.zip",
        environment=f"{PASS}/environment.json",
        status=f"{PASS}/status.json",
    log:
        "results/logs/infer/{dataset}/{model}/{variant}-{shard}.log",
    priority: PRIORITY["infer"]
    conda:
        planning.jobs.environment
    threads: workflow.cores
    resources:
        gpu=planning.jobs.gpus,
        slurm_extra=planning.jobs.slurm_options,
        mem_mb=planning.jobs.memory_mb,
        runtime=planning.jobs.run_minutes,
    params:
        python=planning.jobs.interpreter,
        variant=planning.engines.identity,
        options=planning.engines.variant_options("run"),
        images=planning.inference.whole,
        logits=planning.engines.logits_arguments,
        threads=planning.jobs.threads,
        fingerprint=planning.jobs.fingerprint,
    shell:
        "{params.python} {input.script} --engine {input.engine:q} --engine-status {input.status:q}"
        " --model {input.model:q} --index {input.index:q} --decoded {input.decoded:q}"
        " --variant {params.variant:q} --options {params.options:q} {params.images:q} --threads {params.threads}"
        " {params.logits:q} --predictions {output.predictions:q}"
        " --environment {output.environment:q} --status {output.status:q} 2>&1 | tee {log:q}"


use rule infer as infer_reference with:
    """Make the class maps of a reference that is not among the chosen variants."""
    output:
        predictions="results/references/{dataset}/{model}/{variant}/predictions.zip",
        environment="results/references/{dataset}/{model}/{variant}/environment.json",
        status="results/references/{dataset}/{model}/{variant}/status.json",
    log:
        "results/logs/infer_reference/{dataset}/{model}/{variant}.log",
    params:
        images=planning.inference.reference,


rule time_round:
    """Time one round of a variant: a process that runs the same images as every other round."""
    input:
        **code("time_round.py", engine=True),
        engine=f"{ENGINE}/engine",
        status=f"{ENGINE}/status.json",
        model="results/models/{model}/model.json",
        index="results/data/{dataset}/timed/images.csv",  # so that a picture that is added seldom times anything again
        images=ancient(planning.data.folder),
        decoded=ancient("results/data/{dataset}/val/decoded.json"),
        pixels=ancient("results/data/{dataset}/val/decoded.bin"),
    output:
        latencies=f"{RUN}/latencies.csv",
        replaced=f"{RUN}/replaced.csv",
        predictions=f"{RUN}/predictions.zip",
        environment=f"{RUN}/environment.json",
        status=f"{RUN}/status.json",
    log:
        "results/logs/time_round/{dataset}/{model}/{variant}/{round}.log",
    priority: PRIORITY["time_round"]
    conda:
        planning.jobs.environment
    threads: workflow.cores
    resources:
        gpu=planning.jobs.gpus,  # on one machine the timing slot, with or without a GPU
        slurm_extra=planning.jobs.slurm_options,
        mem_mb=planning.jobs.memory_mb,
        runtime=planning.jobs.run_minutes,
    params:
        python=planning.jobs.interpreter,
        variant=planning.engines.identity,
        options=planning.engines.variant_options("run"),
        mode=planning.inference.timed,
        threads=planning.jobs.threads,
        fingerprint=planning.jobs.fingerprint,
    shell:
        "{params.python} {input.script} --engine {input.engine:q} --engine-status {input.status:q}"
        " --model {input.model:q} --index {input.index:q} --decoded {input.decoded:q}"
        " --variant {params.variant:q} --options {params.options:q} {params.mode:q} --threads {params.threads}"
        " --latencies {output.latencies:q} --replaced {output.replaced:q} --predictions {output.predictions:q}"
        " --environment {output.environment:q} --status {output.status:q} 2>&1 | tee {log:q}"


use rule time_round as time_round_control with:
    """Time the control once in a block, in the same way."""
    output:
        latencies=f"{CONTROL}/latencies.csv",
        replaced=f"{CONTROL}/replaced.csv",
        predictions=f"{CONTROL}/predictions.zip",
        environment=f"{CONTROL}/environment.json",
        status=f"{CONTROL}/status.json",
    log:
        "results/logs/time_round_control/{dataset}/{model}/{variant}/{block}/{round}.log",


checkpoint plan_rounds:
    """Choose the rows that get more rounds, since their intervals are wide, and how many."""
    input:
        **code("plan_rounds.py"),
        statuses=planning.inference.runs("status.json", {}),
        latencies=planning.inference.runs("latencies.csv", {}),
    output:
        "results/rounds.json",
    log:
        "results/logs/plan_rounds.log",
    conda:
        "../envs/base.yaml"
    params:
        settings=planning.inference.settings,
    shell:
        "python {input.script} --results results --settings {params.settings:q} --out {output:q} 2>&1 | tee {log:q}"
