"""Data set: an index of each split, checked before anything heavy starts."""

GENERATED = "results/generated/{dataset}"


def dataset_entry(wildcards):
    """The data set's entry, with the root that it has in this run."""
    entry = dict(config["dataset_catalogue"][wildcards.dataset])
    if entry["generate"]:
        entry["root"] = f"{GENERATED}/images".format(dataset=wildcards.dataset)
    elif wildcards.dataset == config["dataset"] and config["dataset_root"]:
        entry["root"] = config["dataset_root"]
    return entry


def images_to_draw(wildcards):
    """A generated data set has to be drawn first; any other is read where it lies."""
    return f"{GENERATED}/manifest.json" if dataset_entry(wildcards)["generate"] else []


rule demo_set:
    """Draw street scenes with labels, the same on every machine, in Cityscapes' own layout."""
    input:
        **code("make_demo_set.py"),
    output:
        images=directory(f"{GENERATED}/images"),
        manifest=f"{GENERATED}/manifest.json",
    log:
        "results/logs/data/{dataset}/generate.log",
    priority: 100
    conda:
        "../envs/base.yaml"
    params:
        scenes=lambda wildcards: [f"--{key}={value}" for key, value in dataset_entry(wildcards)["generate"].items()],
    shell:
        "python {input.script} --out {output.images:q} --manifest {output.manifest:q} {params.scenes:q}"
        " 2>&1 | tee {log:q}"


rule dataset_index:
    """List and check the images and labels of a split: every one is decoded once, all faults are told at once."""
    input:
        **code("index_dataset.py"),
        drawn=images_to_draw,
    output:
        index="results/data/{dataset}/{split}/index.csv",
        summary="results/data/{dataset}/{split}/dataset.json",
    log:
        "results/logs/data/{dataset}/{split}.log",
    priority: 100
    conda:
        "../envs/base.yaml"
    threads: workflow.cores
    params:
        entry=lambda wildcards: json.dumps({**dataset_entry(wildcards), "limit": None}),
        limit=lambda wildcards: dataset_entry(wildcards)["limit"] if wildcards.split == "val" else None,
    shell:
        "python {input.script} --dataset {wildcards.dataset:q} --split {wildcards.split} --entry {params.entry:q}"
        " --limit {params.limit} --index {output.index:q} --summary {output.summary:q} --jobs {threads}"
        " 2>&1 | tee {log:q}"


rule check_inputs:
    """See that images and classes of the data set fit the model, before it is built for hours."""
    input:
        **code("check_inputs.py"),
        summary="results/data/{dataset}/val/dataset.json",
    output:
        "results/data/{dataset}/checks/{model}.json",
    log:
        "results/logs/data/{dataset}/checks/{model}.log",
    priority: 90
    conda:
        "../envs/base.yaml"
    params:
        entry=lambda wildcards: json.dumps(model_of(wildcards)),
    shell:
        "python {input.script} --dataset {input.summary:q} --model {wildcards.model:q} --entry {params.entry:q}"
        " --out {output:q} 2>&1 | tee {log:q}"
