"""Compare LoadGen's median with ours, for two variants (after `make env-loadgen`)."""

from __future__ import annotations

from segbench.errors import InputError
from segbench.process.lifetime import command
from segbench.process.limits import Limits
from segbench.process.supervise import supervise

from validation.common import ROOT, leave, parser, place_of

SCRIPT = str(ROOT / "workflow_scripts" / "time_loadgen.py")


@command
def main() -> None:
    """Time both variants."""
    options = parser(
        __doc__,
        queries=(10, "queries of each stretch; short ones share the machine's drift"),
        turns=(60, "turns of four stretches each: ours, LoadGen, LoadGen, ours"),
        second=("openvino-fp32", "the second variant"),
    )
    a = options.parse_args()
    place, records = place_of(a), {}
    for variant in (a.variant, a.second):
        request = place.request(**place.side(variant), turns=a.turns)
        request["timing"]["queries"] = a.queries
        outcome = supervise(SCRIPT, request, Limits(), variant)
        if outcome.status != "ok":
            raise InputError(f"{variant}: {outcome.status}: {outcome.reason}")
        records[variant] = outcome.result
    cells = [
        [
            variant,
            f"{one['ratio'] - 1:+.2%}",
            f"{one['ratio_of_same_runs'] - 1:+.2%}",
            "yes" if one["contended"] else "no",
        ]
        for variant, one in records.items()
    ]
    header = ["variant", "LoadGen's median against ours, alternating", "of the runs that both timed", "disturbed"]
    leave(a.out, "against_loadgen", header, cells, records)


if __name__ == "__main__":
    main()
