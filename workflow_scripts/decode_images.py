"""Decode the images of a split once, for all models and variants. With `--keep no`, write an empty index."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from segbench.files import write_text
from segbench.images.decoded import decode, pixels_of
from segbench.images.index import read_index
from segbench.process.lifetime import command
from segbench.process.status import attempt, write_status


@command
def main() -> None:
    """Parse the command line and decode."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--index", type=Path, required=True, help="index.csv of the split")
    parser.add_argument("--keep", choices=("yes", "no"), default="yes", help="no: the images are decoded when used")
    parser.add_argument("--decoded", type=Path, required=True, help="decoded.json to write, and decoded.bin beside it")
    parser.add_argument("--jobs", type=int, default=1, help="threads")
    args = parser.parse_args()

    def work() -> dict[str, Any]:
        decode(read_index(args.index) if args.keep == "yes" else [], args.decoded, args.jobs)
        return {}

    outcome = attempt(work)
    if outcome.status != "ok":
        write_text(pixels_of(args.decoded), "")  # images are decoded when they are used
        write_status(args.decoded, f"decoded images of {args.index.parent}", outcome, {"images": {}})


if __name__ == "__main__":
    main()
