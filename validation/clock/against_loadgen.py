"""Compare LoadGen's figures with ours (after `make env-loadgen`): latencies, or images per second in its scenario
Offline. Ratios are of times: above 1, LoadGen's is slower.
"""

from __future__ import annotations

import statistics
from typing import Any

from segbench.config.options import Variant
from segbench.errors import InputError
from segbench.process.lifetime import command
from segbench.process.limits import Limits
from segbench.process.supervise import supervise
from time_loadgen import SCENARIOS, scenario_of

from validation.common import AGREEMENT, ROOT, Place, agreement, agreement_cells, leave, parser, place_of

SCRIPT = str(ROOT / "workflow_scripts" / "time_loadgen.py")


def compare(place: Place, side: dict[str, Any], asked: str, images: int, turns: int) -> dict[str, Any]:
    """Time a variant by both in turn, `images` in each stretch. Return the record of `time_loadgen`, with the ratio
    over turns and its interval.
    """
    entry = Variant(**side["variant"])
    scenario = scenario_of(entry, asked or None)
    request = place.request(**side, turns=turns, scenario=scenario)
    request["timing"]["queries"] = max(1, images // entry.batch) if scenario == "MultiStream" else images
    outcome = supervise(SCRIPT, request, Limits(), entry.name)
    if outcome.status != "ok":
        raise InputError(f"{entry.name}: {outcome.status}: {outcome.reason}")
    record = outcome.result
    theirs, ours = in_turns(record["loadgen"]), in_turns(record["ours"])
    times = (theirs, ours) if record["unit"] == "s" else (ours, theirs)  # images per second: the other way round
    return {**record, **agreement(*times)}


def in_turns(figures: list[float]) -> list[float]:
    """Return the figure of each turn, which has two stretches of a clock."""
    return [statistics.geometric_mean(figures[at : at + 2]) for at in range(0, len(figures), 2)]


@command
def main() -> None:
    """Time the named variants."""
    options = parser(
        __doc__,
        variants=("onnxruntime-fp32,openvino-fp32", "built variants, by commas"),
        scenario=("", f"of LoadGen's, {' or '.join(SCENARIOS)}; empty: each variant's own"),
        images=(10, "images of each stretch; short ones share the machine's drift"),
        turns=(60, "turns of four stretches each: ours, LoadGen, LoadGen, ours"),
    )
    a = options.parse_args()
    place = place_of(a)
    sides = {name: place.side(name) for name in a.variants.split(",")}  # tells of one that is not built before it times
    records = {name: compare(place, side, a.scenario, a.images, a.turns) for name, side in sides.items()}
    cells = [
        [
            name,
            one["scenario"],
            *agreement_cells(one),
            f"{one['ratio_of_same_runs']:.3f}",
            "yes" if one["contended"] else "no",
        ]
        for name, one in records.items()
    ]
    header = ["variant", "scenario", "LoadGen's time / ours", *AGREEMENT, "of the runs that both timed", "disturbed"]
    leave(a.out, f"against_loadgen{'_' * bool(a.scenario)}{a.scenario.lower()}", header, cells, records)


if __name__ == "__main__":
    main()
