"""Pack what a GPU machine without a network needs to fill a configuration's rows: one folder, started by `run.sh`.

Models, their ONNX twins, calibration tables and the reference's class maps are made here, by Snakemake, on the CPU; the
engines' interpreters go along, relocated. On the GPU machine: bash run.sh [MINUTES]; it leaves table.csv.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[1]

sys.path.insert(0, str(ROOT / "workflow_scripts"))

from doctor import BASE_FILES, read_configuration
from segbench.errors import InputError
from segbench.files import write_json, write_text
from segbench.planning.rules import Planning
from segbench.process.lifetime import command

NOT_NEEDED = ("test", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "__pycache__", "site-packages", "*.a")
RUN = """#!/usr/bin/env bash
# Fill the rows, for MINUTES at most (20); what is done is in table.csv after every row.
cd "$(dirname "$0")"
exec interpreters/{first}/bin/python3 gpu_rows.py --minutes "${{1:-20}}"
"""


def rows_of(planning: Planning) -> list[dict[str, Any]]:
    """Every row with the commands that its rules would run, paths relative to the project's root."""
    config, found = planning.config, []
    for model in config["models"]:
        for variant in config["variants"]:
            w = SimpleNamespace(dataset=config["dataset"], model=model, variant=variant, split="val")
            engine = config["variant_catalogue"][variant]["engine"]
            found.append({"model": model, "variant": variant, "engine": engine, "commands": commands(planning, w)})
    return found


def commands(planning: Planning, w: Any) -> list[list[str]]:
    """Build, time every round, score: as in rules/engines.smk, inference.smk and scoring.smk."""
    config, data = planning.config, f"results/data/{w.dataset}/val"
    folder, model = f"results/engines/{w.dataset}/{w.model}/{w.variant}", f"results/models/{w.model}/model.json"
    which = ["--model", model, "--variant", planning.engines.identity(w)]
    built = ["--engine", f"{folder}/engine", "--engine-status", f"{folder}/status.json"]
    build = [*which, "--options", planning.engines.variant_options("build")(w), *planning.engines.more(w)]
    made = [["build_engine.py", *build, "--engine", f"{folder}/engine", "--status", f"{folder}/status.json"]]
    for number in range(1, config["rounds"] + 1):
        out = f"results/runs/{w.dataset}/{w.model}/{w.variant}/{number}/0"
        files = {"latencies": "latencies.csv", "predictions": "predictions.zip"}
        files |= {name: f"{name}.json" for name in ("environment", "status")}
        timing = ["--timing", planning.section("timing"), "--threads", str(config["threads"] or 0)]
        timing += ["--options", planning.engines.variant_options("run")(w), "--round", str(number)]
        outputs = [text for name, file in files.items() for text in (f"--{name}", f"{out}/{file}")]
        made.append(["infer.py", *which, *built, "--index", f"{data}/index.csv", *timing, *outputs])
    first = f"results/runs/{w.dataset}/{w.model}/{w.variant}/1/0"
    judged = ["--predictions", f"{first}/predictions.zip", "--run-status", f"{first}/status.json", "--model", model]
    judged += ["--dataset", f"{data}/dataset.json", "--index", f"{data}/index.csv", "--jobs", "4"]
    judged += [f"--{key.replace('_', '-')}={path}" for key, path in planning.scoring.reference_files(w).items()]
    judged += [
        "--reference-name",
        planning.scoring.reference_name(w),
        "--agreement-bound",
        str(planning.scoring.agreement_bound(w)),
    ]
    judged += ["--ignored-pixels", planning.scoring.ignored_pixels(w)]
    return [*made, ["score.py", *judged, "--out", f"results/scores/{w.dataset}/{w.model}/{w.variant}.json"]]


def wanted_files(planning: Planning, rows: list[dict[str, Any]]) -> list[str]:
    """What Snakemake has to make for these rows, in the order in which a person would."""
    dataset = planning.config["dataset"]
    files = [f"results/data/{dataset}/val/{name}" for name in ("index.csv", "dataset.json")]
    for row in rows:
        w = SimpleNamespace(dataset=dataset, model=row["model"], variant=row["variant"])
        files += [f"results/models/{w.model}/model.json", *planning.engines.files(w), *planning.engines.calibration(w)]
        files += [str(path) for path in [planning.engines.conversion(w)] if path]
        references = planning.scoring.reference_files(w).values()  # one among the variants is run there, as they are
        files += [path for path in references if not path.startswith("results/runs/")]
    return list(dict.fromkeys(files))


def copy_files(files: list[str], dataset: str, out: Path) -> None:
    """Copy files, what lies beside each model.json, and the images and labels that the index names."""
    with open(f"results/data/{dataset}/val/index.csv", newline="", encoding="utf-8") as stream:
        pictures = [row[key] for row in csv.DictReader(stream) for key in ("image", "label") if row[key]]
    if absolute := [path for path in pictures if Path(path).is_absolute()]:
        raise InputError(f"{absolute[0]}: give dataset_root as a path relative to the project, so that it can travel")
    models = [str(path) for file in files if file.endswith("model.json") for path in Path(file).parent.glob("model.*")]
    for path in {*files, *models, *pictures}:
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, out / path)


def relocate(python: str, out: Path, leave_out: list[str]) -> None:
    """Copy an interpreter with its packages; it runs from any folder, since a Python finds its library by its place."""
    ask = "import sys, sysconfig; print(sys.base_prefix, sysconfig.get_path('purelib'), sysconfig.get_path('stdlib'))"
    answer = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.split()
    base, packages, library = map(Path, answer)
    shutil.copytree(library, out / "lib" / library.name, ignore=shutil.ignore_patterns(*NOT_NEEDED, "config-*"))
    ignored = shutil.ignore_patterns("__pycache__", *leave_out)
    shutil.copytree(packages, out / "lib" / library.name / "site-packages", ignore=ignored)
    (out / "bin").mkdir()
    shutil.copy(base / "bin" / library.name, out / "bin" / "python3")
    for shared in (base / "lib").glob("libpython3*.so*"):
        shutil.copy(shared, out / "lib")


@command
def main() -> None:
    """Parse the command line, make what is missing, pack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", nargs="+", required=True, help="overlays, e.g. config/demo_tensorrt.yaml")
    parser.add_argument("--config", type=json.loads, default={}, help="JSON: more configuration")
    parser.add_argument(
        "--interpreter", action="append", default=[], metavar="ENGINE=PYTHON", help="an engine's Python"
    )
    parser.add_argument("--leave-out", nargs="*", default=[], help="name patterns of packages' files to leave out")
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    a = parser.parse_args()
    config, fault = read_configuration([*BASE_FILES, *a.configfile], a.config)
    if fault:
        raise InputError(fault)
    interpreters = dict(text.split("=", 1) for text in a.interpreter)
    planning = Planning(config)
    rows = rows_of(planning)
    if missing := sorted({row["engine"] for row in rows} - interpreters.keys()):
        raise InputError(f"--interpreter: none is given for {', '.join(missing)}")
    files = wanted_files(planning, rows)
    settings = [f"{key}={json.dumps(value)}" for key, value in a.config.items()]
    snakemake = [sys.executable, "-m", "snakemake", *files, "--configfile", *a.configfile]
    subprocess.run([*snakemake, *(["--config", *settings] if settings else [])], cwd=ROOT, check=True)
    copy_files(files, config["dataset"], a.out)
    shutil.copytree("workflow_scripts", a.out / "workflow_scripts", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy("tools/gpu_rows.py", a.out)
    for engine, python in interpreters.items():
        relocate(python, a.out / "interpreters" / engine, a.leave_out)
    selection = json.loads(planning.report.selection(None))
    write_json(a.out / "plan.json", {"selection": selection, "limits": config["limits"], "rows": rows})
    write_text(a.out / "run.sh", RUN.format(first=rows[0]["engine"]))
    size = sum(path.stat().st_size for path in a.out.rglob("*") if path.is_file())
    print(f"{a.out}: {len(rows)} rows, {size / 1e9:.1f} GB; there: bash run.sh")


if __name__ == "__main__":
    main()
