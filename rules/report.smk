"""Tables: views of the configuration run last."""


def rows_of(pattern, **more):
    """`pattern` for every chosen model and variant."""
    return expand(pattern, dataset=config["dataset"], model=config["models"], variant=config["variants"], **more)


RUN = "results/runs/{dataset}/{model}/{variant}/{round}/0"


def rounds():
    return list(range(1, config["rounds"] + 1))


rule table:
    """All rows in one table, as CSV and as Markdown: first in the published page's form, then in full."""
    input:
        **code("table.py"),
        models=expand("results/models/{model}/model.json", model=config["models"]),
        engines=rows_of("results/engines/{dataset}/{model}/{variant}/status.json"),
        latencies=rows_of(f"{RUN}/latencies.csv", round=rounds()),
        statuses=rows_of(f"{RUN}/status.json", round=rounds()),
        environments=rows_of(f"{RUN}/environment.json", round=rounds()),
        scores=rows_of("results/scores/{dataset}/{model}/{variant}.json"),
    output:
        csv="results/table.csv",
        markdown="results/table.md",
    log:
        "results/logs/table.log",
    conda:
        "../envs/base.yaml"
    params:
        selection=json.dumps(
            {
                **{key: config[key] for key in ("dataset", "models", "rounds")},
                "variants": {name: config["variant_catalogue"][name] for name in config["variants"]},
            }
        ),
    shell:
        "python {input.script} --results results --selection {params.selection:q} --csv {output.csv:q}"
        " --markdown {output.markdown:q} 2>&1 | tee {log:q}"
