"""Prepare the data set: an index of each split, checked before anything heavy starts."""


rule make_demo_set:
    """Draw street scenes with labels, the same on every machine, in Cityscapes' own layout."""
    input:
        **code("make_demo_set.py"),
    output:
        images=directory(f"{GENERATED}/images"),
        manifest=f"{GENERATED}/manifest.json",
    log:
        "results/logs/make_demo_set/{dataset}.log",
    priority: PRIORITY["make_demo_set"]
    conda:
        "../envs/base.yaml"
    params:
        scenes=planning.data.scenes,
    shell:
        "python {input.script} --out {output.images:q} --manifest {output.manifest:q} {params.scenes:q}"
        " 2>&1 | tee {log:q}"


rule index_dataset:
    """List and check the images and labels of a split. Each is decoded once, and all faults are reported at once."""
    input:
        **code("index_dataset.py"),
        layout=planning.data.layout,
        drawn=planning.data.manifest,
        images=ancient(planning.data.folder),
    output:
        index="results/data/{dataset}/{split}/index.csv",
        summary="results/data/{dataset}/{split}/dataset.json",
    log:
        "results/logs/index_dataset/{dataset}/{split}.log",
    priority: PRIORITY["index_dataset"]
    conda:
        "../envs/base.yaml"
    threads: workflow.cores
    params:
        entry=planning.data.index_entry,
        images=planning.data.split,
    shell:
        "python {input.script} --dataset {wildcards.dataset:q} --entry {params.entry:q} {params.images:q}"
        " --index {output.index:q} --summary {output.summary:q} --jobs {threads} 2>&1 | tee {log:q}"


rule decode_images:
    """Decode every image once for all models and variants. Where `decoded_images` is off, the index is empty."""
    input:
        **code("decode_images.py"),
        index="results/data/{dataset}/{split}/index.csv",
        images=ancient(planning.data.folder),
    output:
        index="results/data/{dataset}/{split}/decoded.json",
        pixels="results/data/{dataset}/{split}/decoded.bin",
    log:
        "results/logs/decode_images/{dataset}/{split}.log",
    priority: PRIORITY["decode_images"]
    conda:
        "../envs/base.yaml"
    threads: workflow.cores
    params:
        keep=planning.data.keep_decoded,
    shell:
        "python {input.script} --index {input.index:q} --keep {params.keep} --decoded {output.index:q} --jobs {threads}"
        " 2>&1 | tee {log:q}"


rule check_inputs:
    """Check that images and classes of the data set fit the model, before hours of building."""
    input:
        **code("check_inputs.py"),
        summary="results/data/{dataset}/val/dataset.json",
        entry=planning.models.complete_entry,
    output:
        "results/data/{dataset}/checks/{model}.json",
    log:
        "results/logs/check_inputs/{dataset}/{model}.log",
    priority: PRIORITY["check_inputs"]
    conda:
        "../envs/base.yaml"
    params:
        entry=planning.models.entry,
    shell:
        "python {input.script} --dataset {input.summary:q} --model {wildcards.model:q} --entry {params.entry:q}"
        " --out {output:q} 2>&1 | tee {log:q}"
