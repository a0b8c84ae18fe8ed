"""Tables: views of the configuration run last."""


rule table:
    """All rows in one table, as CSV and as Markdown: first in the published page's form, then in full."""
    input:
        **code("table.py"),
        models=expand("results/models/{model}/model.json", model=config["models"]),
        engines=parameters.rows(f"{ENGINE}/status.json"),
        latencies=parameters.rows(f"{RUN}/latencies.csv"),
        predictions=parameters.rows(f"{RUN}/predictions.zip"),
        statuses=parameters.rows(f"{RUN}/status.json"),
        environments=parameters.rows(f"{RUN}/environment.json"),
        scores=parameters.rows("results/scores/{dataset}/{model}/{variant}.json"),
    output:
        csv="results/table.csv",
        markdown="results/table.md",
    log:
        "results/logs/table.log",
    conda:
        "../envs/base.yaml"
    params:
        selection=parameters.selection(),
    shell:
        "python {input.script} --results results --selection {params.selection:q} --csv {output.csv:q}"
        " --markdown {output.markdown:q} 2>&1 | tee {log:q}"


rule picture:
    """A few images with label, prediction and errors, to be looked at."""
    input:
        **code("picture.py"),
        index="results/data/{dataset}/val/index.csv",
        summary="results/data/{dataset}/val/dataset.json",
        model="results/models/{model}/model.json",
        predictions="results/runs/{dataset}/{model}/{variant}/1/0/predictions.zip",
        status="results/runs/{dataset}/{model}/{variant}/1/0/status.json",
    output:
        "results/pictures/{dataset}/{model}/{variant}.png",
    log:
        "results/logs/picture/{dataset}/{model}/{variant}.log",
    conda:
        "../envs/base.yaml"
    shell:
        "python {input.script} --index {input.index:q} --dataset {input.summary:q} --model {input.model:q}"
        " --predictions {input.predictions:q} --status {input.status:q} --out {output:q} 2>&1 | tee {log:q}"
