"""The checked configuration, and the few functions that rules look things up with."""

import json
import os
import re
import sys

from snakemake.exceptions import WorkflowError

sys.path.insert(0, os.path.join(workflow.basedir, "workflow_scripts"))
# `python` in a rule is Snakemake's own interpreter, also where its environment was not activated.
os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]

from segbench.config import read_config
from segbench.engines import base as engines
from segbench.errors import InputError
from segbench.fingerprint import fingerprint
from segbench.sources import modules_of

try:
    overlays = workflow.overwrite_configfiles
    base_files = [path for path in workflow.configfiles if path not in overlays]
    config.update(read_config(config, [str(path) for path in (*base_files, *overlays)]))
except InputError as error:
    raise WorkflowError(str(error))


def code(script, engine=False):
    """Inputs `script` and `modules`: the rule's script, what it imports, and (for engine rules) its engine's file."""
    if not engine:
        return {"script": f"workflow_scripts/{script}", "modules": modules_of(script)}
    return {
        "script": f"workflow_scripts/{script}",
        "modules": lambda wildcards: modules_of(script, variant_of(wildcards)["engine"]),
    }


def as_json(section):
    """One section of the configuration as one value: every key of it counts for reruns, and only these."""
    return json.dumps(config[section])


def model_of(wildcards):
    return config["model_catalogue"][wildcards.model]


def variant_of(wildcards):
    return config["variant_catalogue"][wildcards.variant]


def engine_of(wildcards):
    return engines.load(variant_of(wildcards)["engine"])


def variant_json(wildcards):
    """Name, engine and precision of the variant: what makes it what it is."""
    variant = variant_of(wildcards)
    return json.dumps({"name": wildcards.variant, "engine": variant["engine"], "precision": variant["precision"]})


def options_json(kind):
    """The variant's `build` or `run` options, looked up by wildcard."""
    return lambda wildcards: json.dumps(variant_of(wildcards)[kind])


def interpreter(wildcards):
    """The Python that the variant's engine is installed in."""
    return config["interpreters"].get(variant_of(wildcards)["engine"], "python")


def environment_of_engine(wildcards):
    """The pinned environment of the variant's engine family, for `--sdm conda`."""
    return f"../{engine_of(wildcards).environment}"


def fingerprint_of(wildcards):
    """Versions and hardware that a status depends on (see segbench/fingerprint.py)."""
    engine = variant_of(wildcards)["engine"]
    return config["fingerprint"] or fingerprint(engine, config["interpreters"].get(engine))


def names_of(catalogue, **facts):
    """A wildcard pattern for the entries of `catalogue` whose keys have one of the given values."""
    fitting = [
        re.escape(name)
        for name, entry in config[catalogue].items()
        if all(entry[key] in values for key, values in facts.items())
    ]
    return "|".join(fitting) or "(?!)"


wildcard_constraints:
    dataset=names_of("dataset_catalogue"),
    model=names_of("model_catalogue"),
    variant=names_of("variant_catalogue"),
    split="train|val",
    round=r"[1-9]\d*",
    shard=r"\d+",
