"""Build each variant of a model once, and save its engine."""


rule collect_shapes:
    """Record the shape of every tensor, for TensorRT's dynamic shapes."""
    input:
        **code("collect_shapes.py"),
        model="results/models/{model}/model.json",
        files=["results/models/{model}/model.pdmodel", "results/models/{model}/model.pdiparams"],
    output:
        shapes="results/models/{model}/shape_range_info.pbtxt",
        status="results/models/{model}/shapes.json",
    log:
        "results/logs/collect_shapes/{model}.log",
    priority: PRIORITY["collect_shapes"]
    conda:
        "../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=planning.jobs.memory_mb,
    params:
        python=lambda wildcards: planning.jobs.interpreter_of("paddle_tensorrt"),
        fingerprint=lambda wildcards: planning.jobs.fingerprint_of("paddle_tensorrt"),
    shell:
        "{params.python} {input.script} --model {input.model:q} --shapes {output.shapes:q}"
        " --status {output.status:q} 2>&1 | tee {log:q}"


rule find_wrong_passes:
    """Compare Paddle's oneDNN engine with native Paddle, and find the graph passes that make it differ."""
    input:
        **code("find_wrong_passes.py"),
        model="results/models/{model}/model.json",
        files=["results/models/{model}/model.pdmodel", "results/models/{model}/model.pdiparams"],
        index=planning.data.to_compare,
        check=check_of_inputs,
    output:
        WRONG_PASSES,
    log:
        "results/logs/find_wrong_passes/{dataset}/{model}.log",
    priority: PRIORITY["find_wrong_passes"]
    conda:
        "../envs/cpu.yaml"
    threads: SIDE_BY_SIDE
    resources:
        mem_mb=planning.jobs.memory_mb,
    params:
        python=lambda wildcards: planning.jobs.interpreter_of("paddle_onednn"),
        fingerprint=lambda wildcards: planning.jobs.fingerprint_of("paddle_onednn"),
        bound=config["agreement_bounds"]["fp32"],
    shell:
        "{params.python} {input.script} --model {input.model:q} --check {input.check:q} --index {input.index:q}"
        " --bound {params.bound} --out {output:q} 2>&1 | tee {log:q}"


rule build_engine:
    """Build the variant's engine under supervision. If that fails, status.json records the reason."""
    input:
        **code("build_engine.py", engine=True),
        model="results/models/{model}/model.json",
        files=planning.engines.files,
        conversion=planning.engines.conversion,
        shapes=planning.engines.shapes,
        passes=planning.engines.passes,
        calibration=planning.engines.calibration,
        check=check_of_inputs,
    output:
        engine=directory(f"{ENGINE}/engine"),
        status=f"{ENGINE}/status.json",
    log:
        "results/logs/build_engine/{dataset}/{model}/{variant}.log",
    priority: PRIORITY["build_engine"]
    conda:
        planning.jobs.environment
    resources:
        gpu=planning.engines.gpus,
        mem_mb=planning.jobs.memory_mb,
    params:
        python=planning.jobs.interpreter,
        variant=planning.engines.identity,
        options=planning.engines.variant_options("build"),
        fingerprint=planning.jobs.fingerprint,
        more=planning.engines.more,
    shell:
        "{params.python} {input.script} --model {input.model:q} --check {input.check:q} --variant {params.variant:q}"
        " --options {params.options:q} {params.more:q}"
        " --engine {output.engine:q} --status {output.status:q} 2>&1 | tee {log:q}"


use rule build_engine as build_engine_with_logits with:
    """Build the variant's engine once more, ended in logits: the accuracy pass resizes them where images are resized."""
    output:
        engine=directory(f"{LOGITS}/engine"),
        status=f"{LOGITS}/status.json",
    log:
        "results/logs/build_engine_with_logits/{dataset}/{model}/{variant}.log",
    params:
        more=planning.engines.more_with_logits,
