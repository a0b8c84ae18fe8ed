"""Make tables, plots and the report of the configuration that ran last."""

PUBLISHED = expand("resources/published/{name}.csv", name=["paddleseg_v100", "paddleseg_configs"])


rule table:
    """Write all rows in one table: CSV, JSON, LaTeX, and Markdown in the published page's form first, then in full."""
    input:
        **code("table.py"),
        **planning.report.rows(),
        extra=extra_rounds,
        plan="results/rounds.json",
        published=PUBLISHED,
    output:
        csv=report("results/table.csv", caption="../report/table.rst", category="Tables"),
        markdown="results/table.md",
        json="results/table.json",
        tex="results/table.tex",
    log:
        "results/logs/table.log",
    conda:
        "../envs/base.yaml"
    params:
        selection=planning.report.selection,
    shell:
        "python {input.script} --results results --selection {params.selection:q} --rounds {input.plan:q} --published {input.published:q}"
        " --csv {output.csv:q} --markdown {output.markdown:q} --json {output.json:q} --tex {output.tex:q}"
        " 2>&1 | tee {log:q}"


rule bundle_vega:
    """Bundle the plotting library of the report's page. Reports are made again and again, and it stays the same."""
    input:
        **code("bundle_vega.py"),
    output:
        "results/vega.json",
    log:
        "results/logs/bundle_vega.log",
    priority: PRIORITY["bundle_vega"]
    conda:
        "../envs/base.yaml"
    params:
        version=planning.report.vega_version,
    shell:
        "python {input.script} --out {output:q} 2>&1 | tee {log:q}"


rule report:
    """Make the report, one file that opens anywhere, and its plots as files."""
    input:
        **code("report.py"),
        **planning.report.rows(),
        extra=extra_rounds,
        plan="results/rounds.json",
        templates=planning.report.templates(),
        index=expand("results/data/{dataset}/val/index.csv", dataset=config["dataset"]),
        summary=expand("results/data/{dataset}/val/dataset.json", dataset=config["dataset"]),
        brightness=expand("results/data/{dataset}/val/brightness.json", dataset=config["dataset"]),
        vega="results/vega.json",
        published=PUBLISHED,
    output:
        html=report("results/report.html", caption="../report/report.rst", category="Report"),
        svg=[
            report(
                f"results/plots/{plot}.svg", caption=f"../report/{plot}.rst", category="Plots", labels={"plot": plot}
            )
            for plot in PLOTS
        ],
        png=expand("results/plots/{plot}.png", plot=PLOTS),
    log:
        "results/logs/report.log",
    conda:
        "../envs/base.yaml"
    params:
        selection=planning.report.selection,
        settings=planning.report.settings,
        asked_for=planning.report.asked_for,
    shell:
        "python {input.script} --results results --selection {params.selection:q} --settings {params.settings:q}"
        " --rounds {input.plan:q} --vega {input.vega:q} --published {input.published:q} --html {output.html:q}"
        " --plots results/plots 2>&1 | tee {log:q}"


rule picture:
    """Draw a few images with label, prediction and errors, to look at."""
    input:
        **code("picture.py"),
        index="results/data/{dataset}/val/index.csv",
        summary="results/data/{dataset}/val/dataset.json",
        model="results/models/{model}/model.json",
        predictions=planning.inference.passes("predictions.zip"),
        statuses=planning.inference.passes("status.json"),
    output:
        picture=report(
            "results/pictures/{dataset}/{model}/{variant}.png",
            caption="../report/picture.rst",
            category="Pictures",
            labels={"model": "{model}", "variant": "{variant}"},
        ),
        status="results/pictures/{dataset}/{model}/{variant}.json",
    log:
        "results/logs/picture/{dataset}/{model}/{variant}.log",
    conda:
        "../envs/base.yaml"
    shell:
        "python {input.script} --index {input.index:q} --dataset {input.summary:q} --model {input.model:q}"
        " --predictions {input.predictions:q} --statuses {input.statuses:q} --out {output.picture:q}"
        " --status {output.status:q} 2>&1 | tee {log:q}"


rule tell_faults:
    """Fail, with a line for each, where an input was refused or SegBench's own code failed. Table and report are made.

    It comes last. Its script deletes the records of what it names, so that the next run tries again.
    """
    input:
        **code("tell_faults.py"),
        table=rules.table.output.csv,
        report=rules.report.output.html,
        decoded=expand("results/data/{dataset}/val/decoded.json", dataset=config["dataset"]),
        pictures=planning.report.pictures(),
    output:
        "results/faults.json",
    log:
        "results/logs/tell_faults.log",
    conda:
        "../envs/base.yaml"
    params:
        selection=planning.report.selection,
    shell:
        "python {input.script} --results results --selection {params.selection:q} --out {output:q} 2>&1 | tee {log:q}"


rule merge_tables:
    """Put the tables of several machines into one report, by hardware."""
    input:
        **code("merge_tables.py"),
        tables=planning.report.tables(),
    output:
        markdown="results/merged.md",
        csv="results/merged.csv",
    log:
        "results/logs/merge_tables.log",
    conda:
        "../envs/base.yaml"
    params:
        tables=config["tables"],
    shell:
        "python {input.script} --tables {params.tables:q} --markdown {output.markdown:q} --csv {output.csv:q}"
        " 2>&1 | tee {log:q}"
