"""Train the demo models on the demo set, under results/training/. No target of a benchmark run needs this."""


rule demo_models:
    """Train all models from scratch. `make accept-demo-models` copies the weights to resources/."""
    input:
        planning.training.results(),


rule train_demo:
    """Train one demo model, the first from random weights, others from its backbone or, for further training, from
    their own weights. It resumes where it stopped.
    """
    input:
        **code("train_demo.py"),
        drawn=planning.training.manifest,
        init=planning.training.initial_weights,
        fine_tune=planning.training.trained_weights,
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
        init=planning.training.start,
        out="results/training/{architecture}",
    shell:
        "OMP_NUM_THREADS=1 FLAGS_use_mkldnn=1 python {input.script} --data {params.data:q}"
        " --out {params.out:q} {params.plan:q} {params.init:q} 2>&1 | tee {log:q}"


rule quantize_demo:
    """Make the Q/DQ model of a network that was trained with fake quantisation."""
    input:
        **code("quantize_demo.py"),
        exporter="workflow_scripts/export_paddle.py",  # which the script runs
        exporting=code("export_paddle.py")["modules"],
        drawn=planning.training.manifest,
        weights="results/training/{architecture}/weights.npz",
    output:
        "results/training/{architecture}/model.onnx",
    log:
        "results/logs/quantize_demo/{architecture}.log",
    wildcard_constraints:
        architecture="|".join(planning.training.quantized) or "(?!)",
    conda:
        "../envs/cpu.yaml"
    params:
        data=planning.training.images,
        network=planning.training.network,
    shell:
        "python {input.script} --architecture {params.network} --weights {input.weights:q} --data {params.data:q}"
        " --out {output:q} 2>&1 | tee {log:q}"
