"""Deal the layers that an INT8 row quantises to groups, so that each group's precision can be switched as a whole.

The layers of a group follow each other in the graph. Groups take about the same time in FP32, by the engine's own
profiler. Beside `groups.json` each group gets a file of the layers that stay in FP32 when it is switched: its own, and
those that the row keeps in FP32 already.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any, TypedDict

from segbench.calibration.base import layers_file, load
from segbench.calibration.groups import in_groups
from segbench.errors import Unsupported
from segbench.files import read_json, write_record
from segbench.models.exported import ExportedModel
from segbench.process.lifetime import command
from segbench.process.limits import Limits, configured_limits
from segbench.process.status import read_status, run_stage, write_status
from segbench.process.supervise import progress, stage

LEAST_RUNS = 4  # that a process of a pair times, A B B A


class Request(TypedDict):
    """The child's request: paths as texts, and what the layers are grouped by."""

    model: str
    calibration: str  # status.json of the row's calibration
    profile: str
    settings: dict[str, Any]


def group(request: Request) -> dict[str, Any]:
    """Return the groups by name, and what the row keeps in FP32."""
    settings, folder, profile = request["settings"], Path(request["calibration"]).parent, read_json(request["profile"])
    library, record = load(settings["library"]), read_json(request["calibration"])
    chosen = read_json(folder / layers_file(settings["judge"])) if library.leaves_table else record
    progress("reading the graph")
    with tempfile.TemporaryDirectory() as work:
        found = library.operators(ExportedModel.open(Path(request["model"])), folder, Path(work))
    kept = chosen["fp32_layers"]
    operators = [one._replace(layer="") if one.layer in kept else one for one in found]
    profiled = [((*layer["stands_for"], layer["name"]), layer["median_s"]) for layer in profile["layers"]]
    groups = in_groups(operators, profiled, group_count(settings, profile["run_s"]))
    if not groups:
        raise Unsupported("the row has no layer in INT8 that could be switched to FP32")
    return {
        "groups": {f"group{number}": one._asdict() for number, one in enumerate(groups, 1)},
        "fp32_layers": kept,
        "options": record.get("options"),  # of a quantiser that went on to others than its entry's
    }


def group_count(settings: dict[str, Any], run_s: float) -> int:
    """Return how many groups the budget has time for, one at least. `run_s`: seconds of a run in FP32."""
    pair_s = settings["rounds"] * LEAST_RUNS * run_s
    return max(1, min(settings["groups"], int(settings["budget_s"] / pair_s) - settings["whole_pairs"]))


def run(request: Request, upstream: list[Path], limits: Limits, out: Path) -> None:
    """Group under supervision in the parent, and write the file of each group. Groups that are not needed are empty."""
    name = f"{Path(request['model']).parent.name} {out.parent.name} groups of layers"
    outcome = run_stage(__file__, request, limits, name, map(read_status, upstream))
    found: dict[str, Any] = {"groups": {}, "fp32_layers": [], "options": None, **outcome.result}
    for number in range(1, request["settings"]["groups"] + 1):
        own = found["groups"].get(f"group{number}", {"layers": []})["layers"]
        kept = {"fp32_layers": [*found["fp32_layers"], *own], "options": found["options"]}
        record = {"status": outcome.status, "reason": outcome.reason, **kept}
        write_record(out.parent / f"group{number}" / "layers.json", record)
    write_status(out, name, outcome, {"groups": {}})


@command
def main() -> None:
    """Parse the command line and group."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="model.json of the exported model")
    parser.add_argument("--calibration", type=Path, required=True, help="status.json of the row's calibration")
    parser.add_argument("--status", type=Path, required=True, help="status.json of the row's engine")
    parser.add_argument("--profile", type=Path, required=True, help="times of the layers in FP32 (profile_layers.py)")
    told = (
        "JSON: groups, budget_s, rounds, library, judge; whole_pairs: pairs that are timed beside those of the groups"
    )
    parser.add_argument("--settings", type=json.loads, required=True, help=told)
    parser.add_argument("--out", type=Path, required=True, help="groups.json to write")
    args = parser.parse_args()
    request: Request = {
        "model": str(args.model), "calibration": str(args.calibration), "profile": str(args.profile),
        "settings": args.settings,
    }  # fmt: skip
    run(request, [args.calibration, args.status, args.profile], configured_limits(), args.out)


if __name__ == "__main__":
    stage(main, group)
