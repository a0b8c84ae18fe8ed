"""One row per model and variant, read from the files of the chain. A figure that was not measured is None."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from segbench.engines.base import load
from segbench.files import checked, read_json
from segbench.images import shards
from segbench.scoring.predictions import Predictions
from segbench.timing.intervals import interval_of_rounds, median_of_rounds, percentile_of_rounds

COLUMNS = (
    "dataset", "model", "title", "variant", "engine", "device", "accelerated", "precision", "status", "reason",
    "miou", "miou_delta", "pixel_agreement", "reference", "time_s", "time_s_low", "time_s_high", "interval_method",
    "round_medians_s", "end_to_end_s", "p90_s", "p99_s", "n", "rounds", "steady", "contended", "throttled",
    "repeatable", "warnings", "build_s", "engine_bytes", "trt_subgraphs", "trt_share", "trt_fallback", "fp32_layers",
    "calibrator", "calibration_s", "calibration_rss_bytes", "calibration_drop", "peak_rss_bytes", "peak_gpu_bytes",
    "hardware_id", "hardware",
)  # fmt: skip

CALIBRATION = ("fp32_layers", "calibrator", "calibration_s", "calibration_rss_bytes", "calibration_drop")


def read_rows(results: Path, selection: dict[str, Any]) -> list[dict[str, Any]]:
    """All rows of a selection (dataset, rounds, models with their titles, variants by name), in its order."""
    rows = []
    for model in selection["models"]:
        of_model = [read_row(results, selection, model, name) for name in selection["variants"]]
        native = next((row for row in of_model if row["reference"] == row["variant"]), None)
        for row in of_model:
            if native and native["miou"] is not None and row["miou"] is not None:
                row["miou_delta"] = row["miou"] - native["miou"]
        rows += of_model
    _warn_of_other_hardware(rows)
    return rows


def _warn_of_other_hardware(rows: list[dict[str, Any]]) -> None:
    """A row that was measured on other hardware than the first measured one says so: its time compares with none."""
    first = next((row["hardware_id"] for row in rows if row["hardware_id"]), None)
    for row in rows:
        if row["hardware_id"] not in (None, first):
            told = f"measured on other hardware ({row['hardware_id']}) than the table's first row ({first})"
            row["warnings"] = "; ".join(filter(None, [row["warnings"], told]))


def read_row(results: Path, selection: dict[str, Any], model: str, variant: str) -> dict[str, Any]:
    """The row of one model and variant; keys are COLUMNS and `iou_per_class` (None, or IoU by class name)."""
    entry, here = selection["variants"][variant], f"{selection['dataset']}/{model}/{variant}"
    engine = load(entry["engine"])
    built = read_json(results / "engines" / here / "status.json")
    score = read_json(results / "scores" / f"{here}.json")
    rounds = [shards.folders(results, here, n, selection["shards"]) for n in range(1, selection["rounds"] + 1)]
    folders = [folder for round_ in rounds for folder in round_]
    runs = [read_json(folder / "status.json") for folder in folders]
    for folder, run in zip(folders, runs, strict=True):
        for name in ("latencies.csv", "predictions.zip", "environment.json"):
            checked(folder / name, run)
    row: dict[str, Any] = dict.fromkeys((*COLUMNS, "iou_per_class"))
    worst, shard = next(
        ((run, folder.name) for run, folder in zip(runs, folders, strict=True) if run["status"] != "ok"),
        (runs[0], shards.WHOLE),
    )
    changed = _changed(rounds)
    row |= {
        "dataset": selection["dataset"],
        "model": model,
        "title": selection["models"][model],
        "variant": variant,
        "engine": entry["engine"],
        "device": engine.device,
        "accelerated": engine.accelerated,
        "precision": entry["precision"],
        "status": worst["status"],
        "reason": worst["reason"] if shard == shards.WHOLE else f"shard {shard}: {worst['reason']}",
        "reference": score["reference"],
        "build_s": built.get("build_s"),
        "engine_bytes": built.get("engine_bytes"),
        "trt_subgraphs": built.get("trt_subgraphs"),
        "trt_share": built.get("trt_share"),
        "trt_fallback": "; ".join(f"{kind} {why}" for kind, why in built.get("trt_fallback", {}).items()) or None,
        **{key: built.get(key) for key in CALIBRATION},
        "peak_rss_bytes": max((run["peak_rss_bytes"] for run in runs if run.get("peak_rss_bytes")), default=None),
        "peak_gpu_bytes": max(_gpu_bytes(runs), default=None),
        "warnings": "; ".join([*score["warnings"], *_agreement_gap(score), *_hardware(folders), *changed]),
    }
    if row["status"] == "ok":
        row |= {key: score[key] for key in ("miou", "pixel_agreement", "iou_per_class")} | _times(rounds, runs)
        row["repeatable"] = not changed if len(rounds) > 1 else None
        row["hardware_id"] = ";".join(sorted(_hardware_ids(folders)))
        row["hardware"] = "; ".join(sorted({_machine(read_json(folder / "environment.json")) for folder in folders}))
    return row


def _times(rounds: list[list[Path]], runs: list[dict[str, Any]]) -> dict[str, Any]:
    latencies = [[row for folder in round_ for row in _latencies(folder / "latencies.csv")] for round_ in rounds]
    compute = [[row[0] for row in rows] for rows in latencies if rows]
    if not compute:
        return {}
    pooled = [time for times in compute for time in times]
    medians = [median_of_rounds([times]) for times in compute]
    interval = interval_of_rounds(medians)
    settled = [run.get("steady") for run in runs]
    return {
        "time_s": median_of_rounds(compute),
        "time_s_low": interval.low,
        "time_s_high": interval.high,
        "interval_method": interval.method,
        "round_medians_s": ";".join(map(repr, medians)),
        "end_to_end_s": median_of_rounds([[row[1] for row in rows] for rows in latencies if rows]),
        "p90_s": percentile_of_rounds(compute, 0.90),
        "p99_s": percentile_of_rounds(compute, 0.99),
        "n": len(pooled),
        "rounds": len(compute),
        "steady": None if None in settled else all(settled),
        "contended": any(run.get("contended", False) for run in runs),
        "throttled": any(run.get("throttled", False) for run in runs),
    }


def _gpu_bytes(runs: list[dict[str, Any]]) -> list[int]:
    """GPU memory in use at the end of each timed stretch."""
    seen = [stretch.get("gpu_memory_used_bytes") for run in runs for stretch in run.get("disturbances", ())]
    return [count for count in seen if count]


def _latencies(path: Path) -> list[tuple[float, float]]:
    with open(path, newline="", encoding="utf-8") as stream:
        return [(float(row["compute_s"]), float(row["end_to_end_s"])) for row in csv.DictReader(stream)]


def _hardware_ids(folders: list[Path]) -> set[str]:
    return {read_json(folder / "environment.json")["hardware_id"] for folder in folders}


def _machine(record: dict[str, Any]) -> str:
    """CPU, cores and GPU in words."""
    machine, graphics = record.get("machine") or {}, record.get("gpu") or {}
    cores = machine.get("physical_cores")
    facts = (machine.get("cpu_model"), cores and f"{cores} core{'s' if cores > 1 else ''}", graphics.get("name"))
    return ", ".join(str(fact) for fact in facts if fact)


def _hardware(folders: list[Path]) -> list[str]:
    found = sorted(_hardware_ids(folders))
    return [f"rounds ran on different hardware ({', '.join(found)})"] if len(found) > 1 else []


def _changed(rounds: list[list[Path]]) -> list[str]:
    """Rounds whose class map of an image is not the first round's: what was timed is not what was scored."""
    first = [Predictions.open(folder / "predictions.zip") for folder in rounds[0]]
    told = []
    for number, (folder, *_) in enumerate(rounds[1:], 2):
        later = Predictions.open(folder / "predictions.zip")
        differing = [i for i in later.ids if any(i in one and one.digest(i) != later.digest(i) for one in first)]
        if differing:
            told.append(f"round {number}: {len(differing)} class map(s) differ from round 1's, e.g. of {differing[0]}")
    return told


def _agreement_gap(score: dict[str, Any]) -> list[str]:
    gap = score.get("agreement_reason")
    return [f"agreement not known: {gap}"] if gap and score["status"] == "ok" else []
