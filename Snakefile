"""SegBench: which segmentation model, on which engine, at which precision, how fast and how accurate. See README.md."""

import sys

from snakemake.utils import min_version

min_version("9.27")


include: "rules/doctor.smk"


if "doctor" not in sys.argv:  # the doctor helps to fix a broken configuration, so it does not read it

    report: "report/workflow.rst"

    configfile: "config/config.yaml"
    configfile: "config/models.yaml"
    configfile: "config/variants.yaml"
    configfile: "config/calibrators.yaml"
    configfile: "config/datasets.yaml"

    include: "rules/common.smk"
    include: "rules/data.smk"
    include: "rules/models.smk"
    include: "rules/calibration.smk"
    include: "rules/engines.smk"
    include: "rules/inference.smk"
    include: "rules/scoring.smk"
    include: "rules/report.smk"
    include: "rules/comparison.smk"
    include: "rules/explain.smk"
    include: "rules/cold_start.smk"
    include: "rules/mixed_precision.smk"
    include: "rules/diverge.smk"
    include: "rules/training.smk"
    include: "rules/peers.smk"

    # Where jobs go to other machines, these stay: downloads, for the network, and what takes seconds.
    localrules:
        fetch_checkpoint,
        check_inputs,
        table,
        bundle_vega,
        report,
        picture,
        merge_tables,
        compare,
        gate,
        update_baseline,
        explain,
        explanations,
        cold_start,
        stages,
        choose_mix,
        mixed_precision,
        tell_faults,
        plan_rounds,

    rule all:
        """The tables and the report of the configuration, and every file behind them: one that was deleted is made again."""
        default_target: True
        input:
            rules.table.output,
            rules.report.output,
            *planning.report.rows().values(),
            extra_rounds,
            planning.report.row_files(f"{ENGINE}/engine"),
            planning.report.pictures(),
            rules.tell_faults.output,
