"""Many images and variants on a convolution: memory, open files and logs stay bounded."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import yaml
from faults.fault import Case, small_flow
from helpers.made import make_folder_dataset

VARIANTS = 24
FEW = 10  # times fewer images and variants in the run that is compared with
MAX_GROWTH_BYTES = 6000  # of a script's peak memory for each further image: its row of the index, its class map
MAX_FILES = 256  # that a process may hold open
MAX_LOG_BYTES = 64 << 10  # of the log of one job


def cases(count: int, seed: int, folder: Path) -> Iterator[Case]:
    """A run of `count` images and 24 variants beside one of a tenth of both."""
    few = _measured(folder / "few", count // FEW, max(VARIANTS // FEW, 1))
    many = _measured(folder / "many", count, VARIANTS)
    scripts = (
        "infer.py --worker",
        "time_round.py --worker",
        "score.py",
        "index_images.py",
        "index_dataset.py",
        "table.py",
    )
    for script in scripts:
        small, large = few["memory"][script], many["memory"][script]
        told = f"peak {small / 1e6:.0f} MB, with {FEW} times the images {large / 1e6:.0f} MB"
        bound = small + MAX_GROWTH_BYTES * (count - count // FEW)
        yield Case("load", f"memory of {script}", "" if large <= bound else "grows", told)
    files = max(many["files"].values())
    yield Case("load", "open files", "" if files <= MAX_FILES else "too many", f"at most {files} in one process")
    yield Case(
        "load", "logs", "" if many["log"] <= MAX_LOG_BYTES else "too long", f"the longest has {many['log']} bytes"
    )
    snakemake = (
        f"Snakemake's peak {many['memory']['snakemake'] / 1e6:.0f} MB, {many['seconds']:.0f} s, {many['rows']} rows"
    )
    yield Case("load", "all rows are there", "" if many["rows"] == VARIANTS else "rows are missing", snakemake)


def _measured(folder: Path, images: int, variants: int) -> dict[str, Any]:
    flow = small_flow(folder)
    make_folder_dataset(folder / "many scenes", count=images)
    flow.config["dataset_catalogue"]["made"]["root"] = "many scenes"
    names = [f"variant-{number}" for number in range(variants)]
    flow.config |= {"variants": names, "rounds": 1, "reference": names[0]}
    flow.config["variant_catalogue"] = {name: {"engine": "onnxruntime", "precision": "fp32"} for name in names}
    (folder / "overlay.yaml").write_text(yaml.safe_dump(flow.config))
    memory: dict[str, int] = defaultdict(int)
    files: dict[str, int] = defaultdict(int)
    began = time.monotonic()
    with open(folder / "run.log", "w") as log:
        running = psutil.Popen(
            [sys.executable, "-m", "snakemake", "--configfile", "overlay.yaml"],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        while running.poll() is None:
            _look(running, memory, files)
            time.sleep(0.1)
    if running.returncode:
        raise RuntimeError((folder / "run.log").read_text()[-3000:])
    longest = max(path.stat().st_size for path in (folder / "results/logs").rglob("*.log"))
    rows = sum(row["status"] == "ok" for row in flow.rows())
    took = time.monotonic() - began
    return {"memory": memory, "files": files, "log": longest, "rows": rows, "seconds": took}


def _look(snakemake: psutil.Process, memory: dict[str, int], files: dict[str, int]) -> None:
    """Peak memory and open files by script, as far as 10 looks a second see them."""
    for process in (snakemake, *snakemake.children(recursive=True)):
        try:
            words = process.cmdline()
            name = Path(words[1]).name + (" --worker" if "--worker" in words else "")
            name = name if name.split()[0].endswith(".py") else "snakemake" if process == snakemake else ""
            memory[name] = max(memory[name], process.memory_info().rss)
            files[name] = max(files[name], process.num_fds())
        except (psutil.Error, IndexError):
            continue
