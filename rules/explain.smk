"""Explain times: what each layer and each stage of a row takes, and why one variant is faster or slower than another."""

from segbench.planning.explain import EXPLAINED, LAYERS, STAGES


rule profile_layers:
    """Let an engine time its own layers. No latency of the table comes from here."""
    input:
        **code("profile_layers.py", engine=True),
        engine=f"{ENGINE}/engine",
        status=f"{ENGINE}/status.json",
        model="results/models/{model}/model.json",
        index="results/data/{dataset}/timed/images.csv",
        images=ancient(planning.data.folder),
        decoded=ancient("results/data/{dataset}/val/decoded.json"),
        pixels=ancient("results/data/{dataset}/val/decoded.bin"),
    output:
        LAYERS,
    log:
        "results/logs/profile_layers/{dataset}/{model}/{variant}.log",
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
        timing=planning.inference.round_timing,
        threads=planning.jobs.threads,
        fingerprint=planning.jobs.fingerprint,
    shell:
        "{params.python} {input.script} --engine {input.engine:q} --engine-status {input.status:q}"
        " --model {input.model:q} --index {input.index:q} --decoded {input.decoded:q} --variant {params.variant:q}"
        " --options {params.options:q} --timing {params.timing:q} --threads {params.threads} --out {output:q}"
        " 2>&1 | tee {log:q}"


rule explain:
    """Say in numbers where one variant saves time against another of the same model, and where it loses some."""
    input:
        **code("explain.py"),
        layers=[LAYERS, LAYERS.replace("{variant}", "{other}")],
        table=rules.table.output.csv,
    output:
        markdown=f"{EXPLAINED}.md",
        json=f"{EXPLAINED}.json",
        svg=f"{EXPLAINED}.svg",
    log:
        "results/logs/explain/{dataset}/{model}/{variant}--{other}.log",
    wildcard_constraints:
        other=planning.names_of("variant_catalogue"),
    conda:
        "../envs/base.yaml"
    shell:
        "python {input.script} --model {wildcards.model} --variants {wildcards.variant} {wildcards.other}"
        " --layers {input.layers:q} --table {input.table:q} --markdown {output.markdown:q} --json {output.json:q}"
        " --svg {output.svg:q} 2>&1 | tee {log:q}"


rule explanations:
    """List what is said of every pair: INT8 against FP32 of each engine and model, and `comparison.pairs`."""
    input:
        **code("explanations.py"),
        said=planning.explain.said(),
    output:
        "results/explanations.md",
    log:
        "results/logs/explanations.log",
    conda:
        "../envs/base.yaml"
    shell:
        "python {input.script} {input.said:q} --out {output:q} 2>&1 | tee {log:q}"


rule time_stages:
    """Time the stages of an image, from its file to its class map. No latency of the table comes from here."""
    input:
        **code("time_stages.py", engine=True),
        engine=f"{ENGINE}/engine",
        status=f"{ENGINE}/status.json",
        model="results/models/{model}/model.json",
        index="results/data/{dataset}/timed/images.csv",
        images=ancient(planning.data.folder),
    output:
        STAGES,
    log:
        "results/logs/time_stages/{dataset}/{model}/{variant}.log",
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
        timing=planning.inference.round_timing,
        threads=planning.jobs.threads,
        fingerprint=planning.jobs.fingerprint,
    shell:
        "{params.python} {input.script} --engine {input.engine:q} --engine-status {input.status:q}"
        " --model {input.model:q} --index {input.index:q} --variant {params.variant:q} --options {params.options:q}"
        " --timing {params.timing:q} --threads {params.threads} --out {output:q} 2>&1 | tee {log:q}"


rule stages:
    """Say where an image's time goes in each row: decode, normalise, copies, network, head."""
    input:
        **code("stages.py"),
        stages=planning.report.row_files(STAGES),
        layers=planning.report.row_files(LAYERS),
    output:
        markdown="results/stages.md",
        svg="results/stages.svg",
    log:
        "results/logs/stages.log",
    conda:
        "../envs/base.yaml"
    shell:
        "python {input.script} --stages {input.stages:q} --layers {input.layers:q} --markdown {output.markdown:q}"
        " --svg {output.svg:q} 2>&1 | tee {log:q}"
