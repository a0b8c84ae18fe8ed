"""Engine: a variant of a model, built once and saved."""


rule shape_ranges:
    """Note the shape of every tensor, for TensorRT's dynamic shapes."""
    input:
        **code("collect_shapes.py"),
        model="results/models/{model}/model.json",
        files=["results/models/{model}/model.pdmodel", "results/models/{model}/model.pdiparams"],
    output:
        shapes="results/models/{model}/shape_range_info.pbtxt",
        status="results/models/{model}/shapes.json",
    log:
        "results/logs/models/{model}/shapes.log",
    priority: 60
    conda:
        "../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=parameters.memory_mb,
    params:
        python=parameters.python_of("paddle_tensorrt"),
        fingerprint=parameters.fingerprint_for("paddle_tensorrt"),
    shell:
        "{params.python} {input.script} --model {input.model:q} --shapes {output.shapes:q}"
        " --status {output.status:q} 2>&1 | tee {log:q}"


rule engine:
    """Build the variant's engine under supervision; why it could not be built is its status."""
    input:
        **code("build_engine.py", engine=True),
        model="results/models/{model}/model.json",
        files=parameters.model_files,
        twin=parameters.twin_status,
        shapes=parameters.engine_shapes,
        calibration=parameters.calibration_files,
        check=ancient("results/data/{dataset}/checks/{model}.json"),
    output:
        engine=directory(f"{ENGINE}/engine"),
        status=f"{ENGINE}/status.json",
    log:
        "results/logs/engine/{dataset}/{model}/{variant}.log",
    priority: 50
    conda:
        parameters.environment_of_engine
    resources:
        gpu=parameters.gpus_to_build,
        mem_mb=parameters.memory_mb,
    params:
        python=parameters.interpreter,
        variant=parameters.variant_json,
        options=parameters.options_json("build"),
        fingerprint=parameters.fingerprint_of,
        twin=lambda wildcards, input: [f"--twin={input.twin}"] if input.twin else [],
        shapes=lambda wildcards, input: [f"--shapes={input.shapes}"] if input.shapes else [],
        calibration=parameters.calibration_argument,
    shell:
        "{params.python} {input.script} --model {input.model:q} --variant {params.variant:q}"
        " --options {params.options:q} {params.twin:q} {params.shapes:q} {params.calibration:q}"
        " --engine {output.engine:q} --status {output.status:q} 2>&1 | tee {log:q}"
