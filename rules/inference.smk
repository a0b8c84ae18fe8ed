"""Timed inference, and the untimed run of a reference that is not among the variants."""


rule infer:
    """Time one round of a variant, image by image, and keep its class maps."""
    input:
        **code("infer.py", engine=True),
        engine=f"{ENGINE}/engine",
        status=f"{ENGINE}/status.json",
        model="results/models/{model}/model.json",
        index="results/data/{dataset}/val/index.csv",
        images=ancient(parameters.drawn_images),
        decoded=ancient("results/data/{dataset}/val/decoded.json"),  # the same pixels with and without: no rerun
        pixels=ancient("results/data/{dataset}/val/decoded.bin"),
    output:
        latencies="results/runs/{dataset}/{model}/{variant}/{round}/{shard}/latencies.csv",
        predictions="results/runs/{dataset}/{model}/{variant}/{round}/{shard}/predictions.zip",
        environment="results/runs/{dataset}/{model}/{variant}/{round}/{shard}/environment.json",
        status="results/runs/{dataset}/{model}/{variant}/{round}/{shard}/status.json",
    log:
        "results/logs/infer/{dataset}/{model}/{variant}/{round}-{shard}.log",
    # Round 1 of all variants before round 2 of any: a drift of the machine hits all of them alike.
    priority: lambda wildcards: max(40 - int(wildcards.round), 1)
    conda:
        parameters.environment_of_engine
    threads: workflow.cores
    resources:
        gpu=parameters.gpus,  # on one machine the timing slot, with or without a GPU
        slurm_extra=parameters.alone,
        mem_mb=parameters.memory_mb,
        runtime=parameters.run_minutes,
    params:
        python=parameters.interpreter,
        variant=parameters.variant_json,
        options=parameters.options_json("run"),
        timing=parameters.section("timing"),
        threads=config["threads"] or 0,
        fingerprint=parameters.fingerprint_of,
    shell:
        "{params.python} {input.script} --engine {input.engine:q} --engine-status {input.status:q}"
        " --model {input.model:q} --index {input.index:q} --decoded {input.decoded:q}"
        " --variant {params.variant:q} --options {params.options:q}"
        " --timing {params.timing:q} --threads {params.threads} --round {wildcards.round} --shard {wildcards.shard}"
        " --latencies {output.latencies:q} --predictions {output.predictions:q}"
        " --environment {output.environment:q} --status {output.status:q} 2>&1 | tee {log:q}"


rule reference:
    """Class maps of the reference where it is not among the chosen variants: run once, not timed."""
    input:
        **code("infer.py", engine=True),
        engine=f"{ENGINE}/engine",
        status=f"{ENGINE}/status.json",
        model="results/models/{model}/model.json",
        index="results/data/{dataset}/val/index.csv",
        images=ancient(parameters.drawn_images),
        decoded=ancient("results/data/{dataset}/val/decoded.json"),  # the same pixels with and without: no rerun
        pixels=ancient("results/data/{dataset}/val/decoded.bin"),
    output:
        latencies=temp("results/references/{dataset}/{model}/{variant}/untimed.csv"),
        predictions="results/references/{dataset}/{model}/{variant}/predictions.zip",
        environment="results/references/{dataset}/{model}/{variant}/environment.json",
        status="results/references/{dataset}/{model}/{variant}/status.json",
    log:
        "results/logs/reference/{dataset}/{model}/{variant}.log",
    conda:
        parameters.environment_of_engine
    threads: workflow.cores
    resources:
        gpu=parameters.gpus,
        slurm_extra=parameters.alone,
        mem_mb=parameters.memory_mb,
        runtime=parameters.run_minutes,
    params:
        python=parameters.interpreter,
        variant=parameters.variant_json,
        options=parameters.options_json("run"),
        images=config["agreement_images"] or 0,
        threads=config["threads"] or 0,
        fingerprint=parameters.fingerprint_of,
    shell:
        "{params.python} {input.script} --untimed --images {params.images} --engine {input.engine:q}"
        " --engine-status {input.status:q} --model {input.model:q} --index {input.index:q}"
        " --decoded {input.decoded:q} --variant {params.variant:q} --options {params.options:q}"
        " --threads {params.threads}"
        " --latencies {output.latencies:q} --predictions {output.predictions:q}"
        " --environment {output.environment:q} --status {output.status:q} 2>&1 | tee {log:q}"
