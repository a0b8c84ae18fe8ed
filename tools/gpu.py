"""From a fresh checkout on a GPU machine to the page's rows: the environment, doctor, the demo, Cityscapes.

Run by `make gpu`, with `dataset_root=PATH` for Cityscapes. Stopped, it goes on where it was when it is run again.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow_scripts"), str(ROOT)]

from doctor import BASE_FILES, read_configuration
from segbench.engines import base
from segbench.errors import InputError
from segbench.machine import nvml
from segbench.machine.cpu import this_machine
from segbench.process.lifetime import command

from tools import gpu_check

PUBLISHED = ROOT / "resources/published/paddleseg_v100.csv"
CITYSCAPES = "config/cityscapes.yaml"
VALIDATION_IMAGES = 500  # of Cityscapes


def environments(capability: tuple[int, int] | None, cuda: tuple[int, int] | None) -> list[str]:
    """What `make` has to make for this GPU and driver: Paddle's environment where that has code for it, else what has.

    Raises InputError where nothing has.
    """

    def fits(engine: str) -> bool:
        code = base.load(engine).gpu_code[0]
        return (cuda is None or cuda >= code.cuda) and (capability is None or code.runs_on(capability))

    if fits("paddle_gpu"):
        return ["env-gpu"]
    targets = {"tensorrt": "env-tensorrt8", "onnxruntime_cuda": "env-onnxruntime-gpu"}
    if found := [target for engine, target in targets.items() if fits(engine)]:
        return found
    raise InputError(
        f"no engine that `make` can install has code for compute capability {capability} under CUDA {cuda};"
        " docs/tensorrt.md names TensorRT 11, which is on NVIDIA's own index"
    )


def hours(config: dict[str, Any], variants: tuple[str, ...], published: Path = PUBLISHED) -> float:
    """Hours inside the models at the page's own times (a V100's): every image once, then the images of each round."""
    images = VALIDATION_IMAGES + config["rounds"] * min(config["timing"]["images_per_round"], VALIDATION_IMAGES)
    times: dict[tuple[str, bool, str], float] = {}
    with open(published, newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            times[row["model"].lower(), row["with_trt"] == "Y", row["precision"].lower()] = float(row["time_s"])
    accelerated = [(base.load(name.rpartition("-")[0]).accelerated, name.rpartition("-")[2]) for name in variants]
    titles = [config["model_catalogue"][model]["title"].lower() for model in config["models"]]
    return (
        sum(times[title, with_trt, precision] for title in titles for with_trt, precision in accelerated)
        * images
        / 3600
    )


def call(*words: str) -> None:
    """Run a command in the checkout; the script ends with its status where that is not 0."""
    print(f"$ {' '.join(words)}", flush=True)
    if status := subprocess.run(words, cwd=ROOT, check=False).returncode:
        sys.exit(status)


@command
def main() -> None:
    """Parse the command line and run all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset-root", default="", help="Cityscapes' folder; empty: the demo only")
    args = parser.parse_args()
    if this_machine().nvidia_driver is None:
        raise InputError("there is no NVIDIA driver on this machine; `make benchmark` runs on the CPU")
    for target in environments(nvml.compute_capability(), nvml.cuda_version()):
        call("make", target)
    snakemake = (sys.executable, "-m", "snakemake")
    call(*snakemake, "doctor")
    pythons = gpu_check.interpreters()
    told = gpu_check.family(pythons)
    variants = tuple(variant for variant, refusal in told.items() if not refusal)
    for variant in told.keys() - set(variants):
        print(f"left out: {variant}: {told[variant]}", flush=True)
    if not variants:
        raise InputError("none of these variants runs here; what mends it stands above")
    given: dict[str, Any] = {"variants": list(variants), "interpreters": pythons}
    settings = [f"{key}={json.dumps(value)}" for key, value in given.items()]
    call(*snakemake, "--configfile", "config/demo_gpu.yaml", "--config", *settings)
    if not args.dataset_root:
        return
    given |= {"dataset_root": args.dataset_root, "reference": variants[0]}
    config, fault = read_configuration([*BASE_FILES, CITYSCAPES], given)
    if fault:
        raise InputError(fault)
    print(
        f"{len(config['models']) * len(variants)} rows: {hours(config, variants):.1f} hours in the models at the page's"
        " V100 times; engines, calibration, scoring, warm-up and the control's rounds come on top. Stopped, `make gpu`"
        " goes on where it was.",
        flush=True,
    )
    settings = [f"{key}={json.dumps(value)}" for key, value in given.items()]
    call(*snakemake, "--configfile", CITYSCAPES, "--config", *settings)


if __name__ == "__main__":
    main()
