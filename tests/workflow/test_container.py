"""The container's recipes, but for the base image: their RUN lines in a clean folder."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers.skips import need_command

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "tools/container"


def install(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess:
    command = ["bash", RECIPES / "install.sh", *arguments]
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    variables |= {key: value for key, value in os.environ.items() if key.startswith("PIP_")}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("recipe", "environment"), [("Dockerfile", '"$ENVIRONMENT"'), ("segbench.def", "{{ ENVIRONMENT }}")]
)
def test_a_recipe_runs_nothing_but_the_script(recipe, environment):
    text = (RECIPES / recipe).read_text()
    ran = re.findall(r"^(?:RUN|    (?:bash|apt|pip|make)).*$", text, re.M)
    assert [line.split("install.sh ")[1] for line in ran] == ["system", environment]


def test_the_dockerfile_copies_what_the_script_needs_before_it_runs():
    before = (RECIPES / "Dockerfile").read_text().split('install.sh "$ENVIRONMENT"')[0]
    assert re.findall(r"^COPY (\S+)", before, re.M) == [
        "tools/container/install.sh",
        "Makefile",
        "envs",
        "requirements",
    ]


def test_an_unknown_environment_is_told():
    done = install("cuda")
    assert done.returncode == 2 and done.stderr.startswith("error: install.sh: 'cuda' is none of packages, system, cpu")


def test_debian_has_the_packages():
    need_command("apt-get")
    names = install("packages").stdout.split()
    command = ["apt-cache", "show", "--no-all-versions", *names]
    if subprocess.run(["apt-cache", "show", "bash"], capture_output=True, check=False).returncode:
        pytest.skip("apt has no lists here (apt-get update)")
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^Package: (\S+)$", shown, re.M)) == set(names)


@pytest.mark.slow
def test_the_script_makes_an_environment_that_runs_in_a_clean_folder(tmp_path):
    """With what the Dockerfile copies before it, and Debian's own Python, as in the image."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("envs", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name)
    done = install("cpu", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    ask = "import cv2, onnxruntime, openvino, paddleseg, snakemake, sys; print(sys.base_prefix)"
    python = tmp_path / ".venv/bin/python"
    found = subprocess.run([python, "-W", "ignore", "-c", ask], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "/usr"
