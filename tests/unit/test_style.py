"""How the code reads is checked like what it does: lint, format, types, pins, generated documents."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from segbench.planning import document

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


def test_conda_environments_pin_the_same_versions():
    wanted = pins(ROOT / "requirements" / "base.txt") | pins(ROOT / "requirements" / "no-deps.txt")
    for name in ("base", "cpu"):
        packages = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text())["dependencies"][-1]["pip"]
        for line in packages:
            package, version = line.split("==")
            assert wanted[package] == version, f"envs/{name}.yaml: {line}"
    gpu = pins(ROOT / "requirements" / "gpu.txt")
    for line in yaml.safe_load((ROOT / "envs" / "gpu.yaml").read_text())["dependencies"][-1]["pip"]:
        assert line in {f"{name}=={version}" for name, version in gpu.items()}, f"envs/gpu.yaml: {line}"
    assert f"paddleseg=={wanted['paddleseg']}" in (ROOT / "envs" / "cpu.post-deploy.sh").read_text()


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("tensorrt_rtx", ["base", "tensorrt_rtx"]),
        ("tensorrt", ["base", "tensorrt"]),
        ("onnxruntime_gpu", ["base", "onnxruntime_gpu", "onnxruntime_tensorrt"]),
    ],
)
def test_conda_environments_of_gpu_engines_pin_the_same_versions(name, files):
    wanted = {}
    for file in files:
        wanted |= pins(ROOT / "requirements" / f"{file}.txt")
    packages = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text())["dependencies"][-1]["pip"]
    assert {line: f"{line.split('==')[0]}=={wanted[line.split('==')[0]]}" for line in packages} == {
        line: line for line in packages
    }


def test_config_documents_are_current():
    assert (ROOT / "config" / "README.md").read_text() == document.readme()
    assert (ROOT / "config" / "schemas" / "config.schema.json").read_text() == document.json_schema()


@pytest.mark.parametrize("script", sorted((ROOT / "workflow_scripts").glob("*.py")), ids=lambda path: path.name)
def test_script_explains_itself(script):
    done = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
