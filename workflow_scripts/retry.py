"""Forget every row that is not ok, so that the next run tries it again. Rows that are ok are not touched."""

from __future__ import annotations

import argparse
from pathlib import Path

from segbench.process.lifetime import command
from segbench.process.records import records


def forget(results: Path) -> list[Path]:
    """Delete the records below `results` that are not ok, and return them. Snakemake then makes them again."""
    stale = [path for path, _, _ in records(results, lambda status: status != "ok")]
    for path in stale:
        path.unlink()
    return stale


@command
def main() -> None:
    """Parse the command line and forget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="the results folder")
    stale = forget(parser.parse_args().results)
    for path in stale:
        print(f"forgotten: {path.parent if path.name == 'status.json' else path}")
    print(f"{len(stale)} statuses forgotten; run snakemake again")


if __name__ == "__main__":
    main()
