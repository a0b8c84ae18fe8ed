"""Time starts: how long a row takes from nothing to its first class map, with its files cached and not."""

from segbench.planning.explain import STARTS


rule time_starts:
    """Start a row anew in several processes, warm and cold in turn. No figure of the table comes from here."""
    input:
        **code("time_starts.py", engine=True),
        engine=f"{ENGINE}/engine",
        status=f"{ENGINE}/status.json",
        model="results/models/{model}/model.json",
        index="results/data/{dataset}/timed/images.csv",
        images=ancient(planning.data.folder),
        decoded=ancient("results/data/{dataset}/val/decoded.json"),
        pixels=ancient("results/data/{dataset}/val/decoded.bin"),
    output:
        STARTS,
    log:
        "results/logs/time_starts/{dataset}/{model}/{variant}.log",
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
        rounds=planning.inference.starts,
        fingerprint=planning.jobs.fingerprint,
    shell:
        "{params.python} {input.script} --engine {input.engine:q} --engine-status {input.status:q}"
        " --model {input.model:q} --index {input.index:q} --decoded {input.decoded:q} --variant {params.variant:q}"
        " --options {params.options:q} --timing {params.timing:q} --threads {params.threads} --rounds {params.rounds}"
        " --out {output:q} 2>&1 | tee {log:q}"


rule cold_start:
    """Say of every chosen row how long a start takes, warm and cold, and which variant of a model starts soonest."""
    input:
        **code("cold_start.py"),
        records=planning.report.row_files(STARTS),
    output:
        markdown="results/cold_start.md",
        svg="results/cold_start.svg",
    log:
        "results/logs/cold_start.log",
    conda:
        "../envs/base.yaml"
    shell:
        "python {input.script} {input.records:q} --markdown {output.markdown:q} --svg {output.svg:q} 2>&1 | tee {log:q}"
