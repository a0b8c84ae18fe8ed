"""Calibrate INT8: ranges or quantised models from training images only, and the layers that stay in FP32."""


rule calibrate_table:
    """Find the range of every activation that is quantised, image by image."""
    input:
        **code("calibrate.py", calibrator=True),
        model="results/models/{model}/model.json",
        files=planning.calibration.files,
        conversion=planning.calibration.conversion,
        shapes=planning.calibration.shapes,
        passes=planning.calibration.passes,
        layers=planning.calibration.fp32_layers_of_model,
        index=planning.calibration.index,
        summary=planning.calibration.summary,
        check=check_of_inputs,
    output:
        result="results/calibration/{dataset}/{model}/{calibrator}/table.json",
        status="results/calibration/{dataset}/{model}/{calibrator}/status.json",
    log:
        "results/logs/calibrate_table/{dataset}/{model}/{calibrator}.log",
    wildcard_constraints:
        calibrator=planning.calibration.names(table=True),
    priority: PRIORITY["calibrate_table"]
    conda:
        "../envs/cpu.yaml"
    threads: SIDE_BY_SIDE
    resources:
        mem_mb=planning.jobs.memory_mb,
    params:
        python=planning.calibration.interpreter,
        calibrator=planning.calibration.entry,
        settings=planning.calibration.settings_without_loss,
        fingerprint=planning.calibration.fingerprint,
        more=planning.calibration.more,
    shell:
        "{params.python} {input.script} --model {input.model:q} --check {input.check:q} {params.more:q} --index {input.index:q}"
        " --dataset {input.summary:q} --calibrator {params.calibrator:q} --settings {params.settings:q}"
        " --cache results/cache/calibration --result {output.result:q} --status {output.status:q} 2>&1 | tee {log:q}"


use rule calibrate_table as calibrate_model with:
    """Let an engine's own quantiser make its model, which the engine is built from."""
    output:
        result=directory("results/calibration/{dataset}/{model}/{calibrator}/quantized"),
        status="results/calibration/{dataset}/{model}/{calibrator}/status.json",
    log:
        "results/logs/calibrate_model/{dataset}/{model}/{calibrator}.log",
    wildcard_constraints:
        calibrator=planning.calibration.names(table=False),
    params:
        settings=planning.section("calibration"),


use rule calibrate_table as calibrate_tensorrt with:
    """Let TensorRT find its own INT8 ranges on the GPU, through Paddle. The engine is built from model and ranges."""
    output:
        result=directory("results/calibration/{dataset}/{model}/{calibrator}/tables"),
        status="results/calibration/{dataset}/{model}/{calibrator}/status.json",
    log:
        "results/logs/calibrate_tensorrt/{dataset}/{model}/{calibrator}.log",
    wildcard_constraints:
        calibrator=planning.calibration.names(table=False, folder="tables"),
    conda:
        "../envs/gpu.yaml"
    resources:
        gpu=1,
        mem_mb=planning.jobs.memory_mb,


rule choose_layers:
    """Keep the layers in FP32 that cost too much accuracy in INT8, if any do, as judged by one runtime."""
    input:
        **code("choose_layers.py"),
        model="results/models/{model}/model.json",
        files=planning.calibration.onnx,
        table="results/calibration/{dataset}/{model}/{calibrator}/table.json",
        status="results/calibration/{dataset}/{model}/{calibrator}/status.json",
        layers=planning.calibration.fp32_layers,
        index="results/data/{dataset}/calibration/index.csv",
        summary="results/data/{dataset}/calibration/dataset.json",
    output:
        "results/calibration/{dataset}/{model}/{calibrator}/layers.{runtime}.json",
    log:
        "results/logs/choose_layers/{dataset}/{model}/{calibrator}-{runtime}.log",
    wildcard_constraints:
        calibrator=planning.calibration.names(table=True),
        runtime="onnxruntime|openvino",
    priority: PRIORITY["choose_layers"]
    conda:
        "../envs/cpu.yaml"
    threads: SIDE_BY_SIDE
    resources:
        mem_mb=planning.jobs.memory_mb,
    params:
        settings=planning.section("calibration"),
        fingerprint=planning.calibration.fingerprint,
        more=planning.calibration.fp32_layers_argument,
    shell:
        "python {input.script} {params.more:q} --model {input.model:q} --table {input.table:q} --status {input.status:q}"
        " --index {input.index:q} --dataset {input.summary:q} --settings {params.settings:q} --runtime {wildcards.runtime}"
        " --cache results/cache/calibration --out {output:q} 2>&1 | tee {log:q}"
