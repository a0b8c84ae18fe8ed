"""Train the demo models on the demo set, under results/training/. No target of a benchmark run needs this."""


rule demo_models:
    """Train all models from scratch. `make accept-demo-models` copies the weights to resources/."""
    input:
        expand("results/training/{architecture}/weights.npz", architecture=planning.training.names),


rule train_demo:
    """Train one demo model, the first from random weights, others from its backbone. It resumes where it stopped."""
    input:
        **code("train_demo.py"),
        drawn=planning.training.manifest,
        init=planning.training.initial_weights,
        config=planning.training.config_file,
    output:
        weights="results/training/{architecture}/weights.npz",
        record="results/training/{architecture}/training.json",
        curve="results/training/{architecture}/log.csv",
    log:
        "results/logs/train_demo/{architecture}.log",
    conda:
        "../envs/cpu.yaml"
    params:
        data=planning.training.images,
        plan=planning.training.plan,
        init=lambda wildcards, input: ["--init", input.init] if input.init else [],
        out="results/training/{architecture}",
    shell:
        "OMP_NUM_THREADS=1 FLAGS_use_mkldnn=1 python {input.script} --data {params.data:q}"
        " --out {params.out:q} {params.plan:q} {params.init:q} 2>&1 | tee {log:q}"
