"""Train the demo models on the demo set, under results/training/. No target of a benchmark run needs this."""


rule demo_models:
    """Train all eight models from scratch. `make accept-demo-models` copies the weights to resources/."""
    input:
        expand("results/training/{architecture}/weights.npz", architecture=ARCHITECTURES),


rule train_demo:
    """Train one demo model, the first from random weights, others from its backbone. It resumes where it stopped."""
    input:
        **code("train_demo.py"),
        drawn=planning.training.manifest,
        init=planning.training.initial_weights,
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
        "OMP_NUM_THREADS=1 FLAGS_use_mkldnn=1 python {input.script} --architecture {wildcards.architecture}"
        " --data {params.data:q} --out {params.out:q} {params.plan:q} {params.init:q} 2>&1 | tee {log:q}"
