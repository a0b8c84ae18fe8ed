"""The bundle for a GPU machine without a network, here with engines of the CPU: packed, moved, run by `run.sh`."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.skips import missing
from segbench.errors import InputError
from segbench.machine.cpu import nvidia_driver

from tools import gpu_bundle, gpu_rows

ROOT = Path(__file__).parents[2]
DEBIAN = Path("/usr/bin/python3.11")  # looks for packages in dist-packages, unlike others
PACKAGES = (
    "numpy", "numpy.libs", "cv2", "opencv_python_headless.libs", "scipy", "scipy.libs", "zstandard", "google", "onnx",
    "onnxruntime", "flatbuffers", "packaging", "openvino", "pynvml.py", "ml_dtypes", "typing_extensions.py",
    "openvino_telemetry", "PIL", "pillow.libs",
)  # fmt: skip


def make_environment(folder: Path, *packages: str) -> Path:
    """A virtual environment of Debian's Python with packages of this one's; returns its interpreter."""
    if not DEBIAN.exists():
        missing(f"{DEBIAN} (Debian 12's own Python)")
    subprocess.run([DEBIAN, "-m", "venv", "--without-pip", folder], check=True)
    here, (there,) = Path(sys.prefix) / "lib/python3.11/site-packages", folder.glob("lib/python3*/site-packages")
    for name in packages:
        names = [here / name, *here.glob(f"{name.replace('.libs', '-none').replace('.py', '')}-*.dist-info")]
        for path in filter(Path.exists, names):
            (there / path.name).symlink_to(path.resolve())
    return folder / "bin/python"


def start(python: Path, code: str) -> subprocess.CompletedProcess:
    """Run a packed interpreter from another folder with an empty environment."""
    command = [python.resolve(), "-c", code]
    return subprocess.run(command, cwd="/", env={}, capture_output=True, text=True, check=False)


def test_debians_own_python_finds_its_packages_where_it_was_moved(tmp_path):
    python = make_environment(tmp_path / "env", "numpy", "numpy.libs", "zstandard")
    gpu_bundle.relocate(str(python), tmp_path / "packed", [])
    (tmp_path / "packed").rename(tmp_path / "moved")
    done = start(tmp_path / "moved/bin/python3", "import numpy, zstandard, sys; print(numpy.__file__, *sys.path)")
    assert done.returncode == 0, done.stderr
    assert all(path.startswith(str(tmp_path / "moved")) for path in done.stdout.split())
    assert (2, 17) <= gpu_bundle.needed_glibc(tmp_path / "moved") <= (2, 36)  # bookworm's own


def test_links_among_packages_stay_links_and_others_become_files(tmp_path):
    python = make_environment(tmp_path / "env")
    (packages,) = (tmp_path / "env").glob("lib/python3*/site-packages")
    (packages / "libs").mkdir()
    (packages / "nvidia").mkdir()
    (packages / "nvidia/libcudnn.so.8").write_bytes(b"large")
    (packages / "libs/libcudnn.so").symlink_to("../nvidia/libcudnn.so.8")
    (tmp_path / "outside").write_text("kept")
    (packages / "absolute").symlink_to(tmp_path / "outside")
    gpu_bundle.relocate(str(python), tmp_path / "packed", [])
    (link,) = (tmp_path / "packed").rglob("libcudnn.so")
    assert link.is_symlink() and link.read_bytes() == b"large"
    (copied,) = (tmp_path / "packed").rglob("absolute")
    assert not copied.is_symlink() and copied.read_text() == "kept"


@pytest.mark.slow
def test_what_an_engine_lacks_is_told_with_its_library(tmp_path):
    shutil.copytree(ROOT / "workflow_scripts", tmp_path / "workflow_scripts")
    python = make_environment(tmp_path / "env", *PACKAGES)
    gpu_bundle.relocate(str(python), tmp_path / "interpreters/onnxruntime", ["onnxruntime_pybind11_state*"])
    told = gpu_rows.import_fault(tmp_path, "interpreters/onnxruntime", ["onnxruntime"])
    assert told == (
        "interpreters/onnxruntime cannot import what onnxruntime needs:"
        " ModuleNotFoundError: No module named 'onnxruntime.capi.onnxruntime_pybind11_state'"
    )
    assert gpu_rows.import_fault(tmp_path, "interpreters/onnxruntime", ["openvino"]) == ""
    assert "does not start" in gpu_rows.import_fault(tmp_path, "interpreters/none", ["openvino"])


@pytest.mark.parametrize(("glibc", "told"), [("2.17", "has glibc 2.17"), ("", "has glibc of an unknown version")])
def test_an_older_glibc_is_told_before_anything_is_started(tmp_path, glibc, told):
    (tmp_path / "getconf").write_text(f"#!/bin/sh\necho glibc {glibc}\n" if glibc else "#!/bin/sh\nexit 1\n")
    (tmp_path / "getconf").chmod(0o755)
    (tmp_path / "run.sh").write_text(gpu_bundle.RUN.format(first="interpreters/none", glibc="2.28"))
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", tmp_path / "run.sh"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: this machine {told}; what is packed needs 2.28 or newer")


def test_a_job_of_a_dry_run_is_read_with_its_command():
    printed = """Building DAG of jobs...

[Thu Nov 26 01:22:27 2026]
rule engine:
    input: workflow_scripts/build_engine.py, results/models/m/model.json
    output: results/engines/d/m/v/engine, results/engines/d/m/v/status.json
    wildcards: dataset=d, model=m, variant=v
    priority: 50
Shell command: .venv-x/bin/python workflow_scripts/build_engine.py --options '{"a b": 1}' 2>&1 | tee results/log

[Thu Nov 26 01:22:27 2026]
rule all:
    input: results/table.md
"""
    (job,) = gpu_bundle.planned_jobs(printed)
    assert (job.rule, job.python, job.wildcards["variant"]) == ("engine", ".venv-x/bin/python", "v")
    assert (job.priority, job.row) == (50, ("m", "v"))
    assert job.command == ("workflow_scripts/build_engine.py", "--options", '{"a b": 1}')
    assert job.outputs == ("results/engines/d/m/v/engine", "results/engines/d/m/v/status.json")


def test_a_models_rounds_stand_behind_its_scores_block_by_block_with_the_control():
    def job(rule, priority, inputs, outputs, **wildcards):
        wildcards = {"model": "m", "variant": "v", **wildcards}
        python = "python" if rule == "score" else "gpu"
        return gpu_bundle.Job(rule, inputs, outputs, wildcards, python, (), priority)

    shapes = gpu_bundle.Job("collect_shapes", ("model",), ("shapes",), {"model": "m"}, "gpu", ())
    table = gpu_bundle.Job("table", ("score",), ("table",), {}, "python", ())
    picture = job("picture", 0, ("pass",), ("picture",))
    score = job("score", 30, ("pass",), ("score",))
    others = [job("time_round", p, ("n engine",), (f"n round {p}",), model="n", round="1") for p in (0.8, 0.7)]
    other = job("build_engine", 50, (), ("n engine",), model="n")
    control = job("time_round_control", 0.8, ("engine",), ("control",), block="m-0a1b2c3d", round="1")
    second, first = (job("time_round", 1 - n / 10, ("engine",), (f"round {n}",), round=str(n)) for n in (3, 1))
    engine, accuracy = job("build_engine", 50, ("shapes",), ("engine",)), job("infer", 40, ("engine",), ("pass",))
    jobs = [table, picture, score, *others, control, second, other, first, accuracy, engine, shapes]
    there = gpu_bundle.jobs_there(jobs, {"gpu"})
    assert table not in there and score in there
    ordered = [one.outputs[0] for one in gpu_bundle.in_order(there, ["m", "n"])]
    of_m = ["shapes", "engine", "pass", "score", "round 1", "control", "round 3"]
    assert ordered == [*of_m, "n engine", "n round 0.8", "n round 0.7"]
    assert (control.model, control.row, first.row) == ("m", None, ("m", "v"))


def test_the_steps_of_some_rows_have_what_they_need_and_no_others():
    def step(row, output, *needs):
        return {"row": row, "outputs": [output], "needs": list(needs)}

    v, w = ["m", "v"], ["m", "w"]
    steps = [step(None, "shapes"), step(v, "v pass", "shapes"), step(w, "w pass"), step(None, "control", "v pass")]
    steps += [step(w, "w score", "w pass", "v pass")]
    assert gpu_rows.steps_of({"steps": steps}, [v]) == steps[:2]
    assert gpu_rows.steps_of({"steps": steps}, [w]) == [*steps[:3], steps[4]]


def test_a_picture_under_an_absolute_path_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "index.csv").write_text("image_id,image,label\na,/data/a.png,\n")
    with pytest.raises(InputError, match=r"/data/a\.png: give dataset_root as a path relative to the project"):
        gpu_bundle.copy_files({"index.csv"}, tmp_path / "out")


def bundle(folder: Path, *interpreters: str) -> subprocess.CompletedProcess:
    """Pack the small run into folder `bundle`."""
    arguments = [text for given in interpreters for text in ("--interpreter", given)]
    command = [sys.executable, gpu_bundle.__file__, "--configfile", "overlay.yaml", "--out", "bundle", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_row_without_an_interpreter_is_refused(done):
    told = bundle(done.folder, f"onnxruntime={sys.executable}").stderr
    assert told == "error: --interpreter: none is given for openvino\n"


@pytest.mark.slow
def test_rows_are_those_of_the_workflow_and_are_not_run_twice(done, tmp_path):
    expected = done.rows()
    python = make_environment(tmp_path / "env", *PACKAGES)
    packed = bundle(done.folder, f"onnxruntime={python}", f"openvino={python}")
    assert packed.returncode == 0, packed.stdout + packed.stderr
    assert [path.name for path in (done.folder / "bundle/interpreters").iterdir()] == ["onnxruntime"]
    (done.folder / "bundle").rename(tmp_path / "moved")
    shutil.rmtree(done.folder)
    shutil.rmtree(tmp_path / "env")
    environment = {"PATH": "/usr/bin:/bin"}
    for _ in range(2):
        subprocess.run(["bash", tmp_path / "moved/run.sh"], cwd="/", env=environment, check=True)
    if not nvidia_driver():
        command = ["bash", tmp_path / "moved/run.sh", "check"]
        checked = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)
        assert (checked.returncode, len(checked.stderr.splitlines())) == (1, 1)
        assert "there is no NVIDIA driver on this machine" in checked.stderr
    with open(tmp_path / "moved/table.csv", newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [row["variant"] for row in found] == ["onnxruntime-fp32", "openvino-fp32"]
    for row, wanted in zip(found, expected, strict=True):
        assert row["status"] == "ok" and float(row["time_s"]) > 0
        for column in ("miou", "pixel_agreement", "engine_bytes", "reference"):
            assert row[column] == wanted[column], column
        assert (row["n"], row["rounds"]) == (wanted["n"], wanted["rounds"])
    assert len(list((tmp_path / "moved/results/control").rglob("latencies.csv"))) == 2  # one in each block
