"""List the sentences that explain pairs of variants, each with a link to its page."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from segbench.files import read_json, write_text
from segbench.process.lifetime import command


def listed(said: list[Path], out: Path) -> str:
    """Return a Markdown list of the sentences in the records `said`, by model. `out` is the page that will have it."""
    lines = ["# Where the time goes", ""]
    if not said:
        lines.append(
            "There is no pair: an engine needs variants in FP32 and in INT8, or `comparison.pairs` names some."
        )
    model = None
    for path in said:
        record = read_json(path)
        if record["model"] != model:
            model = record["model"]
            lines += [f"## {model}", ""]
        page = os.path.relpath(path.with_suffix(".md"), out.parent)
        lines += [f"[{record['variants'][1]} against {record['variants'][0]}]({page}): {record['said']}", ""]
    return "\n".join(lines).rstrip() + "\n"


@command
def main() -> None:
    """Parse the command line and write the list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("said", type=Path, nargs="*", help="records that explain.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="Markdown to write")
    args = parser.parse_args()
    write_text(args.out, listed(args.said, args.out))
    print(args.out)


if __name__ == "__main__":
    main()
