"""Measure what runs outside the model: CPU time of steps at 1024×2048, wall time of a timed job, start-up of light
jobs.

Steps run on one thread, with the image decoded from its file and with it kept decoded. A timed job is a round as the
workflow runs it, for each data set that `--jobs` names, with decoded images and without, in turn.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
from score import Scorer
from segbench.datasets.cityscapes import CLASSES
from segbench.files import read_json
from segbench.images.decoded import ImageReader
from segbench.images.index import read_index
from segbench.images.normalize import Normalizer
from segbench.process.lifetime import command
from segbench.scoring.confusion import fold
from segbench.scoring.predictions import Predictions, PredictionsWriter

from validation.common import ROOT, Place, leave, parser, time_round

LARGE = ("demo_large", "gcnet_demo_large")
LIGHT = ("score.py", "table.py", "report.py", "decode_images.py")
BUDGET_MS = {"decoded": 25, "from file": 75}


def steps_ms(place: Place, variant: str, repeats: int) -> dict[str, float]:
    """Return the median CPU ms of each step for one image, over all images of the data set and `repeats`."""
    cv2.setNumThreads(1)
    folder = place.results / "data" / place.dataset / "val"
    rows, model = read_index(folder / "index.csv"), read_json(place.results / "models" / place.model / "model.json")
    run = place.results / "predictions" / place.dataset / place.model / variant / "0" / "predictions.zip"
    from_file, decoded, maps = ImageReader(None), ImageReader(folder / "decoded.json"), Predictions.open(run)
    normalize = Normalizer(model["preprocessing"], model["input"]["height"], model["input"]["width"])
    scorer = Scorer(run, run, partial(fold, class_count=len(CLASSES), ignore=255))
    found: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[..., Any], *arguments: Any) -> Any:
        start = time.process_time()
        result = work(*arguments)
        found.setdefault(name, []).append((time.process_time() - start) * 1000)
        return result

    for _ in range(repeats):
        with (
            tempfile.TemporaryDirectory() as out,
            PredictionsWriter(Path(out) / "p.zip", maps.height, maps.width) as kept,
        ):
            for row in rows:
                timed("read from file", from_file, row)
                image = timed("read decoded", decoded, row)
                timed("normalise", normalize, image)
                timed("save class map", kept.add, row["image_id"], maps[row["image_id"]])
                timed("score", scorer.add, row)
    return {name: statistics.median(times) for name, times in found.items()}


def totals_ms(steps: dict[str, float]) -> dict[str, float]:
    """Return the sum of all steps of an image, by the image's source."""
    common = sum(ms for name, ms in steps.items() if not name.startswith("read"))
    return {"decoded": steps["read decoded"] + common, "from file": steps["read from file"] + common}


def job(place: Place, variant: str, decoded: bool) -> dict[str, float]:
    """Return the wall time of a round's timed stretch over the time inside the model. Warm-up ends before it."""
    index = place.results / "data" / place.dataset / "val" / "decoded.json"
    request = place.request(**place.side(variant), decoded=str(index) if decoded else None)
    found = time_round(request, 1, f"{place.dataset}, {'decoded' if decoded else 'from file'}")
    wall = found["disturbances"][-1]["wall_s"]
    inside = sum(found["times_s"])
    return {"images": len(found["times_s"]), "wall_s": wall, "inside_s": inside, "ratio": wall / inside}


def start_up_s(script: str) -> float:
    """Return the CPU seconds of starting a script: all its imports and its command line."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, str(ROOT / "workflow_scripts" / script), "--help"], check=True, stdout=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@command
def main() -> None:
    """Measure all three."""
    made = parser(__doc__, repeats=(3, "times that everything is measured"))
    made.set_defaults(variant="openvino-fp32")
    made.add_argument("--jobs", nargs="*", default=["demo", "demo_large"], help="data sets of the timed jobs")
    a = made.parse_args()
    large, small = Place(a.results, *LARGE), Place(a.results, a.dataset, a.model)

    steps = steps_ms(large, a.variant, a.repeats)
    totals = totals_ms(steps)
    cells = [[name, f"{ms:.2f}", ""] for name, ms in steps.items()]
    cells += [[f"all, image {name}", f"{ms:.1f}", f"{BUDGET_MS[name]}"] for name, ms in totals.items()]
    leave(a.out, "steps", ["step at 1024×2048", "CPU ms", "at most"], cells, {"steps_ms": steps, "totals_ms": totals})

    places = [place for place in (small, large) if place.dataset in a.jobs]
    runs = [
        (place, decoded, job(place, a.variant, decoded))
        for place in places
        for _ in range(a.repeats)
        for decoded in (True, False)
    ]
    cells = []
    for place in places:
        for decoded in (True, False):
            mine = [run for at, kept, run in runs if (at, kept) == (place, decoded)]
            inside = statistics.median(run["inside_s"] / run["images"] for run in mine)
            ratio = statistics.median(run["ratio"] for run in mine)
            cells.append([place.model, a.variant, "yes" if decoded else "no", f"{inside:.4f}", f"{ratio:.3f}"])
    header = ["model", "variant", "images kept decoded", "inside the model s", "wall ÷ inside (at most 1.10)"]
    leave(a.out, "timed_jobs", header, cells, {"runs": [[at.dataset, kept, run] for at, kept, run in runs]})

    starts = {script: statistics.median(start_up_s(script) for _ in range(a.repeats)) for script in LIGHT}
    leave(a.out, "start_up", ["script", "CPU s"], [[name, f"{s:.2f}"] for name, s in starts.items()], {"cpu_s": starts})


if __name__ == "__main__":
    main()
