"""Data set: an index of each split, checked before anything heavy starts."""


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
        scenes=parameters.scenes,
    shell:
        "python {input.script} --out {output.images:q} --manifest {output.manifest:q} {params.scenes:q}"
        " 2>&1 | tee {log:q}"


rule dataset_index:
    """List and check the images and labels of a split: every one is decoded once, all faults are told at once."""
    input:
        **code("index_dataset.py"),
        layout=parameters.layout_of,
        drawn=parameters.images_to_draw,
        images=ancient(parameters.drawn_images),
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
        entry=parameters.index_entry,
        limit=parameters.limit,
    shell:
        "python {input.script} --dataset {wildcards.dataset:q} --split {wildcards.split} --entry {params.entry:q}"
        " --limit {params.limit} --index {output.index:q} --summary {output.summary:q} --jobs {threads}"
        " 2>&1 | tee {log:q}"


rule decode_images:
    """Decode every image once for all models and variants; an empty index where `decoded_images` is off."""
    input:
        **code("decode_images.py"),
        index="results/data/{dataset}/{split}/index.csv",
        images=ancient(parameters.drawn_images),
    output:
        index="results/data/{dataset}/{split}/decoded.json",
        pixels="results/data/{dataset}/{split}/decoded.bin",
    log:
        "results/logs/data/{dataset}/{split}-decoded.log",
    priority: 100
    conda:
        "../envs/base.yaml"
    threads: workflow.cores
    params:
        keep=lambda wildcards: "yes" if config["decoded_images"] else "no",
    shell:
        "python {input.script} --index {input.index:q} --keep {params.keep} --decoded {output.index:q} --jobs {threads}"
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
        entry=parameters.model_json,
    shell:
        "python {input.script} --dataset {input.summary:q} --model {wildcards.model:q} --entry {params.entry:q}"
        " --out {output:q} 2>&1 | tee {log:q}"
