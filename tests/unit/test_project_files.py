"""The files for those who come by: hooks that run, one version everywhere, a CI workflow that calls what we call."""

import subprocess
from pathlib import Path

import pytest
import tomllib
import yaml

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_hook_passes_good_code_and_stops_bad_code(hook, tmp_path):
    good, bad = {
        "ruff": ('"""Good."""\n', "import os\n"),
        "ruff-format": ("x = 1\n", "x=1\n"),
        "snakefmt": ('rule a:\n    shell:\n        "true"\n', 'rule a:\n  shell: "true"\n'),
    }[hook["id"]]
    name = "rule.smk" if hook["id"] == "snakefmt" else "module.py"
    for text, passes in ((good, True), (bad, False)):
        (tmp_path / name).write_text(text)
        command = [*hook["entry"].split(), str(tmp_path / name)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        assert (done.returncode == 0) == passes, done


def test_one_version_everywhere():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == VERSION
    assert f"\n## {VERSION}\n" in (ROOT / "CHANGELOG.md").read_text()


def test_the_ci_workflow_calls_the_commands_of_the_project():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    assert [job["steps"][-1]["run"] for job in jobs.values()] == ["make lint", ".ci/run"]


def test_the_issue_template_asks_for_the_doctor_and_the_log():
    template = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text())
    asked = {field["id"]: field for field in template["body"] if "id" in field}
    assert "snakemake doctor" in asked["doctor"]["attributes"]["label"]
    assert asked["doctor"]["validations"]["required"] and asked["log"]["validations"]["required"]
