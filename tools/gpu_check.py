"""Check a GPU machine in ten minutes: one network in four variants, then whether times contain the GPU's work.

It leaves one file to attach to a report, gpu-check.json: the machine, the rows, the tests of synchronisation, and why
what did not run did not. Run by `make gpu-check` in a checkout, by `bash run.sh check` in a packed bundle.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
IN_BUNDLE = (HERE / "plan.json").exists()
ROOT = HERE if IN_BUNDLE else HERE.parent
sys.path[:0] = [str(ROOT / "workflow_scripts"), str(ROOT)]

import doctor
from segbench.engines import base
from segbench.errors import InputError
from segbench.files import read_json, write_json
from segbench.machine.cpu import this_machine
from segbench.machine.environment import environment_record

# The published page's four; where Paddle has no code for the card, the same by others.
PAGE = ("paddle_gpu-fp32", "paddle_tensorrt-fp32", "paddle_tensorrt-fp16", "paddle_tensorrt-int8")
OTHER = ("onnxruntime_cuda-fp32", "tensorrt-fp32", "tensorrt-fp16", "tensorrt-int8")
ENVIRONMENTS = {"tensorrt": (".venv-tensorrt", ".venv-tensorrt8")}  # an engine that may have one of several
SHOWN = (
    "model", "variant", "status", "reason", "miou", "pixel_agreement", "time_s", "time_s_low", "time_s_high",
    "end_to_end_s", "n", "rounds", "repeatable", "contended", "throttled", "build_s", "trt_subgraphs", "trt_share",
    "trt_fallback", "fp32_layers", "peak_gpu_bytes", "warnings",
)  # fmt: skip
TESTED = ("--engine", "--engine-status", "--model", "--index", "--variant", "--options", "--threads")
SELFTEST_S = 90  # kept for the tests of synchronisation
LOG_CHARACTERS = 4000


def interpreters() -> dict[str, str]:
    """The Python of each engine that has an environment of its own here."""
    found = {name: python for name in base.names() if (python := base.own_interpreter(name))}
    for engine, folders in ENVIRONMENTS.items():
        for folder in folders:
            if (ROOT / folder / "bin/python").exists():
                found.setdefault(engine, f"{folder}/bin/python")
    return found


def refusals(variants: tuple[str, ...], pythons: dict[str, str]) -> dict[str, str]:
    """By variant, why it cannot run here: asked in its engine's interpreter; empty where it can."""
    answers: dict[str, Any] = {}
    for engine in dict.fromkeys(variant.rpartition("-")[0] for variant in variants):
        answers |= doctor.ask(pythons.get(engine, sys.executable), [engine])
    told = {}
    for variant in variants:
        engine, _, precision = variant.rpartition("-")
        here, mend = answers[engine].get(precision, ("no: it has no such precision", ""))
        told[variant] = "" if here.startswith("yes") else f"{here}{f' ({mend})' if mend else ''}"
    return told


def family(pythons: dict[str, str]) -> dict[str, str]:
    """The four variants that most of can run here, each with why it cannot."""
    return min(
        (refusals(variants, pythons) for variants in (PAGE, OTHER)), key=lambda told: sum(map(bool, told.values()))
    )


def selftest(infer: list[str], python: str, out: Path, limit_s: float) -> dict[str, Any]:
    """Test the synchronisation of the engine that an infer command runs. `infer`: its words, the script first."""
    options = dict(itertools.pairwise(infer))
    command = [python, str(ROOT / "workflow_scripts/check_synchronization.py"), "--out", str(out)]
    for key in TESTED:
        command += [key, options[key]] if key in options else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return {"status": "failed", "reason": f"not done within {limit_s:.0f} s"}
    if done.returncode:
        return {"status": "failed", "reason": (done.stdout + done.stderr)[-LOG_CHARACTERS:]}
    found: dict[str, Any] = read_json(out)
    return found


def check_checkout(files: list[str], variants: list[str], pythons: dict[str, str], seconds: float) -> dict[str, Any]:
    """Rows by Snakemake, then the tests; returns the record's parts."""
    from tools.gpu_bundle import Job, dry_run, planned_jobs

    ends = time.monotonic() + seconds
    used = {name: python for name, python in pythons.items() if any(text.startswith(f"{name}-") for text in variants)}
    given = {"variants": variants, **({"interpreters": used} if used else {})}
    settings = ["--configfile", *files, "--config", *(f"{key}={json.dumps(value)}" for key, value in given.items())]
    steps: dict[str, Job] = {}
    try:
        planned = planned_jobs(dry_run(settings))
    except InputError as error:
        return {"rows": [], "synchronization": {}, "log": str(error)}
    for job in planned:
        if job.rule == "infer" and job.wildcards["variant"] in variants:
            steps.setdefault(job.wildcards["variant"], job)
    log, rows = "", []
    command = [sys.executable, "-m", "snakemake", "results/table.csv", *settings]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                              timeout=ends - time.monotonic() - SELFTEST_S, check=False)  # fmt: skip
        log = done.stdout[-LOG_CHARACTERS:] if done.returncode else ""
        with open("results/table.csv", newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream)) if not done.returncode else []
    except subprocess.TimeoutExpired as error:
        log = f"not done within its time: {str(error.stdout or '')[-LOG_CHARACTERS:]}"
    tests = {}
    for variant in [row["variant"] for row in rows if row["status"] == "ok"]:
        python = pythons.get(variant.rpartition("-")[0], sys.executable)
        out = Path("results/synchronization") / f"{variant}.json"
        out.parent.mkdir(parents=True, exist_ok=True)
        tests[variant] = selftest(list(steps[variant].command), python, out, max(ends - time.monotonic(), 5))
    return {"rows": rows, "synchronization": tests, "log": log}


def check_bundle(variants: list[str], plan: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Rows of the first network by the bundle's own commands, then the tests; returns the record's parts."""
    import gpu_rows

    ends, table = time.monotonic() + seconds, Path("gpu-check.csv")
    model = plan["rows"][0][0]
    wanted = [row for row in plan["rows"] if row[0] == model and row[1] in variants]
    steps = gpu_rows.steps_of(plan, wanted)
    faults = gpu_rows.fill({**plan, "rows": wanted, "steps": steps}, table, (seconds - SELFTEST_S) / 60)
    rows: list[dict[str, Any]] = []
    if table.exists():
        with open(table, newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    tests = {}
    for variant in [row["variant"] for row in rows if row["status"] == "ok"]:
        step = next(step for step in steps if step["rule"] == "infer" and step["row"] == [model, variant])
        out, python = Path(f"synchronization-{variant}.json"), f"{step['interpreter']}/bin/python3"
        tests[variant] = selftest(step["command"], python, out, max(ends - time.monotonic(), 5))
    return {"rows": rows, "synchronization": tests, "log": "\n".join(faults)}


def verdict(record: dict[str, Any]) -> list[str]:
    """What a person should look at, a line each; empty where all is well."""
    bad = [f"{row['variant']}: {row['status']}: {row['reason']}" for row in record["rows"] if row["status"] != "ok"]
    for variant, test in record["synchronization"].items():
        if test["status"] != "ok":
            bad.append(f"{variant}: the test of synchronisation did not run: {test['reason']}")
        elif not test["ok"]:
            bad.append(f"{variant}: its times are not the device's: {test['say']}")
    if not record["synchronization"]:
        bad.append("no row ran")
    return bad


def main() -> None:
    """Parse the command line, check, write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="time for all of it (default: %(default)s)")
    parser.add_argument("--configfile", nargs="+", default=["config/gpu_check.yaml"], help="what is run, in a checkout")
    parser.add_argument("--rehearse", nargs="+", metavar="VARIANT", help="variants of the CPU: no GPU is wanted")
    parser.add_argument("--out", type=Path, default=Path("gpu-check.json"), help="file to leave (default: %(default)s)")
    args = parser.parse_args()
    started, machine = time.monotonic(), this_machine()
    os.chdir(ROOT if IN_BUNDLE else Path.cwd())
    if not args.rehearse and machine.nvidia_driver is None:
        sys.exit("gpu-check: there is no NVIDIA driver on this machine, so there is nothing to check")
    plan = json.loads(Path("plan.json").read_text(encoding="utf-8")) if IN_BUNDLE else None
    if plan:
        packed = {name: f"{folder}/bin/python3" for folder, names in plan["interpreters"].items() for name in names}
        told = refusals(tuple(dict.fromkeys(variant for _, variant in plan["rows"])), packed)
    else:
        packed = interpreters()
        told = refusals(tuple(args.rehearse), packed) if args.rehearse else family(packed)
    variants = [variant for variant, refusal in told.items() if not refusal]
    if not variants:
        sys.exit(f"gpu-check: nothing runs on this GPU: {'; '.join(f'{name}: {why}' for name, why in told.items())}")
    seconds = args.minutes * 60 - (time.monotonic() - started)
    parts = (
        check_bundle(variants, plan, seconds) if plan else check_checkout(args.configfile, variants, packed, seconds)
    )
    parts["rows"] = [{key: row[key] for key in SHOWN if row.get(key)} for row in parts["rows"]]
    environment = {key: value for key, value in environment_record(machine, 0).items() if key != "host"}
    record = {"environment": environment, "left_out": {name: why for name, why in told.items() if why}, **parts}
    faults = verdict(record)
    write_json(args.out, {"ok": not faults, "faults": faults, "wall_s": time.monotonic() - started, **record})
    for row in parts["rows"]:
        test = record["synchronization"].get(row["variant"], {})
        waits = f"; without synchronising: {test['without_synchronizing']}" if test.get("ok") else ""
        print(f"{row['variant']}: {row['status']} {row.get('time_s', '')} s, mIoU {row.get('miou', '-')}{waits}")
    print("\n".join([*faults, f"{args.out}: attach it to a report"]))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
