"""Bundle the plotting library of the report's page into one script, which takes seconds."""

from __future__ import annotations

import argparse
from pathlib import Path

from segbench.files import write_record
from segbench.process.lifetime import command
from segbench.report.render import javascript


@command
def main() -> None:
    """Parse the command line and bundle."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="vega.json to write")
    args = parser.parse_args()
    write_record(args.out, {"script": javascript()})


if __name__ == "__main__":
    main()
