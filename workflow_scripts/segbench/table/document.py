"""Make the schema of table.json, and the columns' table in docs/use/table.md, from the columns.

`make docs` writes both.
"""

from __future__ import annotations

import json

from segbench.table.columns import COLUMNS, SCHEMA

BEGIN, END = "<!-- columns: made from segbench/table/columns.py -->", "<!-- end of columns -->"


def schema() -> str:
    """Return the text of config/schemas/table.schema.json."""
    row = {
        "type": "object",
        "required": [column.name for column in COLUMNS],
        "additionalProperties": False,
        "properties": {column.name: {**column.kind.schema, "description": column.about} for column in COLUMNS},
    }
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "results/table.json",
        "description": "Rows of a SegBench run, one per model and variant. A figure that was not measured is null,"
        " never 0.",
        "type": "object",
        "required": ["schema", "rows"],
        "additionalProperties": False,
        "properties": {
            "schema": {"const": SCHEMA, "description": "Version of this schema."},
            "rows": {"type": "array", "items": row},
        },
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def columns() -> str:
    """Return the columns as a Markdown table."""
    lines = [f"| `{column.name}` | {column.kind.words} | {column.about} |" for column in COLUMNS]
    return "\n".join(["| column | holds | meaning |", "|---|---|---|", *lines])


def page(text: str) -> str:
    """Return the text of docs/use/table.md with the columns' table between its two marks. The rest is kept."""
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n\n{columns()}\n\n{END}{after}"
