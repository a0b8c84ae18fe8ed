"""Choose the groups of layers of an INT8 row that stay in FP32, and predict the mix's time from the groups' times."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segbench.files import read_json
from segbench.process.lifetime import command
from segbench.process.status import attempt, read_status, write_status
from segbench.table.mixed_precision import Measured, choose, measured, predicted, row_s


def choice(
    groups: Mapping[str, Any], changes: Mapping[str, Any], pairs: Mapping[str, Any], margin: float
) -> dict[str, Any]:
    """Return the layers of the chosen mix, with what was measured of every group.

    `groups` is groups.json. `changes` has the records of class maps by mix, and `pairs` those of pairs by group.
    """
    found = [measured(name, pairs[name], changes[name], changes["int8"]) for name in groups["groups"]]
    taken = choose(found, margin)
    layers = [layer for name in taken for layer in groups["groups"][name]["layers"]]
    row: Measured = measured("int8", None, changes["int8"], changes["int8"])
    return {
        "fp32_layers": [*groups["fp32_layers"], *layers],
        "options": groups["options"],
        "kept_before": len(groups["fp32_layers"]),
        "groups": groups["groups"],
        "chosen": taken,
        "predicted": predicted(found, taken)._asdict(),
        "row_s": row_s(list(pairs.values())),
        "measured": [row, *found],
    }


@command
def main() -> None:
    """Parse the command line and choose."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=Path, required=True, help="groups.json")
    parser.add_argument("--changes", type=Path, nargs="+", required=True, help="MIX/changes.json of row and groups")
    parser.add_argument("--pairs", type=Path, nargs="*", default=[], help="pairs/int8--GROUP.json")
    parser.add_argument("--margin", type=float, required=True, help="fraction by which times count as the same")
    parser.add_argument("--out", type=Path, required=True, help="record of the chosen mix to write")
    args = parser.parse_args()
    changes = {path.parent.name: read_json(path) for path in args.changes}
    pairs = {path.stem.partition("--")[2]: read_json(path) for path in args.pairs}
    upstream = [read_status(path) for path in (args.groups, args.changes[0])]
    outcome = attempt(lambda: choice(read_json(args.groups), changes, pairs, args.margin), upstream)
    write_status(args.out, f"{args.out.parts[-4]} {args.out.parts[-3]} mix of precisions", outcome, {})


if __name__ == "__main__":
    main()
