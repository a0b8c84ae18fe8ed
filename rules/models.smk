"""Prepare models: fetch and check weights, export them at their fixed input shape, and make an exact ONNX twin."""


rule fetch_checkpoint:
    """Fetch a model's weights, with resumption and retries, and check their SHA-256."""
    input:
        **code("fetch_checkpoint.py"),
        file=ancient(planning.models.local_weights),  # its state tells whether it has changed, not its date
    output:
        file="results/models/{model}/checkpoint.{suffix}",  # empty where it was refused; the record says why
        record="results/models/{model}/checkpoint.{suffix}.json",
    log:
        "results/logs/fetch_checkpoint/{model}-{suffix}.log",
    wildcard_constraints:
        suffix="pdparams|npz|onnx|pdmodel|json|pdiparams|xml|bin",
    priority: PRIORITY["fetch_checkpoint"]
    retries: 0  # the script resumes and retries by itself
    conda:
        "../envs/cpu.yaml"
    params:
        weights=planning.models.weights,
        state=planning.models.weights_state,
    shell:
        "python {input.script} --weights {params.weights:q} --state={params.state:q} --out {output.file:q}"
        " --cache results/cache/downloads 2>&1 | tee {log:q}"


rule read_settings:
    """Complete a model's entry by its own files: PaddleSeg's configuration, the deploy.yaml beside an export, or the
    folder of a network of transformers.
    """
    input:
        **code("read_settings.py"),
        files=ancient(planning.models.settings_files),  # their digest tells whether they have changed, not their dates
    output:
        "results/models/{model}/entry.json",
    log:
        "results/logs/read_settings/{model}.log",
    priority: PRIORITY["read_settings"]
    conda:
        "../envs/cpu.yaml"
    params:
        entry=planning.models.given_entry,
        settings=planning.models.settings,
        digest=planning.models.settings_digest,
    shell:
        "python {input.script} --model {wildcards.model:q} --entry {params.entry:q} --settings {params.settings:q}"
        " --out {output:q} 2>&1 | tee {log:q}"


rule export_paddle:
    """Export a Paddle model at its fixed input shape, with the argmax in the graph."""
    input:
        **code("export_paddle.py"),
        checkpoint=planning.models.checkpoint,
        entry=planning.models.complete_entry,
    output:
        pdmodel="results/models/{model}/model.pdmodel",
        pdiparams="results/models/{model}/model.pdiparams",
        json="results/models/{model}/model.json",
    log:
        "results/logs/export_paddle/{model}.log",
    wildcard_constraints:
        model=planning.models.of_form("paddle"),
    priority: PRIORITY["export_paddle"]
    conda:
        "../envs/cpu.yaml"
    params:
        entry=planning.models.entry,
        checkpoint=planning.models.checkpoint_argument,
    shell:
        "python {input.script} --model {wildcards.model:q} --entry {params.entry:q} {params.checkpoint:q}"
        " --pdmodel {output.pdmodel:q} --pdiparams {output.pdiparams:q} --json {output.json:q} 2>&1 | tee {log:q}"


rule export_paddle3:
    """Export a Paddle 3 model (.json) at its fixed input shape, argmax in the graph."""
    input:
        **code("export_paddle3.py"),
        checkpoint=planning.models.checkpoint,
        entry=planning.models.complete_entry,
    output:
        program="results/models/{model}/program.json",
        pdiparams="results/models/{model}/program.pdiparams",
        json="results/models/{model}/model.json",
    log:
        "results/logs/export_paddle3/{model}.log",
    wildcard_constraints:
        model=planning.models.of_form("paddle3"),
    priority: PRIORITY["export_paddle3"]
    conda:
        "../envs/paddle3.yaml"
    params:
        python=lambda wildcards: planning.jobs.interpreter_of("paddle3"),
        entry=planning.models.entry,
    shell:
        "{params.python} {input.script} --model {wildcards.model:q} --entry {params.entry:q}"
        " --checkpoint {input.checkpoint[0]:q} --program {output.program:q} --pdiparams {output.pdiparams:q}"
        " --json {output.json:q} 2>&1 | tee {log:q}"


rule export_openvino:
    """Fix the input size of a user's own OpenVINO model, and put the argmax into its graph."""
    input:
        **code("export_openvino.py"),
        checkpoint=planning.models.checkpoint,
        entry=planning.models.complete_entry,
    output:
        xml="results/models/{model}/model.xml",
        bin="results/models/{model}/model.bin",
        json="results/models/{model}/model.json",
    log:
        "results/logs/export_openvino/{model}.log",
    wildcard_constraints:
        model=planning.models.of_form("openvino"),
    priority: PRIORITY["export_openvino"]
    conda:
        "../envs/cpu.yaml"
    params:
        entry=planning.models.entry,
    shell:
        "python {input.script} --model {wildcards.model:q} --entry {params.entry:q}"
        " --checkpoint {input.checkpoint[0]:q} --xml {output.xml:q} --json {output.json:q} 2>&1 | tee {log:q}"


rule export_onnx:
    """Convert an exported Paddle model to an ONNX model that computes the same."""
    input:
        **code("export_onnx.py"),
        model="results/models/{model}/model.json",
        files=planning.models.own_files,
    output:
        onnx="results/models/{model}/model.onnx",
        status="results/models/{model}/onnx.json",
    log:
        "results/logs/export_onnx/{model}.log",
    wildcard_constraints:
        model=planning.models.of_form("paddle", "paddle3"),
    priority: PRIORITY["export_onnx"]
    conda:
        "../envs/cpu.yaml"
    params:
        bound=config["agreement_bounds"]["fp32"],
    shell:
        "python {input.script} --model {input.model:q} --pdmodel {input.files[0]:q} --pdiparams {input.files[1]:q}"
        " --bound {params.bound} --out {output.onnx:q} --status {output.status:q} 2>&1 | tee {log:q}"


rule export_huggingface:
    """Export a network of transformers from its folder to ONNX, in PyTorch's environment."""
    input:
        **code("export_huggingface.py"),
        files=ancient(planning.models.folder_files),  # their state tells whether they have changed, not their dates
        entry=planning.models.complete_entry,
    output:
        onnx="results/models/{model}/huggingface.onnx",  # empty where there is none; the record says why
        record="results/models/{model}/huggingface.onnx.json",
    log:
        "results/logs/export_huggingface/{model}.log",
    wildcard_constraints:
        model=planning.names_of("model_catalogue", kind=["huggingface"]),
    priority: PRIORITY["export_huggingface"]
    conda:
        "../envs/torch.yaml"
    params:
        python=lambda wildcards: planning.jobs.interpreter_of("huggingface"),
        entry=planning.models.entry,
        folder=planning.models.settings,
        state=planning.models.folder_state,
    shell:
        "{params.python} {input.script} --model {wildcards.model:q} --entry {params.entry:q} --folder {params.folder:q}"
        " --state={params.state:q} --out {output.onnx:q} 2>&1 | tee {log:q}"


rule export_onnx_model:
    """Check an ONNX model that a user has, or that a network was exported to, and put the argmax into its graph."""
    input:
        **code("export_onnx_model.py"),
        checkpoint=planning.models.checkpoint,
        entry=planning.models.complete_entry,
    output:
        onnx="results/models/{model}/model.onnx",
        json="results/models/{model}/model.json",
    log:
        "results/logs/export_onnx_model/{model}.log",
    wildcard_constraints:
        model=planning.names_of("model_catalogue", kind=["onnx", "huggingface"]),
    priority: PRIORITY["export_onnx_model"]
    conda:
        "../envs/cpu.yaml"
    params:
        entry=planning.models.entry,
    shell:
        "python {input.script} --model {wildcards.model:q} --entry {params.entry:q} --onnx-in {input.checkpoint:q}"
        " --out {output.onnx:q} --json {output.json:q} 2>&1 | tee {log:q}"
