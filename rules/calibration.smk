"""INT8 calibration: ranges or quantised models from training images only, and the layers that stay in FP32."""


rule calibration_images:
    """Choose training images by seed: to calibrate with first, then those that the loss is measured on."""
    input:
        **code("index_dataset.py"),
        layout=parameters.layout_of,
        drawn=parameters.images_to_draw,
        images=ancient(parameters.drawn_images),
        val="results/data/{dataset}/val/index.csv",
    output:
        index="results/data/{dataset}/calibration/index.csv",
        summary="results/data/{dataset}/calibration/dataset.json",
    log:
        "results/logs/data/{dataset}/calibration.log",
    priority: 90
    conda:
        "../envs/base.yaml"
    threads: workflow.cores
    params:
        entry=parameters.index_entry,
        sample=parameters.calibration_sample,
    shell:
        "python {input.script} --dataset {wildcards.dataset:q} --split train --entry {params.entry:q}"
        " --sample {params.sample:q} --apart-from {input.val:q} --index {output.index:q} --summary {output.summary:q}"
        " --jobs {threads} 2>&1 | tee {log:q}"


rule calibration_table:
    """Find the range of every activation that is quantised, image by image."""
    input:
        **code("calibrate.py", calibrator=True),
        model="results/models/{model}/model.json",
        files="results/models/{model}/model.onnx",
        twin=parameters.calibrated_twin,
        index="results/data/{dataset}/calibration/index.csv",
        summary="results/data/{dataset}/calibration/dataset.json",
        check=ancient("results/data/{dataset}/checks/{model}.json"),
    output:
        table="results/calibration/{dataset}/{model}/{calibrator}/table.json",
        status="results/calibration/{dataset}/{model}/{calibrator}/status.json",
    log:
        "results/logs/calibration/{dataset}/{model}/{calibrator}.log",
    wildcard_constraints:
        calibrator=parameters.calibrators(table=True),
    priority: 55
    conda:
        "../envs/cpu.yaml"
    threads: workflow.cores
    resources:
        mem_mb=parameters.memory_mb,
    params:
        calibrator=parameters.calibrator_json,
        settings=parameters.table_settings,
        fingerprint=parameters.calibrator_fingerprint,
        twin=lambda wildcards, input: [f"--twin={input.twin}"] if input.twin else [],
    shell:
        "python {input.script} --model {input.model:q} {params.twin:q} --index {input.index:q}"
        " --dataset {input.summary:q} --calibrator {params.calibrator:q} --settings {params.settings:q}"
        " --cache results/cache/calibration --result {output.table:q} --status {output.status:q} 2>&1 | tee {log:q}"


rule fp32_layers:
    """Keep in FP32 the layers that cost too much accuracy in INT8, if any do."""
    input:
        **code("choose_layers.py"),
        model="results/models/{model}/model.json",
        files="results/models/{model}/model.onnx",
        table="results/calibration/{dataset}/{model}/{calibrator}/table.json",
        status="results/calibration/{dataset}/{model}/{calibrator}/status.json",
        index="results/data/{dataset}/calibration/index.csv",
        summary="results/data/{dataset}/calibration/dataset.json",
    output:
        "results/calibration/{dataset}/{model}/{calibrator}/layers.json",
    log:
        "results/logs/calibration/{dataset}/{model}/{calibrator}-layers.log",
    wildcard_constraints:
        calibrator=parameters.calibrators(table=True),
    priority: 55
    conda:
        "../envs/cpu.yaml"
    threads: workflow.cores
    resources:
        mem_mb=parameters.memory_mb,
    params:
        settings=parameters.section("calibration"),
        fingerprint=parameters.calibrator_fingerprint,
    shell:
        "python {input.script} --model {input.model:q} --table {input.table:q} --status {input.status:q}"
        " --index {input.index:q} --dataset {input.summary:q} --settings {params.settings:q}"
        " --cache results/cache/calibration --out {output:q} 2>&1 | tee {log:q}"


rule quantized_model:
    """Let an engine's own quantiser make its model; the engine is built from it."""
    input:
        **code("calibrate.py", calibrator=True),
        model="results/models/{model}/model.json",
        files=parameters.files_to_calibrate,
        index="results/data/{dataset}/calibration/index.csv",
        summary="results/data/{dataset}/calibration/dataset.json",
        check=ancient("results/data/{dataset}/checks/{model}.json"),
    output:
        folder=directory("results/calibration/{dataset}/{model}/{calibrator}/quantized"),
        status="results/calibration/{dataset}/{model}/{calibrator}/status.json",
    log:
        "results/logs/calibration/{dataset}/{model}/{calibrator}.log",
    wildcard_constraints:
        calibrator=parameters.calibrators(table=False),
    priority: 55
    conda:
        "../envs/cpu.yaml"
    threads: workflow.cores
    resources:
        mem_mb=parameters.memory_mb,
    params:
        calibrator=parameters.calibrator_json,
        settings=parameters.section("calibration"),
        fingerprint=parameters.calibrator_fingerprint,
    shell:
        "python {input.script} --model {input.model:q} --index {input.index:q}"
        " --dataset {input.summary:q} --calibrator {params.calibrator:q} --settings {params.settings:q}"
        " --cache results/cache/calibration --result {output.folder:q} --status {output.status:q} 2>&1 | tee {log:q}"


rule tensorrt_tables:
    """Let TensorRT find its own INT8 ranges on the GPU, through Paddle; the engine is built from the model and these."""
    input:
        **code("calibrate.py", calibrator=True),
        model="results/models/{model}/model.json",
        files=parameters.files_to_calibrate,
        shapes=parameters.shapes_of,
        index="results/data/{dataset}/calibration/index.csv",
        summary="results/data/{dataset}/calibration/dataset.json",
        check=ancient("results/data/{dataset}/checks/{model}.json"),
    output:
        folder=directory("results/calibration/{dataset}/{model}/{calibrator}/tables"),
        status="results/calibration/{dataset}/{model}/{calibrator}/status.json",
    log:
        "results/logs/calibration/{dataset}/{model}/{calibrator}.log",
    wildcard_constraints:
        calibrator=parameters.calibrators(table=False, folder="tables"),
    priority: 55
    conda:
        "../envs/gpu.yaml"
    threads: workflow.cores
    resources:
        gpu=1,
        mem_mb=parameters.memory_mb,
    params:
        python=parameters.python_of("paddle_tensorrt"),
        calibrator=parameters.calibrator_json,
        settings=parameters.table_settings,
        fingerprint=parameters.calibrator_fingerprint,
        shapes=lambda wildcards, input: [f"--shapes={input.shapes}"] if input.shapes else [],
    shell:
        "{params.python} {input.script} --model {input.model:q} {params.shapes:q} --index {input.index:q}"
        " --dataset {input.summary:q} --calibrator {params.calibrator:q} --settings {params.settings:q}"
        " --cache results/cache/calibration --result {output.folder:q} --status {output.status:q} 2>&1 | tee {log:q}"
