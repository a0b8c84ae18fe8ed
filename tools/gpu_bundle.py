"""Pack what a GPU machine without a network needs to fill a configuration's rows: one folder, started by `run.sh`.

Models, their ONNX twins, calibration tables and the reference's class maps are made here, by Snakemake, on the CPU; the
engines' interpreters go along, relocated. What an engine's interpreter does, and the scores that follow from it, are
left for the GPU machine: engines, accuracy passes, and timed rounds in blocks with the control. There, `bash run.sh
[MINUTES]` runs the very commands that Snakemake would, and leaves table.csv; no row gets further rounds there. `bash
run.sh check` is `make gpu-check`.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

sys.path[:0] = [str(ROOT / "workflow_scripts"), str(ROOT)]

from doctor import BASE_FILES, read_configuration
from segbench.engines import base
from segbench.errors import InputError
from segbench.files import write_json, write_text
from segbench.planning.rules import Planning
from segbench.process.lifetime import command

from tools.gpu_rows import import_fault

NOT_NEEDED = ("test", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "__pycache__", "site-packages", "*.a")
SHELL = re.compile(r" 2>&1 \| tee \S+$")  # how every rule ends: its log
TIMED = ("time_round", "time_round_control")
OLD_TAGS = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
RUN = """#!/usr/bin/env bash
# Fill the rows, for MINUTES at most (20); a row that is done is in table.csv.
cd "$(dirname "$0")"
needs={glibc} has=$(getconf GNU_LIBC_VERSION 2> /dev/null | cut -d' ' -f2)
if [ "$(printf '%s\\n' "$needs" "${{has:-0}}" | sort -V | head -n 1)" != "$needs" ]; then
    echo "error: this machine has glibc ${{has:-of an unknown version}}; what is packed needs $needs or newer:" \\
        "pack it on a system that is no newer than this one" >&2
    exit 2
fi
if [ "${{1:-}}" = check ]; then exec {first}/bin/python3 gpu_check.py; fi
exec {first}/bin/python3 gpu_rows.py --minutes "${{1:-20}}"
"""


@dataclass(frozen=True)
class Job:
    """One job as a dry run prints it: `command` without the interpreter before it and the log behind it."""

    rule: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    wildcards: dict[str, str]
    python: str
    command: tuple[str, ...]
    priority: float = 0

    @property
    def model(self) -> str:
        """The model whose rows the job is for: of a control's round, the one in whose block it stands."""
        return self.wildcards.get("block", "").rpartition("-")[0] or self.wildcards.get("model", "")

    @property
    def row(self) -> tuple[str, str] | None:
        """Model and variant of the row that is made of what the job leaves; None: of no row, or of several."""
        variant = self.wildcards.get("variant")
        return None if variant is None or self.rule == "time_round_control" else (self.model, variant)


def planned_jobs(printed: str) -> list[Job]:
    """The jobs of `snakemake --dry-run --forceall --printshellcmds`, in its order; those without a command left out."""
    found = []
    for block in re.split(r"\n\[[^\n]*\d{4}\]\n", printed)[1:]:
        facts = dict(re.findall(r"^    (\w+): (.*)$", block, re.M))
        rule = re.match(r"(?:local)?rule (\w+):", block)
        shell = re.search(r"^Shell command: (.*)$", block, re.M)
        if rule and shell:
            python, *words = shlex.split(SHELL.sub("", shell.group(1)))
            inputs, outputs = (tuple(facts.get(key, "").split(", ")) for key in ("input", "output"))
            wildcards = dict(pair.split("=", 1) for pair in facts.get("wildcards", "").split(", ") if "=" in pair)
            priority = float(facts.get("priority", 0))
            found.append(Job(rule.group(1), inputs, outputs, wildcards, python, tuple(words), priority))
    return found


def jobs_there(jobs: list[Job], interpreters: set[str]) -> list[Job]:
    """The jobs that are left for the GPU machine: what runs in an engine's interpreter, and what judges its rows."""
    there = [job for job in jobs if job.python in interpreters]
    made = {path for job in there for path in job.outputs}
    rows = [job for job in jobs if job not in there and {"model", "variant"} <= job.wildcards.keys()]
    while judging := [job for job in rows if job not in there and made & set(job.inputs)]:
        there += judging
        made |= {path for job in judging for path in job.outputs}
    return there


def in_order(there: list[Job], models: list[str]) -> list[Job]:
    """The jobs of all rows, and those that they need, each after what it needs. One model follows the other: its
    engines, passes and scores first, then its timed rounds block by block, as Snakemake's priorities have them.
    """
    maker = {path: job for job in there for path in job.outputs}
    found: list[Job] = []

    def add(job: Job) -> None:
        for path in job.inputs:
            if path in maker and maker[path] not in found:
                add(maker[path])
        if job not in found:
            found.append(job)

    wanted = [job for job in there if "variant" in job.wildcards and job.model in models and job.rule != "picture"]
    for job in sorted(wanted, key=lambda job: (models.index(job.model), job.rule in TIMED, -job.priority)):
        add(job)
    return found


def copy_files(files: set[str], out: Path) -> None:
    """Copy files and folders, what lies beside each model.json, and the pictures that each index names."""
    wanted = {path for path in files if not path.startswith("workflow_scripts/") and not path.endswith("/images")}
    for path in [path for path in wanted if Path(path).name in ("images.csv", "index.csv")]:
        with open(path, newline="", encoding="utf-8") as stream:
            keys = "image", "label", "instances"
            wanted |= {row[key] for row in csv.DictReader(stream) for key in keys if row.get(key)}
    models = [Path(path).parent for path in wanted if path.endswith("model.json")]
    wanted |= {str(beside) for folder in models for beside in folder.glob("model.*")}
    if absolute := sorted(path for path in wanted if Path(path).is_absolute()):
        raise InputError(f"{absolute[0]}: give dataset_root as a path relative to the project, so that it can travel")
    for path in wanted:
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if Path(path).is_dir() else shutil.copyfile)(path, out / path)


def relocate(python: str, out: Path, leave_out: list[str]) -> None:
    """Copy an interpreter with its packages; it runs from any folder, since a Python finds its library by its place.

    Where it looks for packages, the copy itself is asked: Debian's looks elsewhere than others.
    """
    ask = "import sys, sysconfig; print(sys.base_prefix, sysconfig.get_path('purelib'), sysconfig.get_path('stdlib'))"
    answer = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.split()
    base_prefix, packages, library = map(Path, answer)
    ignored = shutil.ignore_patterns(*NOT_NEEDED, "config-*", "dist-packages")
    shutil.copytree(library, out / "lib" / library.name, ignore=ignored)
    (out / "bin").mkdir()
    shutil.copy(base_prefix / "bin" / library.name, out / "bin" / "python3")
    for shared in (base_prefix / "lib").glob("libpython3*.so*"):
        shutil.copy(shared, out / "lib")
    ask = "import site; print(site.getsitepackages()[0])"
    copy = [str((out / "bin/python3").resolve()), "-I", "-c", ask]
    place = Path(subprocess.run(copy, capture_output=True, text=True, check=True, env={}).stdout.strip())
    if not place.is_relative_to(out.resolve()):
        raise InputError(f"{python}: its copy looks for packages in {place}, not below {out}: pack another Python")
    ignored = shutil.ignore_patterns("__pycache__", *leave_out)
    shutil.copytree(packages, place, ignore=ignored, symlinks=True, dirs_exist_ok=True)
    for path in [path for path in place.rglob("*") if path.is_symlink()]:
        target = path.resolve()  # links within the packages stay: they are relative, and their libraries large
        if path.readlink().is_absolute() or not target.is_relative_to(place):
            path.unlink()
            if target.exists():
                if target.is_dir():
                    shutil.copytree(target, path, ignore=ignored)
                else:
                    shutil.copy(target, path)


def needed_glibc(interpreter: Path) -> tuple[int, int]:
    """The glibc that a packed interpreter and its packages need: by the symbols of what was compiled for this system,
    and by the tags of the wheels."""
    found = [(2, 17)]
    own = [interpreter / "bin/python3", *interpreter.glob("lib/python3*/lib-dynload/*.so")]
    for path in [*own, *interpreter.glob("lib/libpython3*")]:
        found += [(2, int(minor)) for minor in re.findall(rb"GLIBC_2\.(\d+)", path.read_bytes())]
    for path in interpreter.rglob("*.dist-info/WHEEL"):
        tags = path.read_text(encoding="utf-8")
        found += [(int(major), int(minor)) for major, minor in re.findall(r"manylinux_(\d+)_(\d+)_", tags)][:1]
        found += [version for name, version in OLD_TAGS.items() if f"-{name}_" in tags and "manylinux_" not in tags]
    return max(found)


def dry_run(settings: list[str]) -> str:
    """What Snakemake prints of all jobs of a configuration."""
    asked = ["--dry-run", "--forceall", "--printshellcmds", "--quiet", "host"]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *asked, *settings], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise InputError(f"Snakemake cannot plan this configuration:\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def plan(
    config: dict[str, Any], there: list[Job], interpreters: dict[str, str], folders: dict[str, str]
) -> dict[str, Any]:
    """What `gpu_rows.py` reads: the rows, the steps that make them, and what it needs to make a table.

    `interpreters`: Pythons by engine; `folders`: of the packed ones, by engine.
    """
    packed = {python: folders[engine] for engine, python in interpreters.items()}
    ordered, steps = in_order(there, config["models"]), []
    made = {path for job in ordered for path in job.outputs}
    for job in ordered:
        own = config["variant_catalogue"].get(job.wildcards.get("variant"), {}).get("engine", "")
        steps.append(
            {
                "rule": job.rule,
                "row": job.row,
                "interpreter": packed.get(job.python) or folders[own],  # what Snakemake's own Python does, any can do
                "command": job.command,
                "needs": sorted(made.intersection(job.inputs)),
                "outputs": job.outputs,
            }
        )
    engines: dict[str, list[str]] = {}
    for engine, folder in folders.items():
        engines.setdefault(folder, []).append(engine)
    planning = Planning(config)
    selection = json.loads(planning.report.selection(None))
    rows = [[model, variant] for model in config["models"] for variant in config["variants"]]
    return {
        "selection": selection,
        "block": planning.inference.block,
        "limits": config["limits"],
        "interpreters": engines,
        "rows": rows,
        "steps": steps,
    }


@command
def main() -> None:
    """Parse the command line, make what is missing, pack, and try what was packed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", nargs="+", required=True, help="overlays, e.g. config/demo_tensorrt.yaml")
    parser.add_argument("--config", type=json.loads, default={}, help="JSON: more configuration")
    parser.add_argument(
        "--interpreter", action="append", default=[], metavar="ENGINE=PYTHON", help="an engine's Python"
    )
    parser.add_argument("--leave-out", nargs="*", default=[], help="name patterns of packages' files to leave out")
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    args = parser.parse_args()
    if args.out.exists():
        raise InputError(f"--out: {args.out} is there already; name a new folder")
    interpreters = dict(text.split("=", 1) for text in args.interpreter)
    given = {**args.config, "interpreters": interpreters}
    config, fault = read_configuration([*BASE_FILES, *args.configfile], given)
    if fault:
        raise InputError(fault)
    wanted = {config["variant_catalogue"][variant]["engine"] for variant in config["variants"]}
    if missing := sorted(wanted - interpreters.keys()):
        raise InputError(f"--interpreter: none is given for {', '.join(missing)}")
    settings = ["--configfile", *args.configfile, "--config", *(f"{k}={json.dumps(v)}" for k, v in given.items())]
    jobs = planned_jobs(dry_run(settings))
    there = jobs_there(jobs, set(interpreters.values()))
    made_there = {path for job in there for path in job.outputs}
    files = {path for job in there for path in job.inputs if path} - made_there
    for job in jobs:
        engine = config["variant_catalogue"].get(job.wildcards.get("variant"), {}).get("engine")
        if job not in there and engine and base.load(engine).device == "gpu":
            raise InputError(f"--interpreter: none is given for {engine}, which makes {job.outputs[0]}")
    made_here = [path for job in jobs if job not in there for path in job.outputs if path in files]
    subprocess.run([sys.executable, "-m", "snakemake", *made_here, *settings], check=True)
    copy_files(files, args.out)
    shutil.copytree("workflow_scripts", args.out / "workflow_scripts", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("gpu_rows.py", "gpu_check.py"):
        shutil.copy(Path(__file__).with_name(name), args.out)
    folders: dict[str, str] = {}
    for engine, python in interpreters.items():
        same = next((name for name, other in interpreters.items() if other == python))
        folders[engine] = f"interpreters/{same}"
        if same == engine:
            relocate(python, args.out / folders[engine], args.leave_out)
    made = plan(config, there, interpreters, folders)
    packed = made["interpreters"].items()
    if faults := [fault for folder, names in packed if (fault := import_fault(args.out, folder, names))]:
        raise InputError(f"what was packed does not work: {'; '.join(faults)}")
    write_json(args.out / "plan.json", made)
    glibc = max(needed_glibc(args.out / folder) for folder in made["interpreters"])
    first = next(iter(made["interpreters"]))
    write_text(args.out / "run.sh", RUN.format(first=first, glibc=f"{glibc[0]}.{glibc[1]}"))
    size = sum(path.lstat().st_size for path in args.out.rglob("*") if path.is_file())
    print(f"{args.out}: {len(made['rows'])} rows, {size / 1e9:.1f} GB; there: bash run.sh")


if __name__ == "__main__":
    main()
