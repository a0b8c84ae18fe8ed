"""Engine: a variant of a model, built once and saved."""


rule engine:
    """Build the variant's engine under supervision; why it could not be built is its status."""
    input:
        **code("build_engine.py", engine=True),
        model="results/models/{model}/model.json",
        files=parameters.model_files,
        twin=parameters.twin_status,
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
        mem_mb=parameters.memory_mb,
    params:
        python=parameters.interpreter,
        variant=parameters.variant_json,
        options=parameters.options_json("build"),
        fingerprint=parameters.fingerprint_of,
        twin=lambda wildcards, input: [f"--twin={input.twin}"] if input.twin else [],
        calibration=parameters.calibration_argument,
    shell:
        "{params.python} {input.script} --model {input.model:q} --variant {params.variant:q}"
        " --options {params.options:q} {params.twin:q} {params.calibration:q}"
        " --engine {output.engine:q} --status {output.status:q} 2>&1 | tee {log:q}"
