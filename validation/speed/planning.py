"""Measure Snakemake's CPU seconds to plan 8 models × 12 variants × 5 rounds, from nothing and with everything done.

"Everything done" is planned on placeholder files and `snakemake --touch`, in a private copy of the workflow.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from segbench.errors import InputError
from segbench.process.lifetime import command

from validation.common import ROOT, leave

PARTS = ("Snakefile", "rules", "workflow_scripts", "config", "profiles", "envs", "resources", "report")
VARIANTS = (
    *("paddle-fp32", "paddle_onednn-fp32", "paddle_onednn-bf16", "paddle_onednn-int8"),
    *("onnxruntime-fp32", "onnxruntime-int8", "openvino-fp32", "openvino-bf16", "openvino-fp16", "openvino-int8"),
    *("paddle_gpu-fp32", "paddle_tensorrt-fp32"),
)
NOTHING = '{"status": "ok", "extra": {}}\n'  # what planning reads: nothing was refused or added
FOLDERS = ("engine", "images", "quantized")  # outputs that are directories


class Copy:
    """A private copy of the workflow, and Snakemake in it."""

    def __init__(self, folder: Path, variants: list[str], rounds: int) -> None:
        self._folder = folder
        for part in PARTS:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / part, folder / part)
        (folder / "overlay.json").write_text(json.dumps({"variants": variants, "rounds": rounds}))

    def snakemake(self, *arguments: str) -> tuple[str, float]:
        """Return Snakemake's stdout and CPU seconds. Raises InputError with its last output when it failed."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command_line = [sys.executable, "-m", "snakemake", *arguments, "--configfile", "overlay.json"]
        done = subprocess.run(command_line, cwd=self._folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise InputError(f"snakemake failed: {done.stderr[-2000:]}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return done.stdout, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    def finish(self) -> None:
        """Make all files as if everything had run."""
        summary, _ = self.snakemake("--summary")
        for line in summary.splitlines()[1:]:
            path = self._folder / line.split("\t")[0]
            if path.name in FOLDERS:
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(NOTHING)
        self.snakemake("--touch", "--quiet", "all")

    def plan_s(self, repeats: int) -> float:
        """Return the median CPU seconds of a dry run."""
        return statistics.median(self.snakemake("--dry-run", "--quiet", "rules")[1] for _ in range(repeats))


def import_s(repeats: int) -> float:
    """Return the median CPU seconds of importing Snakemake alone."""
    times = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", "import snakemake.cli"], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return statistics.median(times)


@command
def main() -> None:
    """Plan, pretend that all is done, and plan again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each variant (default: %(default)s)")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), help="variants of all models (default: 12)")
    parser.add_argument("--repeats", type=int, default=5, help="dry runs each (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder of the JSON record")
    a = parser.parse_args()
    found = {"importing Snakemake alone": import_s(a.repeats)}
    with tempfile.TemporaryDirectory() as folder:
        workflow = Copy(Path(folder), a.variants, a.rounds)
        found["plan from nothing"] = workflow.plan_s(a.repeats)
        workflow.finish()
        found["plan with everything done"] = workflow.plan_s(a.repeats)
    cells = [[name, f"{seconds:.2f}"] for name, seconds in found.items()]
    leave(a.out, "planning", ["what", "CPU s"], cells, {"variants": a.variants, "rounds": a.rounds, "cpu_s": found})


if __name__ == "__main__":
    main()
