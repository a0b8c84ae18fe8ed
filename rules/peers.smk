"""Compare what runs outside the model with other packages. No target of a benchmark run needs this."""

from types import SimpleNamespace

from segbench.planning.code import modules_of

LARGE = {"dataset": "demo_large", "model": "gcnet_demo_large", "variant": "paddle-fp32"}


rule peers:
    """Time scoring, preprocessing and a whole evaluation and those of other packages in turn (after make env-peers)."""
    input:
        script="validation/peers/peers.py",
        modules=[
            "validation/peers/other_packages.py",
            *(f"workflow_scripts/{script}" for script in ("infer.py", "score.py")),
            *sorted({*modules_of("infer.py", "engines/paddle.py"), *modules_of("score.py")}),
        ],
        engine=expand(f"{ENGINE}/engine", **LARGE),
        status=expand(f"{ENGINE}/status.json", **LARGE),
        model=expand("results/models/{model}/model.json", **LARGE),
        checkpoint=expand("results/models/{model}/checkpoint.npz", **LARGE),
        index=expand("results/data/{dataset}/val/index.csv", **LARGE),
        decoded=expand("results/data/{dataset}/val/decoded.json", **LARGE),
    output:
        markdown="results/peers.md",
        json="results/peers.json",
    log:
        "results/logs/peers.log",
    conda:
        "../envs/base.yaml"
    threads: workflow.cores
    resources:
        gpu=1,  # the timing slot
    params:
        python=".venv-peers/bin/python",
        entry=lambda wildcards: planning.models.entry(SimpleNamespace(**LARGE)),
        variant=lambda wildcards: planning.engines.identity(SimpleNamespace(**LARGE)),
    shell:
        "python {input.script} --python {params.python} --engine {input.engine:q} --engine-status {input.status:q}"
        " --variant {params.variant:q} --model {input.model:q} --entry {params.entry:q}"
        " --checkpoint {input.checkpoint:q} --index {input.index:q} --decoded {input.decoded:q}"
        " --markdown {output.markdown:q} --json {output.json:q} 2>&1 | tee {log:q}"
