"""Find where a row's class maps part from the reference's, and after which layer. Nobody asks for this by default."""

from segbench.planning.explain import LAYERS, PARTED


rule diverge:
    """Cut a row's network in two, its head on the row's engine and its tail on the reference, until the layer is found."""
    input:
        **code("diverge.py", engine=True),
        engine=f"{ENGINE}/engine",
        status=f"{ENGINE}/status.json",
        model="results/models/{model}/model.json",
        own=planning.models.own_files,
        files=planning.engines.files,
        calibration=planning.engines.calibration,
        score="results/scores/{dataset}/{model}/{variant}.json",
        layers=LAYERS,
        index="results/data/{dataset}/val/index.csv",
        images=ancient(planning.data.folder),
    output:
        markdown=f"{PARTED}.md",
        json=f"{PARTED}.json",
    log:
        "results/logs/diverge/{dataset}/{model}/{variant}.log",
    conda:
        planning.jobs.environment
    threads: workflow.cores
    resources:
        gpu=planning.jobs.gpus,
        mem_mb=planning.jobs.memory_mb,
    params:
        python=planning.jobs.interpreter,
        variant=planning.engines.identity,
        build=planning.engines.variant_options("build"),
        run=planning.engines.variant_options("run"),
        calibration=planning.engines.calibration_argument,
        bound=planning.scoring.pixel_bound,
        threads=planning.jobs.threads,
        fingerprint=planning.jobs.fingerprint,
    shell:
        "{params.python} {input.script} --engine {input.engine:q} --engine-status {input.status:q}"
        " --model {input.model:q} {params.calibration:q} --variant {params.variant:q}"
        " --build {params.build:q} --run {params.run:q} --score {input.score:q} --layers {input.layers:q}"
        " --index {input.index:q} --bound {params.bound} --threads {params.threads} --markdown {output.markdown:q}"
        " --json {output.json:q} 2>&1 | tee {log:q}"
