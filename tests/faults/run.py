"""Try faults and print how many were survived: `tests/faults/run.py [KIND …]`; exit status 1 where one was lost."""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from faults.fault import Case
from segbench.files import write_json
from segbench.table.markdown import table

KINDS = {"kills": 60, "disk": 100, "isolation": 1, "engines": 100, "load": 5000, "corruption": 240, "hostile": 1000}


def main() -> None:
    """Parse the command line and try."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", help=f"of: {', '.join(KINDS)} (default: all)")
    parser.add_argument("--count", type=int, help="cases of each kind (default: as many as documented)")
    parser.add_argument("--seed", type=int, default=0, help="which cases")
    parser.add_argument("--out", type=Path, default=Path("results/faults"), help="folder for what was found, as JSON")
    a = parser.parse_args()
    rows, lost = [], 0
    for kind in a.kinds or KINDS:
        found: list[Case] = []
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            for case in importlib.import_module(f"faults.{kind}").cases(a.count or KINDS[kind], a.seed, Path(folder)):
                found.append(case)
                print(
                    f"{kind} {len(found)}: {'LOST: ' + case.lost if case.lost else 'ok'}: {case.name}: {case.told}",
                    flush=True,
                )
        bad = sum(bool(case.lost) for case in found)
        rows.append([kind, len(found), len(found) - bad, bad, f"{time.monotonic() - began:.0f}"])
        write_json(a.out / f"{kind}.json", [vars(case) for case in found])
        lost += bad
    print(table(["faults", "tried", "survived", "lost", "seconds"], rows))
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
