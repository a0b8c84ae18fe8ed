"""The workflow's rules as Snakemake itself has read them."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# In a process of its own: the rules change the interpreter that reads them. Shards have rules that the default has not.
READ = """
import json
from pathlib import Path
from snakemake.api import ConfigSettings, OutputSettings, ResourceSettings, SnakemakeApi

with SnakemakeApi(OutputSettings(quiet={"all"})) as api:
    settings = {"resource_settings": ResourceSettings(cores=7), "config_settings": ConfigSettings(config={"shards": 2})}
    workflow = api.workflow(snakefile=Path("Snakefile"), **settings)._workflow
    print(json.dumps([
        [rule.name, rule.input.get("script"), rule.log[0] if rule.log else None, rule.docstring,
         rule.resources["_cores"] in (7, 3)]
        for rule in workflow.rules
    ]))
"""


@dataclass(frozen=True)
class Rule:
    """What the tests ask of a rule."""

    name: str
    script: str | None
    log: str | None
    docstring: str | None
    takes_many_cores: bool


@functools.cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule of the workflow, those of a run with shards included."""
    done = subprocess.run([sys.executable, "-c", READ], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(Rule(*fields) for fields in json.loads(done.stdout.splitlines()[-1]))
