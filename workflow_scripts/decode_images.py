"""Decode the images of a split once, for all models and variants. With `--keep no`, write an empty index."""

from __future__ import annotations

import argparse
from pathlib import Path

from segbench.images.decoded import decode
from segbench.images.index import read_index
from segbench.process.lifetime import command


@command
def main() -> None:
    """Parse the command line and decode."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--index", type=Path, required=True, help="index.csv of the split")
    parser.add_argument("--keep", choices=("yes", "no"), default="yes", help="no: the images are decoded when used")
    parser.add_argument("--decoded", type=Path, required=True, help="decoded.json to write, and decoded.bin beside it")
    parser.add_argument("--jobs", type=int, default=1, help="threads")
    args = parser.parse_args()
    decode(read_index(args.index) if args.keep == "yes" else [], args.decoded, args.jobs)


if __name__ == "__main__":
    main()
