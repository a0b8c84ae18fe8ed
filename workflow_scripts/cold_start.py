"""Tell how long each row takes from nothing to its first class map, warm and cold: a page, and a picture."""

from __future__ import annotations

import argparse
from pathlib import Path

from segbench.files import read_json, write_text
from segbench.process.lifetime import command
from segbench.report import render
from segbench.report.starts import bars
from segbench.table.cold_start import HEADER, Record, cells, missing, sentence, starts_of
from segbench.table.markdown import table

HEADING = """# From a start to the first class map

Every start is a new process. *framework*: importing it; *engine*: loading it, and compiling where the engine compiles;
*first image*: its `end_to_end_s`; *first mask*: the three together, as the table's `first_mask_s`. Seconds are medians
over rounds, with the 95% interval of the first mask and of its ratio to the warm start of the same round. *images until
steady*: runs until the warm-up's rule is met, those that it is judged by included (>: it was not met in every start).
Before a cold start, the framework's and the engine's files are dropped from the page cache. *still cached*: of what is
in it after the start, the share that was there before. *unchecked*: the system does not tell whether they were dropped.
Pages that a live process uses stay, and a disk's or a hypervisor's own cache is not touched."""


def page(records: list[tuple[str, Record]], picture: str) -> str:
    """Return the page as Markdown from (model, record) of each row."""
    parts = [HEADING, f"![first mask, warm and cold]({picture})"]
    for model in dict.fromkeys(model for model, _ in records):
        own = [(name, record) for name, record in records if name == model]
        found = [starts for name, record in own for starts in starts_of(name, record)]
        parts.append(f"## {model}")
        if found:
            parts += [sentence(model, found), table(HEADER, [cells(one) for one in found])]
        if lines := missing([record for _, record in own]):
            parts.append("\n".join(f"- {line}" for line in lines))
    return "\n\n".join(parts) + "\n"


@command
def main() -> None:
    """Parse the command line and write page and picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "records", type=Path, nargs="+", help="what time_starts.py wrote: MODEL/VARIANT.json of each row"
    )
    parser.add_argument("--markdown", type=Path, required=True, help="page to write")
    parser.add_argument("--svg", type=Path, required=True, help="picture to write, in the same folder")
    args = parser.parse_args()
    records = [(path.parent.name, read_json(path)) for path in args.records]
    found = [starts for model, record in records for starts in starts_of(model, record)]
    write_text(args.svg, render.svg(bars(found).file_spec()))
    write_text(args.markdown, page(records, args.svg.name))
    print(args.markdown)


if __name__ == "__main__":
    main()
