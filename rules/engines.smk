"""Engine: a variant of a model, built once and saved."""


def model_files(wildcards):
    """The exported files that the engine builds from: its preferred form among those that the model has."""
    folder = f"results/models/{wildcards.model}"
    forms = ["onnx"] if model_of(wildcards)["kind"] == "onnx" else ["paddle", "onnx"]
    form = next((form for form in engine_of(wildcards).reads if form in forms), None)
    files = {"paddle": [f"{folder}/model.pdmodel", f"{folder}/model.pdiparams"], "onnx": [f"{folder}/model.onnx"]}
    return files.get(form, [])


rule engine:
    """Build the variant's engine under supervision; why it could not be built is its status."""
    input:
        **code("build_engine.py", engine=True),
        model="results/models/{model}/model.json",
        files=model_files,
        check=ancient("results/data/{dataset}/checks/{model}.json"),
    output:
        engine=directory("results/engines/{dataset}/{model}/{variant}/engine"),
        status="results/engines/{dataset}/{model}/{variant}/status.json",
    log:
        "results/logs/engine/{dataset}/{model}/{variant}.log",
    priority: 50
    conda:
        environment_of_engine
    params:
        python=interpreter,
        variant=variant_json,
        options=options_json("build"),
        fingerprint=fingerprint_of,
        limits=as_json("limits"),
    shell:
        "{params.python} {input.script} --model {input.model:q} --variant {params.variant:q}"
        " --options {params.options:q} --limits {params.limits:q}"
        " --engine {output.engine:q} --status {output.status:q} 2>&1 | tee {log:q}"
