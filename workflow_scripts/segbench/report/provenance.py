"""Report how rows were measured: machines, software and commits, as far as a reader may see them.

Host names and paths are left out, since a report is made to be shared.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from segbench.calibration import base as calibration
from segbench.engines import base as engines
from segbench.files import read_json
from segbench.report.derived import Facts

# These CPU flags decide which kernels an engine takes.
TELLING_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimd", "sve")

# Records of the supervised stages below the results folder, in the order of a run.
STAGES = {
    "ONNX twins": "models/{model}/onnx.json",
    "INT8 calibrations": "calibration/{dataset}/{model}/*/status.json",
    "layers kept in FP32": "calibration/{dataset}/{model}/*/layers.*.json",
    "accuracy passes": "predictions/{dataset}/{model}/*/*/status.json",
    "timed rounds": "runs/{dataset}/{model}/*/*/*/status.json",
    "rounds of the control": "control/{dataset}/*/*/{model}-*/*/status.json",
}


def stages(results: Path, rows: list[Facts]) -> list[tuple[str, int, float]]:
    """Return for each stage of the rows' models how many processes it had, whenever they ran, and their seconds in all.

    Processes that ran side by side both count.
    """
    places = sorted({(row["dataset"], row["model"]) for row in rows})
    found = []
    for stage, pattern in STAGES.items():
        paths = [
            path for dataset, model in places for path in results.glob(pattern.format(dataset=dataset, model=model))
        ]
        seconds = [read_json(path).get("wall_s", 0.0) for path in paths]
        if seconds:
            found.append((stage, len(seconds), sum(seconds)))
    return found


def environments(results: Path, rows: list[Facts]) -> list[dict[str, Any]]:
    """Return a record per kind of machine and software that rows were timed on, with the labels of those rows."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        runs = results / "runs" / row["dataset"] / row["model"] / row["variant"]
        for number in range(1, (row["rounds"] or 1) + 1):
            record = read_json(runs / str(number) / "0" / "environment.json")
            if not record.get("machine"):
                continue
            facts = _facts(record)
            kept = found.setdefault(repr(facts), {"facts": facts, "labels": []})
            if row["label"] not in kept["labels"]:
                kept["labels"].append(row["label"])
    return list(found.values())


def _facts(record: dict[str, Any]) -> list[tuple[str, str]]:
    machine = record["machine"]
    flags = [flag for flag in TELLING_FLAGS if flag in machine.get("cpu_flags", ())]
    facts = {
        "hardware id": record.get("hardware_id"),
        "CPU": machine.get("cpu_model"),
        "instruction sets": ", ".join(flags),
        "cores": f"{machine.get('physical_cores')} physical, {machine.get('logical_cores')} logical",
        "memory": f"{machine['memory_bytes'] / 2**30:.1f} GiB" if machine.get("memory_bytes") else "",
        "GPU": _text(record.get("gpu")),
        "NVIDIA driver": machine.get("nvidia_driver"),
        "frequency governor": (record.get("settings") or {}).get("governor"),
        "threads of the engine": record.get("threads"),
        "system": record.get("system"),
        "Python": record.get("python"),
        "software": _text({name: v for name, v in (record.get("software") or {}).items() if name in _packages()}),
        "git commit of the workflow": record.get("git_commit"),
    }
    return [(name, str(value)) for name, value in facts.items() if value not in (None, "")]


@cache
def _packages() -> frozenset[str]:
    """Return the distributions that an engine or a calibrator names, and those that all of them need."""
    plugins = [engines.load(name) for name in engines.names()] + [calibration.load(n) for n in calibration.names()]
    return frozenset({"numpy", "opencv-python-headless"}.union(*(plugin.packages for plugin in plugins)))


def _text(value: Any) -> str:
    """Write a mapping or list on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_inner(entry)}" for name, entry in value.items())
    return ", ".join(map(_text, value)) if isinstance(value, list) else str(value or "")


def _inner(value: Any) -> str:
    """Write a mapping inside another: the keys that are set, in brackets."""
    set_keys = {name: entry for name, entry in value.items() if entry is not None} if isinstance(value, dict) else {}
    return f"({_text(set_keys)})" if isinstance(value, dict) else str(value)


def models(results: Path, rows: list[Facts]) -> list[dict[str, str]]:
    """Describe each model: input, parameters, preprocessing, digests of its files."""
    found = []
    for name, title in {row["model"]: row["title"] for row in rows}.items():
        record = read_json(results / "models" / name / "model.json")
        found.append({"title": title, **_model(record)})
    return found


def _model(record: dict[str, Any]) -> dict[str, str]:
    size, count = record.get("input") or {}, record.get("parameter_count")
    return {
        "input": f"1×3×{size.get('height')}×{size.get('width')}" if size else "",
        "parameters": f"{count / 1e6:.2f} M" if count else "",
        "weights": "trained" if record.get("has_trained_weights") else "random",
        "preprocessing": _text(record.get("preprocessing")),
        "files": ", ".join(f"{name} {digest[:12]}" for name, digest in (record.get("files") or {}).items()),
    }
