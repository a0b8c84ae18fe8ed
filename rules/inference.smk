"""Run engines: timed rounds of variants, and the untimed run of a reference that is not among them."""


rule infer:
    """Time one round of a variant, image by image, and keep its class maps."""
    input:
        **code("infer.py", engine=True),
        engine=f"{ENGINE}/engine",
        status=f"{ENGINE}/status.json",
        model="results/models/{model}/model.json",
        index="results/data/{dataset}/val/index.csv",
        images=ancient(planning.data.folder),
        decoded=ancient("results/data/{dataset}/val/decoded.json"),  # the same pixels with and without: no rerun
        pixels=ancient("results/data/{dataset}/val/decoded.bin"),
    output:
        latencies=f"{RUN}/latencies.csv",
        predictions=f"{RUN}/predictions.zip",
        environment=f"{RUN}/environment.json",
        status=f"{RUN}/status.json",
    log:
        "results/logs/infer/{dataset}/{model}/{variant}/{round}-{shard}.log",
    priority: PRIORITY["infer"]
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
        threads=config["threads"] or 0,
        fingerprint=planning.jobs.fingerprint,
    shell:
        "{params.python} {input.script} --engine {input.engine:q} --engine-status {input.status:q}"
        " --model {input.model:q} --index {input.index:q} --decoded {input.decoded:q}"
        " --variant {params.variant:q} --options {params.options:q} {params.mode:q} --threads {params.threads}"
        " --latencies {output.latencies:q} --predictions {output.predictions:q}"
        " --environment {output.environment:q} --status {output.status:q} 2>&1 | tee {log:q}"


use rule infer as infer_reference with:
    """Make the class maps of a reference that is not among the chosen variants. It runs once and is not timed."""
    output:
        latencies=temp("results/references/{dataset}/{model}/{variant}/untimed.csv"),
        predictions="results/references/{dataset}/{model}/{variant}/predictions.zip",
        environment="results/references/{dataset}/{model}/{variant}/environment.json",
        status="results/references/{dataset}/{model}/{variant}/status.json",
    log:
        "results/logs/infer_reference/{dataset}/{model}/{variant}.log",
    priority: PRIORITY["infer_reference"]
    params:
        mode=planning.inference.untimed,
