"""The names of the rules lead to their scripts and logs."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.rules import all_rules

ROOT = Path(__file__).parents[2]
WITH_SCRIPT = [rule for rule in all_rules() if rule.script]


def test_only_targets_have_no_script():
    assert {rule.name for rule in all_rules() if not rule.script} == {"all", "demo_models"}


@pytest.mark.parametrize("rule", WITH_SCRIPT, ids=lambda rule: rule.name)
def test_a_rule_has_the_name_of_its_script(rule):
    """Rules that share a script are named SCRIPT_WHAT."""
    script = Path(rule.script).stem
    assert rule.name == script or rule.name.startswith(f"{script}_")
    assert (ROOT / rule.script).exists()


@pytest.mark.parametrize("rule", WITH_SCRIPT, ids=lambda rule: rule.name)
def test_a_rule_says_what_it_does_and_where_its_log_lies(rule):
    assert rule.docstring
    assert rule.log == f"results/logs/{rule.name}.log" or rule.log.startswith(f"results/logs/{rule.name}/")


def test_every_script_of_the_workflow_has_a_rule():
    by_hand = {"accept_demo_models.py", "check_synchronization.py", "retry.py"}  # of the Makefile
    scripts = {path.name for path in (ROOT / "workflow_scripts").glob("*.py")} - by_hand
    assert scripts == {Path(rule.script).name for rule in WITH_SCRIPT if rule.script.startswith("workflow_scripts/")}
