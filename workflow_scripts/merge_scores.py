"""Add up the scores of a variant's shards. The result is exactly that of scoring all images at once."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from segbench.files import read_json, write_record
from segbench.process.lifetime import command
from segbench.process.status import FOR_A_PERSON, attempt
from segbench.scoring.score_record import NO_COMMON_IMAGE, NO_FIGURES, Judgement, Score, added, figures, unscored

SEVERITY = ("ok", "unsupported", "failed", *FOR_A_PERSON)


def merge(shards: list[Score], classes: list[str], judgement: Judgement) -> Score:
    """Make the score.json of the whole from those of its shards. Where one is not ok, neither is the whole."""
    worst = max(shards, key=lambda shard: SEVERITY.index(shard["status"]))
    if worst["status"] != "ok":
        return {**worst, **NO_FIGURES, "agreement_reason": ""}
    found = figures(added(shards), classes, judgement)
    # A shard may have no image that the reference ran. It is a gap only where no shard has one.
    gaps = {shard["agreement_reason"] for shard in shards} - {"", NO_COMMON_IMAGE}
    if found["pixel_agreement"] is None:
        gaps = gaps or {NO_COMMON_IMAGE}
    return {
        **worst,
        **found,
        "agreement_reason": min(gaps, default=""),
        "scored_by": max(shard["scored_by"] for shard in shards),  # a shard may have no image that was resized
        "scored_by_warning": max(shard["scored_by_warning"] for shard in shards),
    }


@command
def main() -> None:
    """Parse the command line and merge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=Path, nargs="+", required=True, help="score.json of every shard")
    parser.add_argument("--dataset", type=Path, required=True, help="dataset.json of the validation split")
    parser.add_argument("--reference-name", required=True, help="what the table calls the reference")
    parser.add_argument("--agreement-bound", type=float, required=True, help="share of pixels below which to warn")
    parser.add_argument("--class-agreement-bound", type=float, required=True, help="mean class IoU below which to warn")
    parser.add_argument("--ignored-pixels", choices=("excluded", "errors"), default="excluded", help="of the labels")
    parser.add_argument("--out", type=Path, required=True, help="score.json to write")
    args = parser.parse_args()
    judgement = Judgement(args.ignored_pixels, args.agreement_bound, args.class_agreement_bound, args.reference_name)

    def work() -> dict[str, Any]:
        return dict(merge([read_json(path) for path in args.shards], read_json(args.dataset)["classes"], judgement))

    outcome = attempt(work)
    write_record(args.out, outcome.result or unscored(outcome.status, outcome.reason, args.reference_name))


if __name__ == "__main__":
    main()
