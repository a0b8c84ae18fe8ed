"""Switch groups of layers of an INT8 row to FP32, time each against the row, and choose and check a mix."""

from segbench.planning.mixed_precision import CHOSEN, FP32, INT8, MIX, MIXED, WHOLE


checkpoint group_layers:
    """Deal a row's quantised layers to groups that follow each other and take about the same time in FP32."""
    input:
        **planning.mixed_precision.code("group_layers.py"),
        model="results/models/{model}/model.json",
        files=planning.engines.files,
        calibration=planning.engines.calibration,
        status=f"{ENGINE}/status.json",
        profile=planning.mixed_precision.profile,
    output:
        groups=f"{MIXED}/groups.json",
        layers=[f"{MIXED}/{group}/layers.json" for group in planning.mixed_precision.groups],
    log:
        "results/logs/group_layers/{dataset}/{model}/{variant}.log",
    wildcard_constraints:
        variant=planning.mixed_precision.names(),
    conda:
        "../envs/cpu.yaml"
    resources:
        mem_mb=planning.jobs.memory_mb,
    params:
        settings=planning.mixed_precision.request,
    shell:
        "python {input.script} --model {input.model:q} --calibration {input.calibration[0]:q} --status {input.status:q}"
        " --profile {input.profile:q} --settings {params.settings:q} --out {output.groups:q} 2>&1 | tee {log:q}"


use rule calibrate_model as calibrate_mix with:
    """Quantise the model once more with the layers of a mix in FP32, where the calibrator leaves no table."""
    input:
        **planning.mixed_precision.code("calibrate.py"),
        model="results/models/{model}/model.json",
        files=planning.mixed_precision.calibrated(planning.calibration.files),
        conversion=planning.mixed_precision.calibrated(planning.calibration.conversion),
        shapes=planning.mixed_precision.calibrated(planning.calibration.shapes),
        passes=planning.mixed_precision.calibrated(planning.calibration.passes),
        layers=f"{MIX}/layers.json",
        index=planning.mixed_precision.calibrated(planning.calibration.index),
        summary=planning.mixed_precision.calibrated(planning.calibration.summary),
        check=check_of_inputs,
    output:
        result=directory(f"{MIX}/calibration/quantized"),
        status=f"{MIX}/calibration/status.json",
    log:
        "results/logs/calibrate_mix/{dataset}/{model}/{variant}/{mix}.log",
    wildcard_constraints:
        variant=planning.mixed_precision.names(table=False),
        mix=rf"{CHOSEN}|group\d",
    params:
        python=planning.mixed_precision.calibrated(planning.calibration.interpreter),
        calibrator=planning.mixed_precision.calibrated(planning.calibration.entry),
        settings=planning.section("calibration"),
        fingerprint=planning.mixed_precision.calibrated(planning.calibration.fingerprint),
        more=planning.mixed_precision.calibration_arguments,


use rule build_engine as build_engine_mix with:
    """Build the row's engine with the layers of a mix in FP32."""
    input:
        **code("build_engine.py", engine=True),
        model="results/models/{model}/model.json",
        files=planning.engines.files,
        conversion=planning.engines.conversion,
        shapes=planning.engines.shapes,
        passes=planning.engines.passes,
        calibration=planning.mixed_precision.calibration,
        layers=f"{MIX}/layers.json",
        check=check_of_inputs,
    output:
        engine=directory(f"{MIX}/engine"),
        status=f"{MIX}/status.json",
    log:
        "results/logs/build_engine_mix/{dataset}/{model}/{variant}/{mix}.log",
    wildcard_constraints:
        variant=planning.mixed_precision.names(),
        mix=rf"{CHOSEN}|group\d",
    params:
        more=planning.mixed_precision.build_arguments,


use rule time_pair as time_pair_mix with:
    """Time a mix against the row as it is, or against FP32, alternating in the same way."""
    input:
        **planning.comparison.code(),
        engine=planning.mixed_precision.built("first", "engine"),
        status=planning.mixed_precision.built("first", "status.json"),
        other_engine=planning.mixed_precision.built("second", "engine"),
        other_status=planning.mixed_precision.built("second", "status.json"),
        model="results/models/{model}/model.json",
        index="results/data/{dataset}/timed/images.csv",
        images=ancient(planning.data.folder),
    output:
        f"{MIXED}/pairs/{{first}}--{{second}}.json",
    log:
        "results/logs/time_pair_mix/{dataset}/{model}/{variant}/{first}--{second}.log",
    wildcard_constraints:
        variant=planning.mixed_precision.names(),
        first=f"{INT8}|{FP32}",
        second=rf"{FP32}|{CHOSEN}|group\d",
    params:
        pair=planning.mixed_precision.pair,
        timing=planning.mixed_precision.pair_timing,


rule count_changes:
    """Count the pixels of training images that a mix classifies otherwise than FP32 does."""
    input:
        **code("count_changes.py", engine=True),
        engine=planning.mixed_precision.built("mix", "engine"),
        status=planning.mixed_precision.built("mix", "status.json"),
        other_engine=planning.mixed_precision.exact("engine"),
        other_status=planning.mixed_precision.exact("status.json"),
        model="results/models/{model}/model.json",
        index="results/data/{dataset}/calibration/images.csv",
        images=ancient(planning.data.folder),
    output:
        f"{MIX}/changes.json",
    log:
        "results/logs/count_changes/{dataset}/{model}/{variant}/{mix}.log",
    wildcard_constraints:
        variant=planning.mixed_precision.names(),
        mix=rf"{INT8}|{CHOSEN}|group\d",
    conda:
        planning.jobs.environment
    threads: workflow.cores
    resources:
        gpu=planning.jobs.gpus,
        slurm_extra=planning.jobs.slurm_options,
        mem_mb=planning.jobs.memory_mb,
    params:
        python=planning.jobs.interpreter,
        sides=planning.mixed_precision.sides,
        calibrated=config["calibration"]["images"],
        threads=planning.jobs.threads,
    shell:
        "{params.python} {input.script} --sides {params.sides:q} --engines {input.engine:q} {input.other_engine:q}"
        " --statuses {input.status:q} {input.other_status:q} --model {input.model:q} --index {input.index:q}"
        " --calibrated {params.calibrated} --threads {params.threads} --out {output:q} 2>&1 | tee {log:q}"


rule choose_mix:
    """Choose the groups that stay in FP32: those that INT8 makes slower, and those that lose most for their time."""
    input:
        **code("choose_mix.py"),
        groups=f"{MIXED}/groups.json",
        changes=lambda w: expand(f"{MIXED}/{{mix}}/changes.json", **w, mix=[INT8, *groups_of(w)]),
        pairs=lambda w: expand(f"{MIXED}/pairs/{INT8}--{{mix}}.json", **w, mix=groups_of(w)),
    output:
        f"{MIXED}/{CHOSEN}/layers.json",
    log:
        "results/logs/choose_mix/{dataset}/{model}/{variant}.log",
    wildcard_constraints:
        variant=planning.mixed_precision.names(),
    conda:
        "../envs/base.yaml"
    params:
        margin=config["comparison"]["margin"],
    shell:
        "python {input.script} --groups {input.groups:q} --changes {input.changes:q} --pairs {input.pairs:q}"
        " --margin {params.margin} --out {output:q} 2>&1 | tee {log:q}"


rule mixed_precision:
    """Say what each group's precision costs, and whether the chosen mix keeps what the groups promise."""
    input:
        **code("mixed_precision.py"),
        chosen=f"{MIXED}/{CHOSEN}/layers.json",
        changes=[f"{MIXED}/{mix}/changes.json" for mix in (INT8, CHOSEN)],
        pairs=[f"{MIXED}/pairs/{pair}.json" for pair in WHOLE],
    output:
        markdown=f"{MIXED}.md",
        json=f"{MIXED}.json",
    log:
        "results/logs/mixed_precision/{dataset}/{model}/{variant}.log",
    wildcard_constraints:
        variant=planning.mixed_precision.names(),
    conda:
        "../envs/base.yaml"
    params:
        settings=planning.mixed_precision.settings,
    shell:
        "python {input.script} --chosen {input.chosen:q} --changes {input.changes:q} --pairs {input.pairs:q}"
        " --settings {params.settings:q} --markdown {output.markdown:q} --json {output.json:q} 2>&1 | tee {log:q}"
