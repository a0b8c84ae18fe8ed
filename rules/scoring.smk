"""Scores of a variant: mIoU against the labels, agreement with the reference."""


def reference_name(wildcards):
    """The variant, or file of stored predictions, that class maps are compared with."""
    natural = "onnxruntime-fp32" if model_of(wildcards)["kind"] == "onnx" else "paddle-fp32"
    return (config["reference"] or natural).format(dataset=wildcards.dataset, model=wildcards.model)


def reference_files(wildcards):
    """Predictions and status of the reference: round 1 of a chosen variant, an untimed run, or a stored file."""
    name = reference_name(wildcards)
    if name.endswith(".zip"):
        return {"reference": name}
    here = f"{wildcards.dataset}/{wildcards.model}/{name}"
    folder = f"results/runs/{here}/1/0" if name in config["variants"] else f"results/references/{here}"
    return {"reference": f"{folder}/predictions.zip", "reference_status": f"{folder}/status.json"}


def agreement_bound(wildcards):
    return config["agreement_bounds"][variant_of(wildcards)["precision"]]


rule score:
    """Confusion matrix, IoU and mIoU of round 1, and its pixel agreement with the reference."""
    input:
        unpack(reference_files),
        **code("score.py"),
        predictions="results/runs/{dataset}/{model}/{variant}/1/0/predictions.zip",
        status="results/runs/{dataset}/{model}/{variant}/1/0/status.json",
        model="results/models/{model}/model.json",
        index="results/data/{dataset}/val/index.csv",
        summary="results/data/{dataset}/val/dataset.json",
    output:
        "results/scores/{dataset}/{model}/{variant}.json",
    log:
        "results/logs/score/{dataset}/{model}/{variant}.log",
    conda:
        "../envs/base.yaml"
    threads: workflow.cores
    params:
        reference=reference_name,
        reference_status=lambda wildcards, input: (
            ["--reference-status", input.reference_status] if input.get("reference_status") else []
        ),
        bound=agreement_bound,
    shell:
        "python {input.script} --predictions {input.predictions:q} --run-status {input.status:q}"
        " --model {input.model:q} --dataset {input.summary:q} --index {input.index:q}"
        " --reference {input.reference:q} {params.reference_status:q} --reference-name {params.reference:q}"
        " --agreement-bound {params.bound} --out {output:q} --jobs {threads} 2>&1 | tee {log:q}"
