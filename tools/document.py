"""Make every generated page (`make docs`). Run it from the project's root.

config/README.md and config/schemas/config.schema.json come from the configuration's types. The table's schema and the
columns in docs/use/table.md come from `segbench/table/columns.py`, and report/NAME.rst from the plots' captions.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow_scripts"))

from segbench.planning import document
from segbench.report import PLOTS
from segbench.table import document as table

TABLE_PAGE = "docs/use/table.md"


def pages() -> dict[str, str]:
    """Return the text of every generated page by its path below the root."""
    return {
        "config/README.md": document.readme(),
        "config/schemas/config.schema.json": document.json_schema(),
        "config/schemas/table.schema.json": table.schema(),
        TABLE_PAGE: table.page((ROOT / TABLE_PAGE).read_text()),
        **{f"report/{name}.rst": textwrap.fill(caption, 120) + "\n" for name, caption in PLOTS.items()},
    }


def main() -> None:
    """Write the pages that are not current, and print their names."""
    for name, text in pages().items():
        if not (ROOT / name).exists() or (ROOT / name).read_text() != text:
            (ROOT / name).write_text(text)
            print(name)


if __name__ == "__main__":
    main()
