"""Report what this machine can run: each engine at each precision, or what is missing and the command that fixes it.

It never fails, needs no valid configuration, and imports no framework. Packages are looked up by their metadata.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from segbench.engines import base
from segbench.machine import nvml
from segbench.machine.cpu import Machine, package_version, this_machine

BASE_FILES = [f"config/{name}.yaml" for name in ("config", "models", "variants", "calibrators", "datasets")]
ANSWER_S = 10  # after this, an interpreter counts as hung
INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "avx512_fp16")
GIBIBYTE = 1 << 30
MIN_DISK_GIB, MIN_MEMORY_GIB = 10, 8  # the default writes 1 GiB; the published models need 6 to 10 of each


class Fact(NamedTuple):
    """A line about the machine. `mend` is the command that fixes it, or empty where nothing is wrong."""

    what: str
    found: str
    mend: str = ""


def diagnose(files: list[str], given: dict[str, Any]) -> str:
    """Return the whole report as text. `files` are the configuration files in order, `given` are the keys of
    --config.
    """
    machine, (config, fault) = this_machine(), read_configuration(files, given)
    facts = [*machine_facts(machine), *gpu_facts(machine), *configuration_facts(config, fault)]
    lines = [(fact.what, fact.found, fact.mend) for fact in facts]
    interpreters = config.get("interpreters")
    engines = engine_lines(interpreters if isinstance(interpreters, dict) else {})
    return "\n\n".join(
        [
            columns(("this machine", "", "how to fix it"), lines),
            columns(("engine", "precision", "runs here", "how to fix it"), engines),
        ]
    )


# The machine


def machine_facts(machine: Machine) -> Iterator[Fact]:
    """Report processor, memory, disk and the workflow's own packages."""
    flags = [flag for flag in INSTRUCTIONS if flag in machine.cpu_flags]
    yield Fact("processor", f"{machine.cpu_model}, {machine.physical_cores} cores ({machine.logical_cores} threads)")
    yield Fact("instructions", ", ".join(flags) or "none that matter here")
    memory = machine.memory_bytes / GIBIBYTE
    small = f"less than {MIN_MEMORY_GIB} GiB: full-size models will not fit" if memory < MIN_MEMORY_GIB else ""
    yield Fact("memory", f"{memory:.0f} GiB", small)
    free = shutil.disk_usage(".").free / GIBIBYTE
    yield Fact("free disk", f"{free:.0f} GiB", "make room" if free < MIN_DISK_GIB else "")
    yield Fact("python", f"{sys.version.split()[0]} ({sys.executable})")
    snakemake = package_version("snakemake")
    yield Fact("snakemake", snakemake or "not installed", "" if snakemake else "make env")


def gpu_facts(machine: Machine) -> Iterator[Fact]:
    """Report the NVIDIA driver and what the GPU is doing."""
    if machine.nvidia_driver is None:
        yield Fact("NVIDIA driver", "none (GPU engines will not run)")
        return
    yield Fact("NVIDIA driver", machine.nvidia_driver)
    found = nvml.facts()
    if found is None:
        yield Fact("GPU", "cannot be read: no device is visible, or nvidia-ml-py is missing", "nvidia-smi; make env")
        return
    state = found["now"] or {}
    busy = f"{state['processes']} process(es) compute on it" if state.get("processes") else ""
    slowed = f", slowed down: {', '.join(state['reasons'])}" if state.get("reasons") else ""
    temperature = f", {state['temperature_c']} °C" if state.get("temperature_c") is not None else ""
    yield Fact("GPU", f"{found['name']}, {found['memory_gib']} GiB{temperature}{slowed}", busy and f"{busy}: end them")


# The configuration


def read_configuration(files: list[str], given: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the configuration, checked where possible, and what is wrong with it ('' where nothing is)."""
    import yaml
    from segbench.errors import InputError
    from segbench.planning.check import read_config
    from snakemake.utils import update_config

    merged: dict[str, Any] = {}
    try:
        for path in files:
            update_config(merged, yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {})
        update_config(merged, given)
        return read_config(merged, files, given), ""
    except InputError as error:
        return merged, str(error)
    except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
        return merged, f"{path}: {' '.join(str(error).split())}"


def configuration_facts(config: dict[str, Any], fault: str) -> Iterator[Fact]:
    """Report whether the configuration is valid, and whether its data set exists."""
    if fault:
        for line in fault.splitlines():
            yield Fact("configuration", line, "correct the file; keys: config/README.md")
        return
    chosen = f"{len(config['models'])} models, {len(config['variants'])} variants"
    yield Fact("configuration", f"{chosen}, data set {config['dataset']}")
    entry = config["dataset_catalogue"][config["dataset"]]
    root = config["dataset_root"] or entry["root"]
    if entry["generate"] and not config["dataset_root"]:
        yield Fact("data set", f"{config['dataset']}: drawn by the workflow")
    elif os.path.isdir(root):
        yield Fact("data set", f"{config['dataset']}: {root}")
    else:
        yield Fact("data set", f"{config['dataset']}: no folder {root!r}", "--config dataset_root=PATH")


# The engines


def engine_lines(interpreters: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Yield engine, precisions with the same answer, the answer, and its fix, asked in each engine's interpreter."""
    named: dict[str, list[str]] = {}
    for name in base.names():
        python = interpreters.get(name) or base.own_interpreter(name) or sys.executable
        named.setdefault(str(python), []).append(name)
    answers: dict[str, Any] = {}
    for python, names in named.items():
        answers |= ask(python, names)
    for name in base.names():
        grouped: dict[tuple[str, str], list[str]] = {}
        for precision, (here, mend) in answers[name].items():
            grouped.setdefault((here, mend), []).append(precision)
        for (here, mend), precisions in grouped.items():
            yield name, ", ".join(precisions), here, mend


def ask(python: str, names: list[str]) -> dict[str, Any]:
    """Return the `answer` of each engine, by an interpreter that may be another one, missing or broken."""
    if python == sys.executable:
        return {name: answer(name) for name in names}
    command = [python, __file__, "--answer", *names]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        why = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
        reply = (f"no: its interpreter {python} does not answer: {why}", f"{base.load(names[0]).install}; interpreters")
        return {name: dict.fromkeys(base.load(name).precisions, reply) for name in names}


def answer(name: str) -> dict[str, tuple[str, str]]:
    """Return by precision an engine's answer for this machine in this interpreter, and its fix."""
    engine, machine = base.load(name), this_machine()
    found = {}
    for precision in engine.precisions:
        variant = base.Variant(f"{name}-{precision}", name, precision)
        here, built = engine.supports(variant, machine), engine.can_build(variant, machine)
        versions = ", ".join(f"{package} {package_version(package)}" for package in engine.packages)
        if here.ok:
            found[precision] = (f"yes: {versions}", "")
        elif built.ok:
            found[precision] = (f"builds ({versions}), does not run: {here.reason}", here.mend)
        else:
            found[precision] = (f"no: {here.reason}", here.mend)
    return found


def columns(heading: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> str:
    """Return lines of text in columns. The last column is not padded."""
    table = [heading, *lines]
    widths = [max(len(line[place]) for line in table) for place in range(len(heading))]
    table.insert(1, tuple("-" * width for width in widths))
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in table)


def main() -> None:
    """Parse the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", nargs="*", default=[], help="overlays on the default configuration")
    parser.add_argument("--config", type=json.loads, default={}, help="JSON: the keys of --config")
    parser.add_argument(
        "--answer", nargs="+", help="print the answers of these engines as JSON (for another interpreter)"
    )
    args = parser.parse_args()
    if args.answer:
        print(json.dumps({name: answer(name) for name in args.answer}))
    else:
        print(diagnose([*BASE_FILES, *args.configfile], args.config))


if __name__ == "__main__":
    main()
