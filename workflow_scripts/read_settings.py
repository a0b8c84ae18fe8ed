"""Complete a model's entry by its own files: PaddleSeg's configuration, or the deploy.yaml beside an exported model."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from segbench.models.settings import complete
from segbench.process.lifetime import command
from segbench.process.status import attempt, write_status


@command
def main() -> None:
    """Parse the command line and complete the entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="name of the entry")
    parser.add_argument("--entry", type=json.loads, required=True, help="JSON: the entry as the configuration has it")
    parser.add_argument("--settings", type=Path, required=True, help="the file that says the rest")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write: the complete entry, or why not")
    args = parser.parse_args()

    def work() -> dict[str, Any]:
        entry, notes = complete(args.model, args.entry, args.settings)
        for note in notes:
            print(f"{args.model}: {note}")
        return {**entry, "notes": notes}

    write_status(args.out, f"settings of {args.model}", attempt(work), args.entry)


if __name__ == "__main__":
    main()
