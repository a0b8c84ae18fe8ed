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


rule index_images:
    """List and check the images of a split. Each is decoded once, and all faults are reported at once.

    Training images to calibrate with, and images to time, are chosen by a hash of their names.
    """
    input:
        **code("index_images.py"),
        layout=planning.data.layout,
        drawn=planning.data.manifest,
        folder=ancient(planning.data.folder),
        apart_from=ancient(planning.data.apart_from),  # a picture that is added to val calibrates nothing again
    output:
        index="results/data/{dataset}/{split}/images.csv",
        summary="results/data/{dataset}/{split}/images.json",
    log:
        "results/logs/index_images/{dataset}/{split}.log",
    priority: PRIORITY["index_images"]
    conda:
        "../envs/base.yaml"
    threads: workflow.cores
    params:
        entry=planning.data.images_entry,
        images=planning.data.images,
        apart_from=lambda wildcards, input: [f"--apart-from={input.apart_from}"] if input.apart_from else [],
        state=planning.data.images_state,
    shell:
        "python {input.script} --dataset {wildcards.dataset:q} --entry {params.entry:q} {params.images:q}"
        " {params.apart_from:q} --state={params.state:q} --index {output.index:q} --summary {output.summary:q}"
        " --jobs {threads} 2>&1 | tee {log:q}"


rule index_dataset:
    """Pair the images of a split with their labels, and check each label. What only reads images does not wait for it."""
    input:
        **code("index_dataset.py"),
        layout=planning.data.layout,
        drawn=planning.data.manifest,
        folder=ancient(planning.data.folder),
        images="results/data/{dataset}/{split}/images.csv",
        listing="results/data/{dataset}/{split}/images.json",
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
        entry=planning.data.labels_entry,
        split=planning.data.labels,
        state=planning.data.labels_state,
    shell:
        "python {input.script} --dataset {wildcards.dataset:q} --entry {params.entry:q} {params.split:q}"
        " --images {input.images:q} --state={params.state:q} --index {output.index:q} --summary {output.summary:q}"
        " --jobs {threads} 2>&1 | tee {log:q}"


rule decode_images:
    """Decode every image once for all models and variants. Where `decoded_images` is off, the index is empty."""
    input:
        **code("decode_images.py"),
        index="results/data/{dataset}/{split}/images.csv",
        listing="results/data/{dataset}/{split}/images.json",
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


rule measure_brightness:
    """Measure how bright each image is. Only the report needs it, so that no engine waits or runs again for it."""
    input:
        **code("measure_brightness.py"),
        index="results/data/{dataset}/{split}/images.csv",
        listing="results/data/{dataset}/{split}/images.json",
        decoded=ancient("results/data/{dataset}/{split}/decoded.json"),  # the same pixels with and without
        pixels=ancient("results/data/{dataset}/{split}/decoded.bin"),
        images=ancient(planning.data.folder),
    output:
        "results/data/{dataset}/{split}/brightness.json",
    log:
        "results/logs/measure_brightness/{dataset}/{split}.log",
    conda:
        "../envs/base.yaml"
    shell:
        "python {input.script} --index {input.index:q} --decoded {input.decoded:q} --out {output:q}"
        " 2>&1 | tee {log:q}"


rule check_inputs:
    """Check that images and classes of the data set fit the model, before hours of building."""
    input:
        **code("check_inputs.py"),
        images="results/data/{dataset}/val/images.json",
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
        "python {input.script} --images {input.images:q} --dataset {input.summary:q} --model {wildcards.model:q}"
        " --entry {params.entry:q} --out {output:q} 2>&1 | tee {log:q}"
