"""Report what this machine can run. This reads no configuration of Snakemake's, so that a broken one cannot stop it."""

import json
import sys


rule doctor:
    """Report what this machine can run and how to fix the rest. It writes no file, so it looks again each time."""
    input:
        script="workflow_scripts/doctor.py",
    log:
        "results/logs/doctor.log",
    conda:
        "../envs/base.yaml"
    params:
        python=sys.executable,
        overlays=[str(path) for path in workflow.overwrite_configfiles],
        given=json.dumps(dict(workflow.config_settings.config or {})),
    shell:
        "{params.python:q} {input.script} --configfile {params.overlays:q} --config {params.given:q} 2>&1 | tee {log:q}"
