"""Score variants: mIoU against the labels, agreement with the reference."""


rule score:
    """Compute confusion matrix, IoU and mIoU of the accuracy pass, and its agreement with the reference."""
    input:
        unpack(planning.scoring.compared_files),
        **code("score.py"),
        predictions="results/predictions/{dataset}/{model}/{variant}/0/predictions.zip",
        status="results/predictions/{dataset}/{model}/{variant}/0/status.json",
        model="results/models/{model}/model.json",
        index="results/data/{dataset}/val/index.csv",
        summary="results/data/{dataset}/val/dataset.json",
        check="results/data/{dataset}/checks/{model}.json",
    output:
        "results/scores/{dataset}/{model}/{variant}.json",
    log:
        "results/logs/score/{dataset}/{model}/{variant}.log",
    priority: PRIORITY["score"]
    conda:
        "../envs/base.yaml"
    threads: SIDE_BY_SIDE
    params:
        reference=planning.scoring.reference_arguments,
        reference_name=planning.scoring.reference_name,
        ignored_pixels=planning.scoring.ignored_pixels,
        boundary_width=planning.scoring.boundary_width,
        objects=planning.scoring.objects,
        bounds=planning.scoring.agreement_bounds,
        shard=planning.scoring.shard,
    shell:
        "python {input.script} --predictions {input.predictions:q} --run-status {input.status:q}"
        " --model {input.model:q} --dataset {input.summary:q} --index {input.index:q} --check {input.check:q}"
        " --shard {params.shard}"
        " {params.reference:q} --reference-name {params.reference_name:q} --ignored-pixels {params.ignored_pixels}"
        " --boundary-width {params.boundary_width} --objects {params.objects:q} {params.bounds}"
        " --out {output:q} --jobs {threads} 2>&1 | tee {log:q}"


rule find_preprocessing:
    """Try the usual preprocessings on four images where a model hardly does better than guessing; else do nothing."""
    input:
        **code("find_preprocessing.py"),
        score=planning.scoring.score_of_first,
        model="results/models/{model}/model.json",
        files=planning.models.own_files,
        index="results/data/{dataset}/val/index.csv",
        summary="results/data/{dataset}/val/dataset.json",
    output:
        PREPROCESSING,
    log:
        "results/logs/find_preprocessing/{dataset}/{model}.log",
    conda:
        "../envs/cpu.yaml"
    threads: workflow.cores
    resources:
        mem_mb=planning.jobs.memory_mb,
    shell:
        "python {input.script} --score {input.score:q} --model {input.model:q} --index {input.index:q}"
        " --dataset {input.summary:q} --out {output:q} 2>&1 | tee {log:q}"


if config["shards"] > 1:

    ruleorder: merge_scores > score

    use rule score as score_shard with:
        input:
            unpack(planning.scoring.compared_files),
            **code("score.py"),
            predictions="results/predictions/{dataset}/{model}/{variant}/{shard}/predictions.zip",
            status="results/predictions/{dataset}/{model}/{variant}/{shard}/status.json",
            model="results/models/{model}/model.json",
            index="results/data/{dataset}/val/index.csv",
            summary="results/data/{dataset}/val/dataset.json",
            check="results/data/{dataset}/checks/{model}.json",
        output:
            "results/scores/{dataset}/{model}/{variant}/{shard}.json",
        log:
            "results/logs/score_shard/{dataset}/{model}/{variant}-{shard}.log",

    rule merge_scores:
        """Add up the scores of all shards, exactly."""
        input:
            **code("merge_scores.py"),
            shards=planning.scoring.shards(),
            summary="results/data/{dataset}/val/dataset.json",
        output:
            "results/scores/{dataset}/{model}/{variant}.json",
        log:
            "results/logs/merge_scores/{dataset}/{model}/{variant}.log",
        priority: PRIORITY["score"]
        conda:
            "../envs/base.yaml"
        params:
            reference_name=planning.scoring.reference_name,
            ignored_pixels=planning.scoring.ignored_pixels,
            bounds=planning.scoring.agreement_bounds,
        shell:
            "python {input.script} --shards {input.shards:q} --dataset {input.summary:q}"
            " --reference-name {params.reference_name:q} --ignored-pixels {params.ignored_pixels}"
            " {params.bounds} --out {output:q} 2>&1 | tee {log:q}"
