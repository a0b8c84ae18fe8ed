"""Compare this run with baselines and variants with each other, and fail for CI where one is worse or not shown."""


rule time_pair:
    """Time two built variants of a model alternating, A B B A …, so that machine drift cancels in their ratio."""
    input:
        **planning.comparison.code(),
        engine=f"{ENGINE}/engine",
        status=f"{ENGINE}/status.json",
        other_engine=f"{OTHER}/engine",
        other_status=f"{OTHER}/status.json",
        model="results/models/{model}/model.json",
        index="results/data/{dataset}/timed/images.csv",
        images=ancient(planning.data.folder),
    output:
        "results/pairs/{dataset}/{model}/{variant}--{other}.json",
    log:
        "results/logs/time_pair/{dataset}/{model}/{variant}--{other}.log",
    wildcard_constraints:
        other=planning.names_of("variant_catalogue"),
    conda:
        planning.jobs.environment
    threads: workflow.cores
    resources:
        gpu=planning.jobs.gpus,
        slurm_extra=planning.jobs.slurm_options,
        mem_mb=planning.jobs.memory_mb,
    params:
        pair=planning.comparison.pair,
        more=[],
        timing=planning.comparison.pair_timing,
        threads=config["threads"] or 0,
    shell:
        "python {input.script} --pair {params.pair:q} --engines {input.engine:q} {input.other_engine:q}"
        " --statuses {input.status:q} {input.other_status:q} --model {input.model:q} --index {input.index:q}"
        " {params.more:q} --timing {params.timing:q} --threads {params.threads} --out {output:q} 2>&1 | tee {log:q}"


use rule time_pair as time_pair_baseline with:
    """Time a variant as the baseline has it and as it is now, alternating in the same way."""
    input:
        **planning.comparison.code(),
        engine=planning.comparison.kept_engine("engine"),
        status=planning.comparison.kept_engine("status.json"),
        other_engine=f"{ENGINE}/engine",
        other_status=f"{ENGINE}/status.json",
        model="results/models/{model}/model.json",
        kept_model=planning.comparison.kept_model,
        index="results/data/{dataset}/timed/images.csv",
        images=ancient(planning.data.folder),
    output:
        WITH_BASELINE,
    log:
        "results/logs/time_pair_baseline/{dataset}/{model}/{variant}.log",
    params:
        pair=planning.comparison.kept_and_now,
        more=lambda wildcards, input: [f"--first-model={input.kept_model}"],


rule time_loadgen:
    """Time a variant by MLCommons LoadGen and by our clock in turn, to check our clock by an independent one."""
    input:
        **code("time_loadgen.py", engine=True),
        engine=f"{ENGINE}/engine",
        status=f"{ENGINE}/status.json",
        model="results/models/{model}/model.json",
        index="results/data/{dataset}/timed/images.csv",
        images=ancient(planning.data.folder),
    output:
        "results/loadgen/{dataset}/{model}/{variant}.json",
    log:
        "results/logs/time_loadgen/{dataset}/{model}/{variant}.log",
    conda:
        planning.jobs.environment
    threads: workflow.cores
    resources:
        gpu=planning.jobs.gpus,
        slurm_extra=planning.jobs.slurm_options,
        mem_mb=planning.jobs.memory_mb,
    params:
        python=planning.jobs.interpreter,
        variant=planning.engines.identity,
        options=planning.engines.variant_options("run"),
        timing=planning.comparison.loadgen_timing,
        threads=planning.jobs.threads,
        fingerprint=planning.jobs.fingerprint,
    shell:
        "{params.python} {input.script} --engine {input.engine:q} --engine-status {input.status:q}"
        " --model {input.model:q} --index {input.index:q} --variant {params.variant:q} --options {params.options:q}"
        " --timing {params.timing:q} --threads {params.threads} --out {output:q} 2>&1 | tee {log:q}"


checkpoint compare:
    """Give verdicts on time and accuracy. The job succeeds whatever they are. Only `gate` fails."""
    input:
        **code("compare.py"),
        table=rules.table.output.csv,
        baseline=planning.comparison.baseline_files,
        pairs=planning.comparison.pairs(),
    output:
        markdown="results/comparison.md",
        json="results/comparison.json",
    log:
        "results/logs/compare.log",
    conda:
        "../envs/base.yaml"
    params:
        settings=planning.comparison.settings,
    shell:
        "python {input.script} --table {input.table:q} --pairs {input.pairs:q} --settings {params.settings:q}"
        " --markdown {output.markdown:q} --out {output.json:q} 2>&1 | tee {log:q}"


rule gate:
    """Fail unless every row is shown to be right and not slower than allowed. What is not shown is timed again first.

    The rule writes no file, so it judges again each time.
    """
    input:
        **code("gate.py"),
        comparison=rules.compare.output.json,
        pairs=lambda wildcards: planning.comparison.pairs_with_baseline(checkpoints.compare.get().output.json),
    log:
        "results/logs/gate.log",
    conda:
        "../envs/base.yaml"
    params:
        pairs="results/baseline_pairs",
        settings=planning.comparison.bounds,
    shell:
        "python {input.script} --comparison {input.comparison:q} --pairs {params.pairs:q}"
        " --settings {params.settings:q} 2>&1 | tee {log:q}"


rule update_baseline:
    """Keep this run as the baseline that the configuration names: its table, and the engines for a later gate."""
    input:
        **code("update_baseline.py"),
        table=rules.table.output.csv,
        models=expand("results/models/{model}/model.json", model=config["models"]),
        engines=planning.report.row_files(f"{ENGINE}/engine"),
        statuses=planning.report.row_files(f"{ENGINE}/status.json"),
    log:
        "results/logs/update_baseline.log",
    conda:
        "../envs/base.yaml"
    params:
        settings=planning.comparison.to_keep,
    shell:
        "python {input.script} --table {input.table:q} --results results --settings {params.settings:q}"
        " 2>&1 | tee {log:q}"
