"""How the code reads is checked like what it does: lint, format, types, pins, generated documents."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tools import document

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["snakefmt", "--check", "Snakefile", "rules"],
        ["snakemake", "--lint"],
    ],
    ids=" ".join,
)
def test_tool_has_nothing_to_say(command):
    done = subprocess.run([BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def pins(path: Path) -> dict[str, str]:
    """name → version of the lines `name==version` of a requirements file."""
    return dict(re.findall(r"^([\w.-]+)==([\w.+]+)", path.read_text(), re.M))


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.name)
def test_every_requirement_is_pinned_and_has_no_address(path):
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    assert all(re.fullmatch(r"[\w.-]+==[\w.+]+", line) for line in lines if line)


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda path: path.name)
def test_conda_environment_pins_the_versions_of_the_requirements_that_it_names(path):
    text, wanted = path.read_text(), {}
    for file in re.findall(r"requirements/([\w-]+\.txt)", text):
        wanted |= pins(ROOT / "requirements" / file)
    packages = dict(line.split("==") for line in yaml.safe_load(text)["dependencies"][-1]["pip"])
    assert packages == {name: wanted.get(name) for name in packages}


def test_paddleseg_is_pinned_once():
    wanted = pins(ROOT / "requirements" / "no-deps.txt")["paddleseg"]
    assert f"paddleseg=={wanted}" in (ROOT / "envs" / "cpu.post-deploy.sh").read_text()


@pytest.mark.parametrize("name", document.pages())
def test_generated_page_is_current(name):
    assert (ROOT / name).read_text() == document.pages()[name], f"{name} is not current: run make docs"


SCRIPTS = sorted((ROOT / "workflow_scripts").glob("*.py"))
ASK = """
import contextlib, io, json, runpy, sys
told = {}
for script in sys.argv[1:]:
    sys.argv = [script, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(said):
        try:
            runpy.run_path(script, run_name="__main__")
        except BaseException as end:
            told[script] = [repr(end), said.getvalue()]
json.dump(told, sys.stdout)
"""


@pytest.fixture(scope="module")
def told() -> dict[str, list[str]]:
    """How each script ends that is asked for help, and what it says; one process asks all, since it imports once."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow_scripts")}
    command = [sys.executable, "-c", ASK, *map(str, SCRIPTS)]
    done = subprocess.run(command, capture_output=True, check=True, env=environment)
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_explains_itself(told, script):
    end, said = told[str(script)]
    assert end == "SystemExit(0)", said
    assert said.startswith("usage: ")
